"""Peers of the image codec, through packages that hold their reference libraries.

Every file is counted whole, as it would be stored. Encoders run at the speed settings named here
on one thread. A codec's ``settings`` are the steps of its quality parameter, as fine as its
library takes them.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import io
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image, features

from bench.image_codec import ImageCodec, SteppedCodec
from bench.pictures import Pixels


class PillowCodec(SteppedCodec):
    """A codec that Pillow has, or gets from a plugin.

    Parameters
    ----------
    name : str
        Row name.
    file_format : str
        Pillow's name of the format.
    settings : sequence of float
        Steps of ``parameter``.
    options : dict
        Passed on to ``Image.save``.
    feature : str
        Of Pillow, whose version counts; or empty.
    plugin : str
        Module that brings the format; or empty.
    """

    parameter: ClassVar[str] = "quality"

    def __init__(
        self,
        name: str,
        file_format: str,
        settings: Sequence[float],
        options: dict[str, Any],
        feature: str = "",
        plugin: str = "",
    ) -> None:
        super().__init__()
        self.name = name
        self.file_format = file_format
        self.settings = settings
        self.options = options
        self.feature = feature
        self.plugin = plugin

    def available(self) -> str | None:
        """Whether the library is in this Pillow, or the plugin is installed."""
        if self.feature and not features.check(self.feature):
            return f"this Pillow was built without {self.feature}"
        if self.plugin and importlib.util.find_spec(self.plugin) is None:
            return f"no Python package {self.plugin}"
        return None

    @property
    def version(self) -> str:
        """Of the library, with all options."""
        library = (
            metadata.version(self.plugin.replace("pillow_jxl", "pillow-jxl-plugin"))
            if self.plugin
            else features.version(self.feature)
        )
        steps = f"{len(self.settings)}:{self.settings[0]}:{self.settings[-1]}"
        if self.emergency_steps:
            steps += f":{self.emergency_steps}"
        return f"{self.file_format} {library} {steps} {sorted(self.options.items())}"

    def encode(self, image: Image.Image, setting: float) -> bytes:
        """Through ``Image.save``."""
        self._prepare()
        file = io.BytesIO()
        # Some plugins write into the options they are given.
        image.save(file, self.file_format, **self.parameters(setting), **dict(self.options))
        return file.getvalue()

    def decode(self, data: bytes) -> Pixels:
        """Through ``Image.open``."""
        self._prepare()
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"), np.uint8)

    def parameters(self, setting: float) -> dict[str, Any]:
        """What says the quality to ``Image.save``."""
        return {self.parameter: setting}

    @cached_property
    def _module(self) -> Any:
        return importlib.import_module(self.plugin)

    def _prepare(self) -> None:
        """Load the plugin; formats register themselves."""
        if self.plugin:
            _ = self._module


class Jpeg(PillowCodec):
    """JPEG by libjpeg-turbo, with optimal Huffman tables.

    Quality is a scale of the standard's quantization tables that libjpeg rounds to whole numbers;
    here the tables are scaled, so that it need not be whole.
    """

    def parameters(self, setting: float) -> dict[str, Any]:
        """Tables at this quality, by the formula of libjpeg's ``jpeg_quality_scaling``."""
        percent = 5000.0 / setting if setting < 50.0 else 200.0 - 2.0 * setting
        tables = [
            np.clip(np.floor(table * percent / 100.0 + 0.5), 1, 255).astype(int).tolist()
            for table in self._standard_tables
        ]
        # Pillow takes 4:4:4 if tables are given.
        return {"qtables": tables, "subsampling": "4:2:0"}

    @cached_property
    def _standard_tables(self) -> list[Any]:
        """Those of quality 50, where the scale is 1."""
        file = io.BytesIO()
        Image.new("RGB", (16, 16)).save(file, "JPEG", quality=50)
        with Image.open(file) as image:
            tables: dict[int, list[int]] = getattr(image, "quantization")  # noqa: B009
            return [np.asarray(tables[index]) for index in sorted(tables)]


class Jpeg2000(PillowCodec):
    """JPEG 2000 by OpenJPEG: a compression ratio is asked for, which it keeps closely."""

    def parameters(self, setting: float) -> dict[str, Any]:
        """One quality layer of so many bits a pixel: the ratio to 24-bit samples."""
        return {"quality_mode": "rates", "quality_layers": [24.0 / setting]}


class JpegXl(PillowCodec):
    """JPEG XL by libjxl, on one thread both ways.

    From distance 10 on libjxl codes the picture at half its size, which gives larger files of
    lower quality just there: those settings are for rates that cannot be had otherwise.
    """

    emergency_steps = 73
    """Quality 0 to 18, in quarters: distance 25 to 10 (``JxlEncoderDistanceFromQuality``)."""

    def _prepare(self) -> None:
        super()._prepare()
        # The plugin's own switch; it decodes on all cores otherwise.
        self._module.JpegXLImagePlugin.DECODE_THREADS = 0


