"""Two small phone classifiers, which judge frames of sound: a multilayer perceptron and an LSTM.

BPGAN (Liu, Cao and Kim, ICASSP 2020) measures what compression costs a recogniser by the phone
errors of an MLP and of an LSTM on decoded speech. These are classifiers of that kind, on log-mel
frames, trained by :mod:`phones` on original recordings only.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from streamcodec.errors import ModelError, ModelNotFoundError

from .losses import mel_filterbank
from .phone_labels import FRAME_STEP, PAUSE, PHONES, UNKNOWN

SAMPLE_RATE = 16_000
WINDOW = 400
"""Samples of a frame: 25 ms, which is what the recogniser's frames have."""

BANDS = 40
FLOOR_DB = -60.0
"""Magnitudes are floored this far below the loudest of a recording, or else the emptiness above
the band limit of a codec would outweigh everything audible."""

SILENCE = 1e-6
"""What counts as loudest at least, so that digital silence has a logarithm."""

SPREAD = 1.5
"""About the standard deviation of a band's natural logarithm in speech."""


class FrameMlp(nn.Module):
    """A perceptron with two hidden layers on a window of frames.

    The window slides, so its first layer is a convolution over time.

    Parameters
    ----------
    context : int
        Frames seen on either side.
    hidden : int
        Units of each hidden layer.
    """

    def __init__(self, context: int = 7, hidden: int = 256) -> None:
        super().__init__()
        self.window = nn.Conv1d(BANDS, hidden, 2 * context + 1, padding=context)
        self.middle = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, len(PHONES))
        self.dropout = nn.Dropout(0.2)

    def forward(self, frames: Tensor) -> Tensor:
        """Scores ``(batch, frames, len(PHONES))`` of frames ``(batch, frames, BANDS)``."""
        x = self.dropout(F.relu(self.window(frames.mT).mT))
        return self.output(self.dropout(F.relu(self.middle(x))))


class FrameLstm(nn.Module):
    """One bidirectional LSTM layer over the whole recording.

    Parameters
    ----------
    hidden : int
        Units of each direction.
    """

    def __init__(self, hidden: int = 128) -> None:
        super().__init__()
        self.lstm = nn.LSTM(BANDS, hidden, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * hidden, len(PHONES))
        self.dropout = nn.Dropout(0.2)

    def forward(self, frames: Tensor) -> Tensor:
        """Scores ``(batch, frames, len(PHONES))`` of frames ``(batch, frames, BANDS)``."""
        return self.output(self.dropout(self.lstm(frames)[0]))


KINDS: dict[str, type[nn.Module]] = {"mlp": FrameMlp, "lstm": FrameLstm}
"""Classifiers by name."""


@cache
def _filterbank() -> Tensor:
    return mel_filterbank(SAMPLE_RATE, WINDOW, BANDS)


def features(sound: NDArray[np.float32]) -> Tensor:
    """Log-mel frames of a recording, the mean of each band removed.

    Parameters
    ----------
    sound : ndarray of float32, shape (n,)
        At 16 kHz, any level.

    Returns
    -------
    Tensor, shape (frames, BANDS)
        Frame k covers 400 samples from sample 160 k on, as frames of labels do.
    """
    if len(sound) < FRAME_STEP:
        return torch.zeros(0, BANDS)
    padded = F.pad(torch.from_numpy(np.ascontiguousarray(sound, np.float32)), (0, WINDOW))
    frames = padded.unfold(0, WINDOW, FRAME_STEP)[: len(sound) // FRAME_STEP]
    spectra = torch.fft.rfft(frames * torch.hamming_window(WINDOW)).abs()
    mel = spectra @ _filterbank().T
    floor = max(float(mel.max()), SILENCE) * 10.0 ** (FLOOR_DB / 20.0)
    log_mel = torch.log(torch.clamp(mel, min=floor))
    return (log_mel - log_mel.mean(0)) / SPREAD


@torch.no_grad()
def count_errors(net: nn.Module, frames: Tensor, labels: Tensor) -> tuple[int, int]:
    """Wrong frames and all frames in which a phone is known to be spoken (pauses not counted)."""
    guesses = net(frames[None])[0].argmax(-1)
    spoken = (labels != UNKNOWN) & (labels != PAUSE)
    return int((guesses[spoken] != labels[spoken]).sum()), int(spoken.sum())


def save_classifiers(path: Path, nets: dict[str, nn.Module], notes: dict[str, float]) -> None:
    """Write classifiers with what is known of their training."""
    weights = {
        f"{name}.{key}": value.contiguous()
        for name, net in nets.items()
        for key, value in net.state_dict().items()
    }
    # One entry: safetensors writes several in any order, and the same weights are to be one file.
    save_file(weights, path, {"phone_classifiers": json.dumps({"phones": PHONES, "notes": notes})})


def load_classifiers(path: Path) -> dict[str, nn.Module]:
    """Classifiers by name, ready to judge.

    Raises
    ------
    ModelNotFoundError
        The file is not there.
    ModelError
        It holds something else.
    """
    if not path.is_file():
        raise ModelNotFoundError(
            f"no phone classifiers in {path}; train them with "
            f"python -m streamcodec_models.phones --data FOLDER --out {path}"
        )
    nets = {name: kind() for name, kind in KINDS.items()}
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get("phone_classifiers", "{}"))
            if about.get("phones") != list(PHONES):
                raise ModelError(f"{path} holds no classifiers of the phones known here")
            for name, net in nets.items():
                keys = net.state_dict()
                net.load_state_dict({key: file.get_tensor(f"{name}.{key}") for key in keys})
    except (SafetensorError, RuntimeError, ValueError, AttributeError) as error:
        raise ModelError(f"{path} holds no phone classifiers: {error}") from error
    return {name: net.eval() for name, net in nets.items()}


def fingerprint(path: Path) -> str:
    """Hash of a file of classifiers, by which cached results know it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
