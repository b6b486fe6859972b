import json

import numpy as np
import pytest
import soundfile

from bench.entropy_coding import (
    CODERS,
    REFRESH_STEPS,
    SymbolTables,
    before,
    learned_bits,
    main,
)
from bench.signals import SAMPLE_RATE
from streamcodec.speech.model import load_speech_model


def wander(steps: int, seed: int) -> np.ndarray:
    """Two channels: one remembers its last symbol, one does not."""
    rng = np.random.default_rng(seed)
    symbols = np.empty((steps, 2), np.int32)
    symbols[:, 1] = rng.integers(-1, 2, steps)
    state = 0
    for n in range(steps):
        if rng.random() < 0.1:
            state = int(rng.integers(-1, 2))
        symbols[n, 0] = state
    return symbols


def test_tables_come_close_to_what_the_source_takes():
    tables = SymbolTables([wander(20_000, 1)], reach=1)
    steps = 5_000
    static, conditional = tables.bits(wander(steps, 2))
    # Channel 1, and the marginal of channel 0, are uniform over three symbols.
    assert static / steps == pytest.approx(2 * np.log2(3), rel=0.02)
    stay = 0.9 + 0.1 / 3
    remembered = -(stay * np.log2(stay) + (1 - stay) * np.log2((1 - stay) / 2))
    assert conditional / steps == pytest.approx(remembered + np.log2(3), rel=0.1)


def test_symbols_never_seen_cost_bits_not_infinity():
    tables = SymbolTables([wander(500, 3)], reach=1)
    usual = wander(10, 4)
    strange = usual.copy()
    strange[5, 0] = -700
    for before_, after in zip(tables.bits(usual), tables.bits(strange), strict=True):
        # An escape, a sign, and Elias gamma of 699: nineteen bits.
        assert 20 < after - before_ < 50


def test_probabilities_add_up():
    tables = SymbolTables([wander(300, 5)], reach=2)
    np.testing.assert_allclose(tables.static.sum(axis=1), 1.0)
    np.testing.assert_allclose(tables.conditional.sum(axis=2), 1.0)


def test_context_starts_anew_where_a_stream_refreshes():
    symbols = np.arange(1, 2 * REFRESH_STEPS + 1, dtype=np.int32)[:, None]
    previous = before(symbols)[:, 0]
    assert previous[0] == previous[REFRESH_STEPS] == 0
    assert previous[1] == 1
    assert previous[REFRESH_STEPS + 1] == REFRESH_STEPS + 1


def test_payloads_are_the_integer_priors_bits_in_whole_bytes():
    model = load_speech_model()
    rng = np.random.default_rng(6)
    symbols = rng.integers(-2, 3, (2 * REFRESH_STEPS + 10, model.latent_dim)).astype(np.int32)
    floating, integer, payload = learned_bits(model, symbols, 2)
    packets = -(-len(symbols) // 2)
    # Far from what the model expects, where the two forms differ most.
    assert floating == pytest.approx(integer, rel=0.03)
    assert payload % 8 == 0
    assert integer <= payload <= integer + 16 * packets


def test_one_command_gives_table_and_json(tmp_path, babble, capsys):
    for folder in ("rated", "fitted"):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "a.wav", babble, SAMPLE_RATE)
    out = tmp_path / "deep" / "out.json"
    arguments = [str(tmp_path / "rated"), "--fit", str(tmp_path / "fitted")]
    assert main([*arguments, "--bitrates", "1000", "2000", "--json", str(out)]) == 0
    shown = capsys.readouterr().out
    rows = json.loads(out.read_text())["rows"]
    assert [row["coder"] for row in rows] == 2 * list(CODERS)
    assert [row["bitrate"] for row in rows] == 5 * [1000] + 5 * [2000]
    for row in rows:
        assert f"{row['rate']['value']:.0f}" in shown
    static, _, _, integer, payload = (row["rate"]["value"] for row in rows[5:])
    assert integer < payload
    assert rows[8]["saved_percent"] == pytest.approx(100 * (1 - integer / static))
    assert main([*arguments, "--bitrates", "1234"]) == 2
    assert "1234" in capsys.readouterr().err