class Heic(PillowCodec):
    """HEIC by libheif and x265: still pictures of HEVC, the coding tools of BPG.

    x265 takes the rate factor as an integer here, and one step is a sixth of the rate. Its
    ``ipratio`` shifts the quantizer of the only frame continuously (6 log2 of the ratio), so each
    step is divided by it.
    """

    DEFAULT_IP_RATIO = 1.4
    STEPS_PER_FACTOR = 8

    def parameters(self, setting: float) -> dict[str, Any]:
        """Setting: 51 less the rate factor, in eighths."""
        whole = int(setting)
        ratio = self.DEFAULT_IP_RATIO * 2.0 ** ((setting - whole) / 6.0)
        return {
            # libheif sets the rate factor to (100 - quality) / 2.
            "quality": 100 - 2 * (51 - whole),
            "enc_params": {
                "preset": "slow",
                "x265:ipratio": f"{ratio:.6f}",
                "x265:pools": "none",
                "x265:frame-threads": "1",
                "tune": self.options["tune"],
            },
        }

    def encode(self, image: Image.Image, setting: float) -> bytes:
        """Through ``Image.save``; ``tune`` is among the encoder's parameters, not Pillow's."""
        self._prepare()
        file = io.BytesIO()
        image.save(file, self.file_format, **self.parameters(setting))
        return file.getvalue()

    def _prepare(self) -> None:
        self._module.register_heif_opener()
        self._module.options.DECODE_THREADS = 1


class Bpg(SteppedCodec):
    """BPG by ``bpgenc`` and ``bpgdec``, where the user has them; starting them is timed, too."""

    name = "bpg"
    settings = tuple(51 - quantizer for quantizer in range(51, -1, -1))
    """51 less the quantizer parameter."""

    def available(self) -> str | None:
        """Whether both programs are on the path."""
        missing = [name for name in ("bpgenc", "bpgdec") if shutil.which(name) is None]
        return f"{' and '.join(missing)} not on the path" if missing else None

    @property
    def version(self) -> str:
        """Digest of the encoder itself."""
        program = Path(shutil.which("bpgenc") or "")
        return f"bpg {hashlib.sha256(program.read_bytes()).hexdigest()[:16]}"

    def encode(self, image: Image.Image, setting: float) -> bytes:
        """At default options: 4:2:0, x265."""
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "in.png"), Path(folder, "out.bpg")
            image.save(source, compress_level=0)
            quantizer = str(51 - int(setting))
            _call("bpgenc", "-q", quantizer, "-o", str(target), str(source))
            return target.read_bytes()

    def decode(self, data: bytes) -> Pixels:
        """To PNG and from there."""
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "in.bpg"), Path(folder, "out.ppm")
            source.write_bytes(data)
            _call("bpgdec", "-o", str(target), str(source))
            with Image.open(target) as image:
                return np.asarray(image.convert("RGB"), np.uint8)


def _call(*command: str) -> None:
    """Run a program; what it says is shown only if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed ({done.returncode}): {done.stderr.strip()}")


def _jpeg_quality(scale: float) -> float:
    """The quality at which libjpeg multiplies its quantization tables by ``scale``."""
    return 50.0 / scale if scale > 1.0 else 100.0 - 50.0 * scale


def all_image_peers() -> dict[str, ImageCodec]:
    """Every peer by its name, whether this machine has it or not."""
    percent = range(101)
    peers: list[ImageCodec] = [
        Jpeg(
            "jpeg",
            "JPEG",
            # Scales of the tables from 50 to 0.02 in steps of 1 %: quality 1 to 99.
            [_jpeg_quality(50.0 * 0.99**step) for step in range(779)],
            {"optimize": True},
            feature="libjpeg_turbo",
        ),
        PillowCodec(
            "webp", "WEBP", [step / 4 for step in range(401)], {"method": 6}, feature="webp"
        ),
        Jpeg2000(
            "jpeg2000",
            "JPEG2000",
            # 0.02 to 12 bit a pixel in steps of 0.5 %.
            [0.02 * 1.005**step for step in range(1283)],
            {"irreversible": True, "mct": 1},
            feature="jpg_2000",
        ),
        JpegXl(
            "jpegxl",
            "JXL",
            [step / 4 for step in range(400)],
            {"effort": 7, "num_threads": 0},
            plugin="pillow_jxl",
        ),
        *(
            PillowCodec(
                name,
                "AVIF",
                percent,
                {"speed": 6, "max_threads": 1, **tuning},
                feature="avif",
            )
            for name, tuning in (("avif", {}), ("avif_psnr", {"advanced": {"tune": "psnr"}}))
        ),
        *(
            Heic(
                name,
                "HEIF",
                [step / Heic.STEPS_PER_FACTOR for step in range(51 * Heic.STEPS_PER_FACTOR)],
                {"tune": tune},
                plugin="pillow_heif",
            )
            for name, tune in (("heic", "ssim"), ("heic_psnr", "psnr"))
        ),
        Bpg(),
    ]
    return {peer.name: peer for peer in peers}
