"""Our own image codec on the bench, through its public API."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from bench.image_codec import Chronometer, ImageCodec
from bench.image_rate import Encoded, Rule, budget_bytes, fit_ratio
from bench.own_codec import OWN, digest_of
from bench.pictures import Picture, Pixels

MODELS_OWN = "model"
"""Distortion that the model was made for."""

TOLERANCE = 0.01
"""A file within 1 % of the rate is taken as it is."""

ATTEMPTS = 4
"""Encodings at most to reach the rate: each may take seconds."""

PROBE = np.full((32, 32, 3), 128, np.uint8)
"""Encoded once to learn whether there is a model."""


class StreamcodecImage(ImageCodec):
    """Our image codec with one choice of options.

    Parameters
    ----------
    complexity : int
        Of the search; 0 is the encoder network alone.
    quantizer : {"annealed", "admm", "uniform"}
        How the search reaches integers.
    distortion : {"model", "mse", "luma", "ms-ssim"}
        What the search calls close.
    model : str, optional
        Folder or name of the weights; the packaged ones by default.
    realism : float
        Of the decoder.
    """

    def __init__(
        self,
        complexity: int,
        quantizer: str,
        model: str | None = None,
        distortion: str = MODELS_OWN,
        realism: float = 0.0,
    ) -> None:
        self.options: dict[str, Any] = {"complexity": complexity, "quantizer": quantizer}
        if distortion != MODELS_OWN:
            self.options["distortion"] = distortion
        # The short name when there is only one model; a folder goes by its last part.
        label = f":{Path(model).name}" if model else ""
        self.model = model
        aim = f":{distortion}" if distortion != MODELS_OWN else ""
        drawn = f":realism={realism:g}" if realism else ""
        self.realism = realism
        self.name = f"{OWN}{label}:{quantizer}:c{complexity}{aim}{drawn}"

    def available(self) -> str | None:
        """Whether the API is there and finds its model."""
        library = importlib.import_module(OWN)
        if not (hasattr(library, "encode_image") and hasattr(library, "decode_image")):
            return f"this {OWN} has no encode_image and decode_image"
        try:
            self.decode(self._encode(PROBE, 1.0))
        except library.errors.StreamcodecError as error:
            return str(error)
        return None

    @property
    def version(self) -> str:
        """Digest of the library's code and of the weights: results live until one changes."""
        options = sorted({**self.options, "realism": self.realism}.items())
        return f"{OWN} {digest_of(self.model, 'image')} {options}"

    def encode_at_rate(self, picture: Picture, bpp: float, rule: Rule) -> Encoded:
        """Ask for the rate and correct by what came out; the last encoding's time counts."""

        def encode(asked: float) -> Encoded:
            with Chronometer() as clock:
                data = self._encode(picture.pixels, asked)
            return Encoded(data, asked, clock.cpu_seconds, clock.wall_seconds)

        budget = budget_bytes(bpp, picture.area)
        largest = importlib.import_module(f"{OWN}.image.rate").HIGHEST_BPP
        return fit_ratio(encode, bpp, budget, rule, TOLERANCE, ATTEMPTS, largest)

    def decode(self, data: bytes) -> Pixels:
        """Through ``decode_image``."""
        library = importlib.import_module(OWN)
        drawn = {"realism": self.realism} if self.realism else {}
        pixels = library.decode_image(data, **drawn, **self._model_option())
        return np.asarray(pixels, np.uint8)

    def _encode(self, pixels: Pixels, bpp: float) -> bytes:
        library = importlib.import_module(OWN)
        return bytes(library.encode_image(pixels, bpp=bpp, **self.options, **self._model_option()))

    def _model_option(self) -> dict[str, str]:
        return {} if self.model is None else {"model": self.model}
