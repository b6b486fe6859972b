"""The speech codec as its users see it: the design's invariants on real speech."""

from __future__ import annotations

import pickle
from itertools import count, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamcodec.core.packet import Packet, StreamHeader
from streamcodec.errors import FormatError, InputError, ModelMismatchError
from streamcodec.speech.decoder import SpeechDecoder
from streamcodec.speech.encoder import BUDGETS, SpeechEncoder
from tests.signals import real_speech

SPEECH = real_speech(seconds=3.3)


def encode(sound: np.ndarray, sizes: list[int] | None = None, **options: object) -> list[Packet]:
    encoder = SpeechEncoder(**{"complexity": 2, **options})
    packets = []
    if sizes is None:
        packets += encoder.push(sound)
    else:
        start = 0
        for size in sizes:
            packets += encoder.push(sound[start : start + size])
            start += size
        packets += encoder.push(sound[start:])
    return packets + encoder.flush()


def decode(packets: list[Packet], **options: object) -> np.ndarray:
    decoder = SpeechDecoder(**options)
    return np.concatenate([decoder.push(bytes(p)) for p in packets] or [np.zeros(0, np.float32)])


WHOLE = encode(SPEECH)
DECODED = decode(WHOLE)


@settings(max_examples=8, deadline=None)
@given(sizes=st.lists(st.sampled_from([0, 1, 17, 160, 509, 640, 1280, 9999]), max_size=40))
def test_streaming_equals_offline_to_the_bit(sizes: list[int]) -> None:
    assert [bytes(p) for p in encode(SPEECH, sizes)] == [bytes(p) for p in WHOLE]


def test_decoded_speech_follows_the_original() -> None:
    assert len(SPEECH) <= len(DECODED) < len(SPEECH) + 1280
    # Loudness over 20 ms frames must go the way of the original's: sound at the right time.
    n = len(SPEECH) // 320 * 320
    level = [
        np.log10(x[:n].reshape(-1, 320).std(axis=1) + 1e-3) for x in (SPEECH, DECODED)
    ]  # fmt: skip
    assert np.corrcoef(*level)[0, 1] > 0.9
    shifted = np.corrcoef(level[0][:-3], level[1][3:])[0, 1]
    assert np.corrcoef(*level)[0, 1] > shifted


def test_average_rate_is_held() -> None:
    seconds = sum(p.duration for p in WHOLE)
    assert sum(p.bits for p in WHOLE) / seconds <= 2000 * 1.02


def test_ladder_is_ordered() -> None:
    rates = []
    for bitrate in (1000, 1600, 2000, 3200, 6000):
        packets = encode(SPEECH, bitrate=bitrate, complexity=0)
        rates.append(sum(p.bits for p in packets))
    assert all(a < b for a, b in pairwise(rates))


def test_algorithmic_delay_is_true_to_the_sample() -> None:
    for low_delay, expected in ((False, 1760), (True, 1120)):
        encoder = SpeechEncoder(complexity=0, low_delay=low_delay)
        decoder = SpeechDecoder(encoder.header)
        assert encoder.algorithmic_delay == expected
        heard, longest = 0, 0
        block = 32
        for pushed in range(block, 12_000, block):
            for packet in encoder.push(SPEECH[pushed - block : pushed]):
                sound = decoder.push(bytes(packet))
                # The first sample of this output has waited longest.
                longest = max(longest, pushed - heard)
                heard += len(sound)
        assert longest == expected


def test_a_reset_stream_is_a_new_stream() -> None:
    encoder = SpeechEncoder(complexity=2)
    encoder.push(SPEECH[::-1].copy())
    encoder.flush()
    encoder.reset()
    packets = encoder.push(SPEECH) + encoder.flush()
    assert [bytes(p) for p in packets] == [bytes(p) for p in WHOLE]
    decoder = SpeechDecoder()
    for packet in WHOLE[7:]:
        decoder.push(packet)
    decoder.conceal()
    decoder.reset()
    assert np.array_equal(np.concatenate([decoder.push(p) for p in WHOLE]), DECODED)


def test_memory_does_not_grow_with_the_stream() -> None:
    encoder, decoder = SpeechEncoder(complexity=0), SpeechDecoder()
    sizes = []
    for _ in range(3):
        for _ in range(4):
            for packet in encoder.push(SPEECH):
                decoder.push(packet)
        state = [
            {k: v for k, v in vars(x).items() if k not in ("model", "_search", "_clock")}
            for x in (encoder, decoder)
        ]
        state[0].pop("_distortion")
        state[1]["_synthesis"] = {
            k: v for k, v in vars(decoder._synthesis).items() if k != "_vocoder"
        }
        state[1]["_concealment"] = {
            k: v for k, v in vars(decoder._concealment).items() if k != "_prior"
        }
        sizes.append(len(pickle.dumps(state)))
    assert max(sizes) - min(sizes) < 20_000


