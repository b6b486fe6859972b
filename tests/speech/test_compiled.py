import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from streamcodec.speech.compiled import compiled


def total(values: np.ndarray) -> float:
    result = 0.0
    for i in range(len(values)):
        result += values[i]
    return result


def test_the_order_of_a_sum_is_kept():
    values = np.array([1e16, 1.0, -1e16, 1.0])
    assert compiled(total)(values) == 1.0  # 2.0 if the compiler added in another order


def test_machine_code_is_kept_for_the_next_process(tmp_path):
    script = (
        "import numpy as np\n"
        "from streamcodec.speech import frontend\n"
        "frontend.MelFrontEnd(np.ones((80, 321), np.float32))\n"
        "print(sum(frontend._log_mel.stats.cache_hits.values()))\n"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(root)}
    hits = [
        subprocess.run(
            [sys.executable, "-c", script], env=environment, check=True, capture_output=True
        ).stdout.strip()
        for _ in range(2)
    ]
    assert hits == [b"0", b"1"]


def test_without_a_place_to_keep_it_the_loop_still_works(monkeypatch):
    plain = numba.njit

    def without_cache(**options: bool):
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'total': no locator available for file")
        return plain(**options)

    monkeypatch.setattr(numba, "njit", without_cache)
    assert compiled(total)(np.arange(4.0)) == pytest.approx(6.0)
