"""Whole files: what goes in comes out, and what cannot is said."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import stft

import streamcodec
from streamcodec.core.container import ContainerReader, ContainerWriter
from streamcodec.core.packet import KIND_IMAGE, PREFIX_BYTES, StreamHeader
from streamcodec.errors import (
    CorruptPacketError,
    FormatError,
    InputError,
    ModelMismatchError,
    StreamcodecError,
    TruncatedError,
)
from streamcodec.files import decode_file, encode_file
from tests.signals import real_speech

RATE = 16_000
QUICK = {"complexity": 0}
"""Settings for tests that are not about quality."""


def write_wav(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str = "FLOAT") -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of real speech as a wav file."""
    return write_wav(tmp_path_factory.mktemp("speech") / "in.wav", real_speech(4.0))


@pytest.fixture(scope="module")
def stream(speech: Path) -> Path:
    """The same as a stream file of 50 packets, a seek point every 25."""
    encode_file(speech, speech.with_name("in.sc"), **QUICK)
    return speech.with_name("in.sc")


def records_of(path: Path) -> tuple[StreamHeader, list[bytes], int]:
    reader = ContainerReader()
    records = reader.feed(path.read_bytes())
    return reader.header, records, reader.finish().total_samples


def write_stream(
    path: Path, header: StreamHeader, records: list[bytes], total_samples: int
) -> Path:
    writer = ContainerWriter(header)
    parts = [writer.begin(), *map(writer.add, records), writer.finish(total_samples)]
    path.write_bytes(b"".join(parts))
    return path


def test_reports_say_what_is_in_the_files(speech: Path, tmp_path: Path) -> None:
    report = encode_file(speech, tmp_path / "a.sc", bitrate=3200, complexity=1)
    header, records, total = records_of(tmp_path / "a.sc")
    assert report.packets == len(records)
    assert report.payload_bits == sum(8 * (len(r) - PREFIX_BYTES) for r in records)
    assert report.kbps == pytest.approx(report.payload_bits / 4000)
    assert report.wire_kbps == pytest.approx(sum(map(len, records)) * 8 / 4000)
    assert report.file_bytes == (tmp_path / "a.sc").stat().st_size
    assert report.seconds == total / RATE == 4.0
    assert report.algorithmic_delay_ms == 110.0
    assert report.real_time_factor > 0
    assert report.model_identity == header.identity.hex()
    assert (report.bitrate, report.complexity, report.quantizer) == (3200, 1, "admm")
    json.dumps(asdict(report), allow_nan=False)

    decoded = decode_file(tmp_path / "a.sc", tmp_path / "a.wav")
    assert (decoded.seconds, decoded.sample_rate) == (4.0, RATE)
    assert decoded.real_time_factor > 0
    assert (decoded.packets, decoded.concealed_packets) == (report.packets, 0)
    json.dumps(asdict(decoded), allow_nan=False)
    assert sorted(os.listdir(tmp_path)) == ["a.sc", "a.wav"]


def test_file_and_stream_interface_agree(speech: Path, stream: Path, tmp_path: Path) -> None:
    samples = real_speech(4.0)
    encoder = streamcodec.SpeechEncoder(**QUICK)
    packets = encoder.push(samples) + encoder.flush()
    header, records, total = records_of(stream)
    assert header == encoder.header
    assert records == [bytes(p) for p in packets]
    assert total == len(samples)

    decoder = streamcodec.SpeechDecoder(encoder.header)
    sound = np.concatenate([*(decoder.push(p) for p in packets), decoder.flush()])[:total]
    decode_file(stream, tmp_path / "a.wav")
    found, rate = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert rate == RATE
    np.testing.assert_allclose(found, np.clip(sound, -1, 1), atol=1 / 32768)


def test_low_delay_profile(speech: Path, tmp_path: Path) -> None:
    report = encode_file(speech, tmp_path / "a.sc", low_delay=True, **QUICK)
    assert report.algorithmic_delay_ms == 70.0
    assert report.packets == 101  # 100 for four seconds, and one to hear the last 30 ms
    assert decode_file(tmp_path / "a.sc", tmp_path / "a.wav").seconds == 4.0


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus"])
@pytest.mark.parametrize("vocoder", ["neural", "griffin-lim"])
def test_output_formats_and_vocoders(
    stream: Path, tmp_path: Path, suffix: str, vocoder: str
) -> None:
    report = decode_file(stream, tmp_path / f"a{suffix}", vocoder=vocoder)
    found, rate = soundfile.read(tmp_path / f"a{suffix}")
    assert (len(found), rate, report.vocoder) == (4 * RATE, RATE, vocoder)
    assert found.std() > 0.01