def test_admm_and_uniform_rounding_can_be_compared() -> None:
    admm = encode(SPEECH, quantizer="admm", complexity=8)
    uniform = encode(SPEECH, quantizer="uniform", complexity=8)
    assert [bytes(p) for p in admm] != [bytes(p) for p in uniform]
    assert len(decode(uniform)) == len(DECODED)


def test_a_deadline_gives_up_iterations_not_packets() -> None:
    ticks = count()
    packets = encode(
        SPEECH, complexity=8, deadline=3.0, clock=lambda: float(next(ticks))
    )  # fmt: skip
    assert len(packets) == len(WHOLE)
    assert len(decode(packets)) == len(DECODED)
    assert next(ticks) < len(packets) * 6


def test_the_encoder_says_how_far_the_search_of_the_last_packet_came() -> None:
    encoder = SpeechEncoder(complexity=8)
    encoder.push(SPEECH[:5000])
    assert encoder.iterations == BUDGETS[8].iterations
    assert not encoder.out_of_time
    ticks = count()
    encoder = SpeechEncoder(complexity=8, deadline=3.0, clock=lambda: float(next(ticks)))
    assert (encoder.iterations, encoder.out_of_time) == (0, False)
    encoder.push(SPEECH[:5000])
    assert encoder.iterations < BUDGETS[8].iterations
    assert encoder.out_of_time


def test_every_packet_stands_alone_when_asked() -> None:
    packets = encode(SPEECH, refresh=1)
    assert all(p.refresh for p in packets)
    decoder = SpeechDecoder()
    sound = [decoder.conceal() if i % 5 == 4 else decoder.push(p) for i, p in enumerate(packets)]
    assert sum(map(len, sound)) == len(DECODED)


def test_after_a_loss_the_decoder_is_back_in_step_at_a_refresh() -> None:
    long = np.concatenate([SPEECH, SPEECH, SPEECH])
    packets = encode(long, refresh=5, complexity=0)
    clean, lossy = SpeechDecoder(), SpeechDecoder()
    lost = {7, 8}
    same_state, same_sound = [], []
    for i, packet in enumerate(packets):
        a = clean.push(packet)
        b = lossy.conceal() if i in lost else lossy.push(packet)
        assert a.shape == b.shape
        same_sound.append(np.array_equal(a, b))
        states = zip(clean._generator_state, lossy._generator_state, strict=True)
        same_state.append(all(torch.equal(x, y) for x, y in states))
    assert lossy.in_step
    assert all(same_sound[:7])
    assert not any(same_sound[7:10])
    # Refresh at packet 10; then the generator forgets within its receptive field, 15 latent
    # steps or 8 packets. (The phase found during a gap may live on until the next pause.)
    assert not same_state[10]
    assert all(same_state[18:])


def test_a_packet_of_the_past_is_not_decoded_as_the_next() -> None:
    decoder = SpeechDecoder()
    decoder.push(WHOLE[0])
    decoder.push(WHOLE[1])
    sound = decoder.push(WHOLE[1])
    assert len(sound) == 1280
    assert not decoder.in_step


def test_the_packet_behind_a_gap_helps_to_bridge_it() -> None:
    packets = [bytes(p) for p in encode(SPEECH, refresh=1)]
    decoder = SpeechDecoder()

    def error(gap: int, known: bool) -> float:
        """Mean difference of levels from those without loss, over gaps all along the recording."""
        found = []
        for first in range(4, len(packets) - gap - 1, 5):
            wanted, sound = [], []
            for out, lost in ((wanted, False), (sound, True)):
                decoder.reset()
                for packet in packets[first - 3 : first]:
                    decoder.push(packet)
                following = packets[first + gap] if known else None
                for packet in packets[first : first + gap]:
                    out.append(decoder.conceal(following) if lost else decoder.push(packet))
                assert len(decoder.push(packets[first + gap])) == 1280
                assert decoder.in_step
            levels = [
                np.log(np.square(np.concatenate(x)).reshape(-1, 320).mean(axis=1) + 1e-7)
                for x in (wanted, sound)
            ]
            found.append(np.abs(levels[0] - levels[1]).mean())
        return float(np.mean(found))

    # A generator that has learned to go on by itself leaves less to gain than one that has not.
    for gap in (1, 2):
        assert error(gap, known=True) < 0.95 * error(gap, known=False)


