"""The number format that networks are trained in."""

from __future__ import annotations

import torch

from streamcodec.core.model_file import multiplies_bfloat16


def narrow(device: torch.device) -> torch.autocast:
    """Matrix products in bfloat16, where the device multiplies it natively.

    There it is two to four times as fast, with float32 weights behind it. Elsewhere this changes
    nothing: a processor that has to emulate bfloat16 takes sixty times as long as in float32.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=multiplies_narrow(device))


def multiplies_narrow(device: torch.device) -> bool:
    """Whether a device has products of bfloat16 of its own."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return multiplies_bfloat16()
