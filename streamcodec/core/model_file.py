"""Model folders: finding them, reading their files, and telling models apart.

A model is a folder of safetensors files. ``decoder.safetensors`` holds what both sides must share;
its hash is the model's identity, which every stream carries. The other files may be exchanged for
better ones without changing a stream.

Weights may be stored in 8 bits: an int8 tensor with a float tensor of the same name and ``.scale``
behind it, one factor for each slice of the first dimension.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from streamcodec.core.entropy import IntegerPrior
from streamcodec.core.packet import IDENTITY_BYTES
from streamcodec.errors import ModelError, ModelNotFoundError

Network = TypeVar("Network", bound=nn.Module)

SCALE = ".scale"
"""What follows the name of an 8-bit tensor in that of its factors."""

INTEGER_PRIOR = "integer_prior"
"""Prefix of the integer prior's tensors, and the key of its numbers in the configuration."""

FOR_DECODER = "decoder"
"""What the configuration of a file beside a decoder calls the identity of that decoder."""


def find_model_folder(name: str | Path, parts: Sequence[str], kind: str) -> Path:
    """The folder of a model.

    Parameters
    ----------
    name
        A bare name is looked up in the installed package of trained models; anything else is a
        path.
    parts
        Names of the files that it must hold, without ``.safetensors``.
    kind
        What the model is for, for messages: ``"a speech model"``.

    Raises
    ------
    ModelNotFoundError
        If there is no such folder or a file is missing from it.
    """
    folder = Path(name)
    if isinstance(name, str) and folder.name == name and not folder.is_dir():
        spec = importlib.util.find_spec("streamcodec_models")
        roots = list(spec.submodule_search_locations or []) if spec else []
        if not roots:
            raise ModelNotFoundError(
                "the package of trained models (streamcodec_models) is not installed; install it "
                "or give the path of a model folder"
            )
        folder = Path(roots[0]) / "weights" / name
    missing = [p for p in parts if not (folder / f"{p}.safetensors").is_file()]
    if missing:
        raise ModelNotFoundError(
            f"{kind} is a folder with {', '.join(f'{p}.safetensors' for p in parts)}; "
            f"{folder} lacks {', '.join(f'{p}.safetensors' for p in missing)}"
        )
    return folder


class Weights(dict[str, Tensor]):
    """Tensors of a file by name, those of 8 bits restored.

    Attributes
    ----------
    stored : dict
        Tensors as the file holds them.
    """

    def __init__(self, stored: dict[str, Tensor]) -> None:
        super().__init__(restored(stored))
        self.stored = stored


def restored(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors with those of 8 bits multiplied by their factors, to float32.

    Raises
    ------
    ModelError
        Factors are missing or of the wrong shape.
    """
    tensors = dict(stored)
    for name in [n for n, tensor in stored.items() if tensor.dtype == torch.int8]:
        weight, scale = stored[name], tensors.pop(name + SCALE, None)
        if scale is None or weight.dim() == 0 or tuple(scale.shape) != tuple(weight.shape[:1]):
            raise ModelError(
                f"the 8-bit tensor {name} has no factors, or not one for each of its "
                f"{tuple(weight.shape[:1])} slices; the model file is damaged"
            )
        factors = scale.float().reshape(-1, *[1] * (weight.dim() - 1))
        tensors[name] = weight.float() * factors
    return tensors


def read_weights(path: Path) -> tuple[dict[str, Any], Weights]:
    """Configuration and tensors of one file.

    Raises
    ------
    ModelError
        It is no readable weights file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            config = json.loads((file.metadata() or {}).get("config", "{}"))
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ModelError(f"{path} is not a readable weights file: {error}") from error
    return config, Weights(stored)


def refuse_another_decoders(path: Path, config: Mapping[str, Any], identity: bytes) -> None:
    """Refuse a file that does not belong to the decoder of this identity.

    Raises
    ------
    ModelError
        It does not.
    """
    if config.get(FOR_DECODER) != identity.hex():
        raise ModelError(
            f"{path} belongs to the decoder {config.get(FOR_DECODER)}, not to {identity.hex()}; "
            "make it anew for this one, or remove it"
        )


def identity_of(config: dict[str, Any], tensors: Mapping[str, Tensor]) -> bytes:
    """Identity of a decoder: hash of its configuration and of every stored tensor, in name order.

    Enough to tell models apart; not a signature.
    """
    if isinstance(tensors, Weights):
        tensors = tensors.stored
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.digest()[:IDENTITY_BYTES]


def fill(module: nn.Module, tensors: Mapping[str, Tensor], prefix: str) -> None:
    """Fill a network with the tensors of that prefix and freeze it.

    Raises
    ------
    RuntimeError
        A tensor is missing, too many, or of another shape.
    """
    state = {k.removeprefix(prefix): v.float() for k, v in tensors.items() if k.startswith(prefix)}
    own = {k for k, _ in module.named_buffers()}
    module.load_state_dict({**{k: v for k, v in module.state_dict().items() if k in own}, **state})
    module.eval().requires_grad_(False)


def read_integer_prior(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> IntegerPrior:
    """The integer prior of a decoder file.

    Raises
    ------
    KeyError, ModelError
        Something of it is missing or damaged.
    """
    prefix = f"{INTEGER_PRIOR}."
    integers = {
        k.removeprefix(prefix): v.numpy() for k, v in tensors.items() if k.startswith(prefix)
    }
    return IntegerPrior(integers, config[INTEGER_PRIOR])


def for_search(network: Network) -> Network:
    """The network in bfloat16 where the processor has it: half the memory to read, 2-4 x."""
    return copy.deepcopy(network).to(torch.bfloat16) if multiplies_bfloat16() else network


def multiplies_bfloat16() -> bool:
    """Whether the processor has products of bfloat16 of its own; emulated ones are slow."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
