"""Encoder E and generator G for pictures: patches in, latents sixteen times smaller, and back.

The method is that of the speech networks (BPGAN, Liu, Cao and Kim, ICASSP 2020): E only guesses,
G is searched through. Both work on patches of 8 x 8 pixels and on latents of 16 x 16: few wide
dense convolutions at low resolution, no normalization. On CPUs dense convolutions in bfloat16
run at three to five times the arithmetic rate of depthwise ones, and nothing is spent at full
resolution, where memory traffic would be most of the time.

Linear shortcuts lead from pixels to latents, and from latents to pixels, around the layers of
16 x 16 pixels: those are narrower than what they stand for, and what cannot pass them decoded
pictures lack at any rate.

Everything is convolutional and zero-padded at the picture's border, so that a part of a picture
can be computed from the latents inside :attr:`ImageGenerator.halo` around it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PATCH = 8
"""Pixels along the side of a patch, the finest unit that a layer sees."""

STRIDE = 16
"""Pixels along the side of what one latent position stands for."""

FOLD = STRIDE // PATCH
"""Patches along the side of a latent position."""

COLOURS = 3

DRAWING = ("up", "patches", "output")
"""Layers of G that draw, at an eighth of the resolution; those before compose. A model may bring
another set of these for the same latents."""


class DenseBlock(nn.Module):
    """Residual block: a dense 3 x 3 convolution and a 1 x 1 projection."""

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 3, padding=1)
        self.project = nn.Conv2d(channels, channels, 1)
        with torch.no_grad():
            self.project.weight *= scale

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, channels, h, w)`` to the same shape."""
        return x + self.project(F.silu(self.mix(x)))


class ImageEncoder(nn.Module):
    """E: pixels to a first guess of the latents.

    Parameters
    ----------
    latent_dim : int
        Channels of the latents.
    patch_channels, channels : int
        Width at an eighth and at a sixteenth of the resolution.
    patch_blocks, blocks : int
        Residual blocks there.
    shortcut : bool
        Whether a linear layer leads from pixels to latents, or from latents to pixels.
    """

    def __init__(
        self,
        latent_dim: int = 128,
        patch_channels: int = 192,
        channels: int = 320,
        patch_blocks: int = 2,
        blocks: int = 2,
        *,
        shortcut: bool = False,
    ) -> None:
        super().__init__()
        self.input = nn.Conv2d(COLOURS * PATCH**2, patch_channels, 3, padding=1)
        self.patches = _blocks(patch_channels, patch_blocks)
        self.down = nn.Conv2d(patch_channels, channels, FOLD, stride=FOLD)
        self.blocks = _blocks(channels, blocks)
        self.output = nn.Conv2d(channels, latent_dim, 1)
        self.shortcut = (
            nn.Conv2d(COLOURS * PATCH**2, latent_dim, FOLD, stride=FOLD, bias=False)
            if shortcut
            else None
        )
        self.halo = blocks + _halved(1 + patch_blocks)
        """Latent positions around one that its latent depends on."""
        _dense_layout(self)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels ``(n, 3, 16 h, 16 w)`` in 0..1 to latents ``(n, h, w, latent_dim)``."""
        patches = F.pixel_unshuffle(pixels - 0.5, PATCH)
        latents = self.output(self.blocks(self.down(self.patches(self.input(patches)))))
        if self.shortcut is not None:
            latents = latents + self.shortcut(patches)
        return latents.permute(0, 2, 3, 1)


class ImageGenerator(nn.Module):
    """G: latents to pixels. Parameters as of :class:`ImageEncoder`."""

    def __init__(
        self,
        latent_dim: int = 128,
        patch_channels: int = 192,
        channels: int = 320,
        patch_blocks: int = 3,
        blocks: int = 3,
        *,
        shortcut: bool = False,
    ) -> None:
        super().__init__()
        self.input = nn.Conv2d(latent_dim, channels, 3, padding=1)
        self.blocks = _blocks(channels, blocks)
        self.up = nn.Conv2d(channels, patch_channels * FOLD**2, 1)
        self.shortcut = (
            nn.Conv2d(latent_dim, COLOURS * STRIDE**2, 1, bias=False) if shortcut else None
        )
        self.patches = _blocks(patch_channels, patch_blocks)
        self.output = nn.Conv2d(patch_channels, COLOURS * PATCH**2, 3, padding=1)
        self.halo = 1 + blocks + _halved(patch_blocks + 1)
        """Latent positions around a part of the picture that its pixels depend on."""
        _dense_layout(self)

    def forward(self, latents: Tensor) -> Tensor:
        """Map latents ``(n, h, w, latent_dim)`` to pixels ``(n, 3, 16 h, 16 w)``, not clamped."""
        return self.draw(self.compose(latents), latents)

    def compose(self, latents: Tensor) -> Tensor:
        """What is to be drawn: latents to ``(n, channels, h, w)``."""
        return self.blocks(self.input(latents.permute(0, 3, 1, 2)))

    def draw(self, composed: Tensor, latents: Tensor) -> Tensor:
        """Pixels ``(n, 3, 16 h, 16 w)`` of latents and what :meth:`compose` made of them."""
        x = self.patches(F.pixel_shuffle(self.up(composed), FOLD))
        pixels = F.pixel_shuffle(self.output(x), PATCH) + 0.5
        if self.shortcut is not None:
            direct = self.shortcut(latents.permute(0, 3, 1, 2))
            pixels = pixels + F.pixel_shuffle(direct, STRIDE)
        return pixels


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(DenseBlock(channels, 1.0 / max(count, 1)) for _ in range(count)))


def _halved(patches: int) -> int:
    """Latent positions that this many patches reach at most."""
    return -(-patches // FOLD)


def _dense_layout(module: nn.Module) -> None:
    """Channels last, as the dense convolutions of CPUs and GPUs like them best."""
    for child in module.modules():
        if isinstance(child, nn.Conv2d):
            child.weight.data = child.weight.data.contiguous(memory_format=torch.channels_last)