@pytest.mark.parametrize(
    ("samples", "rate"),
    [
        (np.zeros(0), RATE),
        (np.zeros(0), 44_100),
        (np.array([0.5]), RATE),
        (np.array([0.5]), 48_000),
        (np.zeros(RATE), RATE),
        (np.sign(np.sin(np.arange(RATE))), RATE),
        (2.0 * real_speech(1.0), RATE),
        (real_speech(1.0)[::2], 8_000),
        (np.stack([np.repeat(real_speech(1.0), 3)] * 2, axis=1), 48_000),
        (np.zeros((22_050, 6)), 22_050),
    ],
    ids=[
        "empty", "empty 44.1 kHz", "one sample", "one sample 48 kHz", "silence", "clipped",
        "too loud", "8 kHz", "48 kHz stereo", "six channels",
    ],
)  # fmt: skip
def test_unusual_recordings_keep_their_length(
    samples: np.ndarray, rate: int, tmp_path: Path
) -> None:
    source = write_wav(tmp_path / "in.wav", samples, rate)
    report = encode_file(source, tmp_path / "a.sc", **QUICK)
    wanted = -(-len(samples) * RATE // rate)
    assert report.seconds * RATE == pytest.approx(wanted, abs=1)
    assert report.kbps < 100 or report.seconds < 0.1
    decoded = decode_file(tmp_path / "a.sc", tmp_path / "a.wav")
    assert decoded.seconds == report.seconds
    sound, _ = soundfile.read(tmp_path / "a.wav")
    assert len(sound) == report.seconds * RATE
    if len(samples) and not samples.any():
        assert np.abs(sound).max() < 0.01


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_impossible_samples_are_refused_with_their_place(tmp_path: Path, bad: float) -> None:
    samples = real_speech(1.0).copy()
    samples[12_000] = bad
    source = write_wav(tmp_path / "in.wav", samples)
    with pytest.raises(InputError, match=r"in\.wav, near 0\.7\d s"):
        encode_file(source, tmp_path / "a.sc", **QUICK)
    assert os.listdir(tmp_path) == ["in.wav"]


def test_foreign_sources_are_refused(stream: Path, tmp_path: Path) -> None:
    (tmp_path / "in.wav").write_text("This is no sound.\n")
    with pytest.raises(InputError, match="not a recording"):
        encode_file(tmp_path / "in.wav", tmp_path / "a.sc")
    with pytest.raises(InputError, match="is a stream already"):
        encode_file(stream, tmp_path / "a.sc")
    with pytest.raises(FileNotFoundError):
        encode_file(tmp_path / "none.wav", tmp_path / "a.sc")
    with pytest.raises(IsADirectoryError):
        encode_file(tmp_path, tmp_path / "a.sc")
    assert os.listdir(tmp_path) == ["in.wav"]


def test_foreign_streams_are_refused(speech: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.sc").touch()
    for source in (speech, tmp_path / "empty.sc"):
        for recover in (False, True):
            with pytest.raises(FormatError, match=source.name):
                decode_file(source, tmp_path / "a.wav", recover=recover)
    assert os.listdir(tmp_path) == ["empty.sc"]


@pytest.mark.parametrize("setting", [{"bitrate": 1}, {"complexity": 11}, {"quantizer": "none"}])
def test_impossible_settings_are_refused(speech: Path, tmp_path: Path, setting: dict) -> None:
    with pytest.raises(InputError):
        encode_file(speech, tmp_path / "a.sc", **setting)
    assert os.listdir(tmp_path) == []


def test_target_must_be_another_file(speech: Path, tmp_path: Path) -> None:
    source = tmp_path / "a.wav"
    source.write_bytes(speech.read_bytes())
    (tmp_path / "link").symlink_to(source)
    for target in (source, tmp_path / "link"):
        with pytest.raises(InputError, match="same file"):
            encode_file(source, target)
    assert source.read_bytes() == speech.read_bytes()


def test_target_is_checked_before_the_work(speech: Path, stream: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder"):
        encode_file(speech, tmp_path / "no" / "a.sc")
    with pytest.raises(IsADirectoryError):
        encode_file(speech, tmp_path)
    with pytest.raises(InputError, match=r"\.mp4"):
        decode_file(stream, tmp_path / "a.mp4")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_interruption_leaves_the_old_file(
    speech: Path, stream: Path, tmp_path: Path, error: type[BaseException]
) -> None:
    calls = []

    def stop(done: float, total: float | None) -> None:
        calls.append(done)
        if done > 1.0:
            raise error

    for work, source, target in (
        (partial(encode_file, **QUICK), speech, tmp_path / "a.sc"),
        (decode_file, stream, tmp_path / "a.wav"),
    ):
        target.write_bytes(b"precious")
        with pytest.raises(error):
            work(source, target, progress=stop)
        assert target.read_bytes() == b"precious"
    assert sorted(os.listdir(tmp_path)) == ["a.sc", "a.wav"]


def test_progress_grows_to_the_end(speech: Path, tmp_path: Path) -> None:
    for work, source, target in (
        (partial(encode_file, **QUICK), speech, tmp_path / "a.sc"),
        (decode_file, tmp_path / "a.sc", tmp_path / "a.wav"),
    ):
        seen: list[tuple[float, float | None]] = []
        work(source, target, progress=lambda *values, seen=seen: seen.append(values))
        assert len(seen) >= 50
        assert all(a[0] <= b[0] for a, b in pairwise(seen))
        assert {total for _, total in seen} == {4.0}
        assert seen[-1][0] == 4.0


def test_truncated_stream_is_refused_or_recovered(stream: Path, tmp_path: Path) -> None:
    data = stream.read_bytes()
    (tmp_path / "cut.sc").write_bytes(data[: len(data) // 2])
    with pytest.raises(TruncatedError, match=r"--recover"):
        decode_file(tmp_path / "cut.sc", tmp_path / "a.wav")
    report = decode_file(tmp_path / "cut.sc", tmp_path / "a.wav", recover=True)
    assert 1.0 < report.seconds < 3.0
    assert report.concealed_packets == 0
    # What was left is decoded as if nothing were missing.
    decode_file(stream, tmp_path / "whole.wav")
    part, whole = (soundfile.read(tmp_path / name)[0] for name in ("a.wav", "whole.wav"))
    kept = len(part) - 640
    np.testing.assert_array_equal(part[:kept], whole[:kept])


def damaged_in_the_middle(stream: Path, path: Path, change: int) -> Path:
    """A copy of a stream with one byte of its tenth record changed: its length or payload."""
    _, records, _ = records_of(stream)
    place = stream.read_bytes().index(records[10])
    data = bytearray(stream.read_bytes())
    data[place + change] ^= 0x55
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("change", "lost"), [(5, 1), (-1, 15)], ids=["payload", "length"])
def test_damage_is_refused_or_concealed(
    stream: Path, tmp_path: Path, change: int, lost: int
) -> None:
    damaged = damaged_in_the_middle(stream, tmp_path / "damaged.sc", change)
    with pytest.raises(FormatError, match=r"damaged\.sc"):
        decode_file(damaged, tmp_path / "a.wav")
    assert os.listdir(tmp_path) == ["damaged.sc"]
    report = decode_file(damaged, tmp_path / "a.wav", recover=True)
    # The length is kept, and from the next seek point on (packet 25) nothing is lost.
    assert report.seconds == 4.0
    assert lost <= report.concealed_packets <= 15
    decode_file(stream, tmp_path / "whole.wav")
    found, whole = (soundfile.read(tmp_path / name)[0] for name in ("a.wav", "whole.wav"))
    np.testing.assert_array_equal(found[: 9 * 1280], whole[: 9 * 1280])
    # Mel frames are the same again; the phase found in the gap may differ until the next pause.
    later = slice(40 * 1280, 50 * 1280)
    spectra = [np.abs(stft(sound[later], nperseg=640)[2]) for sound in (found, whole)]
    levels = [np.log(magnitude + 1e-4).ravel() for magnitude in spectra]
    assert np.corrcoef(*levels)[0, 1] > 0.9


def test_damaged_packet_is_named(stream: Path, tmp_path: Path) -> None:
    header, records, total = records_of(stream)
    records[7] = records[7][:-1] + bytes([records[7][-1] ^ 1])
    path = write_stream(tmp_path / "a.sc", header, records, total)
    with pytest.raises(CorruptPacketError, match="packet 7"):
        decode_file(path, tmp_path / "a.wav")


def test_any_bytes_are_safe(stream: Path, tmp_path: Path) -> None:
    header, records, _ = records_of(stream)
    write_stream(tmp_path / "short.sc", header, records[:6], 6000)
    original = (tmp_path / "short.sc").read_bytes()
    seed = int.from_bytes(os.urandom(4), "big")
    rng = np.random.default_rng(seed)
    for _ in range(60):
        data = bytearray(original)
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(len(data))] = rng.integers(256)
        data = data[: rng.integers(len(data)) if rng.random() < 0.3 else len(data)]
        (tmp_path / "a.sc").write_bytes(data)
        for recover in (False, True):
            try:
                report = decode_file(tmp_path / "a.sc", tmp_path / "a.wav", recover=recover)
            except StreamcodecError:
                continue
            assert report.seconds < 60, f"seed {seed}"


def test_file_that_announces_too_much(stream: Path, tmp_path: Path) -> None:
    header, records, _ = records_of(stream)
    path = write_stream(tmp_path / "a.sc", header, records[:5], 1 << 60)
    with pytest.raises(FormatError, match="announces"):
        decode_file(path, tmp_path / "a.wav")
    # Recovering gives what the packets hold and does not make up 2**60 samples.
    assert decode_file(path, tmp_path / "a.wav", recover=True).seconds == pytest.approx(0.4)


def test_other_model_and_other_kind_are_refused(stream: Path, tmp_path: Path) -> None:
    header, records, total = records_of(stream)
    other = StreamHeader(b"\1" * 8, header.steps_per_packet, header.refresh)
    with pytest.raises(ModelMismatchError, match="0101010101010101"):
        decode_file(write_stream(tmp_path / "a.sc", other, records, total), tmp_path / "a.wav")
    image = StreamHeader(header.identity, 1, 1, KIND_IMAGE)
    with pytest.raises(FormatError, match="expected speech"):
        decode_file(write_stream(tmp_path / "a.sc", image, records, total), tmp_path / "a.wav")
    assert os.listdir(tmp_path) == ["a.sc"]
