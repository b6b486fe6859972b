"""Metrics that are trained models: ViSQOL, DistillMOS, DNSMOS and speaker similarity.

Their packages carry the weights. Each model is loaded once, in ``prepare``.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.clips import Clip
from bench.metrics import LISTENING_LEVEL_DB, Metric, Values
from bench.signals import SAMPLE_RATE, Sound, set_active_level


class Visqol(Metric):
    """ViSQOL in speech mode with its deep-lattice mapping, 1 to 5, against the original."""

    name = "visqol"
    columns = ("visqol",)
    packages = ("visqol-python", "ai-edge-litert")
    modules = ("visqol", "ai_edge_litert")
    slow = True

    def prepare(self) -> None:
        """Load the mapping."""
        from visqol import VisqolApi

        self._api = VisqolApi()
        self._api.create(mode="speech", use_lattice_model=True)

    def score(self, clip: Clip, decoded: Sound) -> Values:
        """Score; NaN where ViSQOL finds nothing to compare."""
        reference, degraded = clip.sound.astype(np.float64), decoded.astype(np.float64)
        try:
            result = self._api.measure_from_arrays(reference, degraded, SAMPLE_RATE)
        except ValueError:
            return {"visqol": np.nan}
        return {"visqol": float(result.moslqo)}


class DistillMos(Metric):
    """DistillMOS, a mean opinion score without reference, 1 to 5."""

    name = "distillmos"
    columns = ("distillmos",)
    packages = ("distillmos", "xls-r-sqa")
    modules = ("distillmos", "xls_r_sqa")
    slow = True

    def prepare(self) -> None:
        """Load the network; what it prints goes to the error stream."""
        with contextlib.redirect_stdout(sys.stderr), _without_torchaudio():
            from distillmos import ConvTransformerSQAModel

            self._model = ConvTransformerSQAModel().eval()

    def score(self, clip: Clip, decoded: Sound) -> Values:
        """Score the decoded sound at the listening level."""
        import torch

        sound = torch.from_numpy(set_active_level(decoded, LISTENING_LEVEL_DB))
        with torch.inference_mode():
            return {"distillmos": float(self._model(sound[None, :]).mean())}


@contextlib.contextmanager
def _without_torchaudio() -> Iterator[None]:
    """Let ``import torchaudio`` succeed without loading it.

    DistillMOS imports it for its command line alone, and its binaries must match those of torch.
    """
    loaded = sys.modules.get("torchaudio")
    stand_in = types.ModuleType("torchaudio")
    stand_in.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
    sys.modules["torchaudio"] = stand_in
    try:
        yield
    finally:
        del sys.modules["torchaudio"]
        if loaded is not None:
            sys.modules["torchaudio"] = loaded


class DnsMos(Metric):
    """DNSMOS P.835 (overall, signal, background), mean opinion scores without reference."""

    name = "dnsmos"
    columns = ("dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak")
    packages = ("speechmos", "onnxruntime")
    modules = ("speechmos", "onnxruntime")
    slow = True

    INPUT_SECONDS = 9.01

    def prepare(self) -> None:
        """Open the network on one thread; its own package would take every core."""
        import onnxruntime

        spec = importlib.util.find_spec("speechmos")
        if spec is None or spec.origin is None:
            raise ImportError("speechmos is not installed (see bench/requirements.txt)")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        path = Path(spec.origin).parent / "dnsmos_models" / "sig_bak_ovr.onnx"
        self._session = onnxruntime.InferenceSession(str(path), options)

    def score(self, clip: Clip, decoded: Sound) -> Values:
        """Score the decoded sound at the listening level.

        Windows of 9.01 s start every second and are averaged. A shorter sound is repeated until it
        fills one window; the reference script then scores more windows of the same repetition,
        which changes a clip's score by 0.02 on average and costs several times as much.
        """
        sound = set_active_level(decoded, LISTENING_LEVEL_DB)
        window = int(self.INPUT_SECONDS * SAMPLE_RATE)
        count = max(1, int(len(sound) / SAMPLE_RATE - self.INPUT_SECONDS) + 1)
        if len(sound) < window:
            sound = np.resize(sound, window)
        raw = [
            self._session.run(None, {"input_1": sound[None, start : start + window]})[0][0]
            for start in range(0, count * SAMPLE_RATE, SAMPLE_RATE)
        ]
        signal, background, overall = np.transpose(raw)
        return {
            "dnsmos_ovrl": float(np.mean(np.polyval(_DNSMOS_OVERALL, overall))),
            "dnsmos_sig": float(np.mean(np.polyval(_DNSMOS_SIGNAL, signal))),
            "dnsmos_bak": float(np.mean(np.polyval(_DNSMOS_BACKGROUND, background))),
        }


# Mappings of the network's outputs to the P.835 scale, published with DNSMOS.
_DNSMOS_OVERALL = (-0.06766283, 1.11546468, 0.04602535)
_DNSMOS_SIGNAL = (-0.08397278, 1.22083953, 0.0052439)
_DNSMOS_BACKGROUND = (-0.13166888, 1.60915514, -0.39604546)


class SpeakerSimilarity(Metric):
    """Cosine of speaker embeddings (Resemblyzer's GE2E encoder) of original and decoded sound."""

    name = "speaker"
    columns = ("speaker_similarity",)
    packages = ("resemblyzer",)
    modules = ("resemblyzer",)
    slow = True

    def prepare(self) -> None:
        """Load the encoder."""
        import resemblyzer

        self._preprocess = resemblyzer.preprocess_wav
        self._encoder = resemblyzer.VoiceEncoder("cpu", verbose=False)
        self._originals: dict[str, Any] = {}

    def score(self, clip: Clip, decoded: Sound) -> Values:
        """Compare; NaN where no voice is found in either."""
        if clip.identity not in self._originals:
            self._originals[clip.identity] = self._embed(clip.sound)
        original, other = self._originals[clip.identity], self._embed(decoded)
        if original is None or other is None:
            return {"speaker_similarity": np.nan}
        return {"speaker_similarity": float(np.dot(original, other))}

    def _embed(self, sound: Sound) -> Any:
        if not np.any(sound):
            return None
        voiced = self._preprocess(sound)
        return self._encoder.embed_utterance(voiced) if len(voiced) else None