@pytest.mark.parametrize("following", [b"", b"rubbish", "far", "dependent"])
def test_a_following_packet_that_is_of_no_use_changes_nothing(following: bytes | str) -> None:
    packets = encode(SPEECH, refresh=1)
    if following == "far":
        following = bytes(packets[10])
    elif following == "dependent":
        following = bytes(encode(SPEECH, refresh=25)[3])
    sounds = []
    for known in (None, following):
        decoder = SpeechDecoder()
        decoder.push(packets[0])
        sounds.append(np.concatenate([decoder.conceal(known), decoder.push(packets[2])]))
    np.testing.assert_array_equal(*sounds)


def test_concealment_fades_to_silence() -> None:
    decoder = SpeechDecoder()
    levels = [float(np.sqrt(np.mean(decoder.push(packet) ** 2))) for packet in WHOLE]
    loudest = int(np.argmax(levels))
    decoder.reset()
    for packet in WHOLE[: loudest + 1]:
        decoder.push(packet)
    levels = [float(np.sqrt(np.mean(decoder.conceal() ** 2))) for _ in range(14)]
    assert levels[0] > 10 * levels[-1]
    assert levels[-1] < 2e-3


@pytest.mark.parametrize("seed", range(40))
def test_any_bytes_are_safe(seed: int) -> None:
    rng = np.random.default_rng(seed)
    decoder = SpeechDecoder()
    decoder.push(WHOLE[0])
    wire = bytearray(bytes(WHOLE[1]))
    kind = seed % 4
    if kind == 0:
        wire[rng.integers(len(wire))] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        wire = wire[: rng.integers(len(wire))]
    elif kind == 2:
        wire = bytearray(rng.bytes(int(rng.integers(0, 400))))
    else:
        wire += rng.bytes(int(rng.integers(1, 50)))
    before = decoder.in_step
    try:
        sound = decoder.push(bytes(wire))
    except FormatError:
        assert decoder.in_step == before
        sound = decoder.conceal()
    assert sound.shape == (1280,)
    assert np.isfinite(sound).all()


def test_a_rung_that_does_not_exist_is_corrupt() -> None:
    forged = Packet.build(WHOLE[0].payload, rate=7, refresh=True, sequence=0)
    with pytest.raises(FormatError, match="rung"):
        SpeechDecoder().push(bytes(forged))


def test_bad_blocks_leave_the_stream_as_it_was() -> None:
    encoder = SpeechEncoder(complexity=2)
    packets = encoder.push(SPEECH[:5000])
    broken = SPEECH[5000:6000].copy()
    broken[17] = np.nan
    with pytest.raises(InputError, match="17"):
        encoder.push(broken)
    with pytest.raises(InputError):
        encoder.push(np.zeros((10, 3), np.float32))
    packets += encoder.push(SPEECH[5000:]) + encoder.flush()
    assert [bytes(p) for p in packets] == [bytes(p) for p in WHOLE]


def test_an_ended_stream_says_so() -> None:
    encoder = SpeechEncoder(complexity=0)
    assert encoder.flush() == []
    with pytest.raises(InputError, match="reset"):
        encoder.push(SPEECH)


@pytest.mark.parametrize("n", [1, 100, 640, 801])
def test_short_streams_come_back_whole(n: int) -> None:
    packets = encode(SPEECH[8000 : 8000 + n])
    assert n <= len(decode(packets))


def test_silence_costs_little_and_stays_silent() -> None:
    packets = encode(np.zeros(16_000 * 3, np.float32))
    assert sum(p.bits for p in packets) / 3 < 1000
    assert float(np.abs(decode(packets)).max()) < 0.01


def test_griffin_lim_needs_no_vocoder() -> None:
    sound = decode(WHOLE, vocoder="griffin-lim")
    assert len(sound) == len(DECODED)
    assert 0.2 < sound.std() / SPEECH.std() < 5


def test_another_model_is_refused() -> None:
    header = SpeechEncoder(complexity=0).header
    other = StreamHeader(
        identity=bytes(8), steps_per_packet=header.steps_per_packet, refresh=header.refresh
    )
    with pytest.raises(ModelMismatchError, match="0000000000000000"):
        SpeechDecoder(other)


def test_bad_settings_are_named() -> None:
    for options, word in (
        ({"bitrate": 100}, "bitrate"),
        ({"complexity": 11}, "complexity"),
        ({"quantizer": "vector"}, "quantizer"),
        ({"deadline": -1.0}, "deadline"),
    ):
        with pytest.raises(InputError, match=word):
            SpeechEncoder(**options)
    with pytest.raises(InputError, match="vocoder"):
        SpeechDecoder(vocoder="wavenet")
