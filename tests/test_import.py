"""The public face: names, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import streamcodec

HEAVY = ("torch", "numba", "scipy", "numpy", "soundfile", "constriction", "matplotlib")


def modules_after(statement: str) -> set[str]:
    """Names of the modules that a fresh interpreter has loaded after a statement."""
    code = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import streamcodec",
        "import streamcodec; streamcodec.errors.InputError",
        "from streamcodec.cli.main import main; main(['--version'])",
        "from streamcodec.cli.main import main; main(['encode', '--help'])",
        "from streamcodec.cli.main import main; main(['encode'])",
    ],
)
def test_import_is_light(statement: str) -> None:
    loaded = modules_after(statement)
    assert not loaded & set(HEAVY)


def test_import_is_quick() -> None:
    code = (
        "import time; start = time.perf_counter(); import streamcodec; "
        "print(time.perf_counter() - start)"
    )
    # The best of three: a busy machine may be slow at any one time.
    seconds = min(
        float(subprocess.run([sys.executable, "-c", code], capture_output=True).stdout)
        for _ in range(3)
    )
    assert seconds < 0.15


def test_every_public_name_resolves() -> None:
    for name in streamcodec.__all__:
        assert getattr(streamcodec, name) is not None
        assert name in dir(streamcodec)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="SpeechEncodr"):
        _ = streamcodec.SpeechEncodr
