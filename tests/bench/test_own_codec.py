import sys
import types
from dataclasses import dataclass

import numpy as np
import pytest

from bench import own_codec
from bench.own_codec import FunctionCodec, StreamCodec, parse_codec

FRAME = 1280


@dataclass
class Packet:
    data: bytes
    bits: int = 160

    def __bytes__(self):
        return self.data


class Encoder:
    """Sends 16-bit samples in packets of 80 ms."""

    created = 0

    def __init__(self, bitrate, *, sample_rate, complexity=6):
        if bitrate == 1:
            raise StreamcodecError("bitrate 1: expected 1000 to 6000")
        type(self).created += 1
        self.header = "the header"
        self.complexity = complexity
        self.reset()

    def reset(self):
        self.held = np.zeros(0, np.float32)

    def push(self, block):
        assert len(block) <= own_codec.BLOCK
        self.held = np.concatenate([self.held, block])
        ready = len(self.held) // FRAME
        packets = [self._packet(self.held[i * FRAME : (i + 1) * FRAME]) for i in range(ready)]
        self.held = self.held[ready * FRAME :]
        return packets

    def flush(self):
        return [self._packet(np.pad(self.held, (0, FRAME - len(self.held))))]

    def _packet(self, samples):
        return Packet((32767 * samples).astype(np.int16).tobytes())


class Decoder:
    def __init__(self, header=None, *, vocoder="neural"):
        assert header == "the header"
        self.vocoder = vocoder

    def reset(self):
        self.late = np.zeros(480, np.float32)

    def push(self, packet):
        assert isinstance(packet, bytes)
        samples = np.concatenate([self.late, np.frombuffer(packet, np.int16) / 32767.0])
        self.late = samples[-480:]
        return samples[:-480].astype(np.float32)

    def flush(self):
        return self.late.astype(np.float32)


class StreamcodecError(Exception):
    pass


@pytest.fixture
def stand_in(monkeypatch):
    module = types.ModuleType("stand_in_codec")
    module.__spec__ = types.SimpleNamespace(name="stand_in_codec")
    module.SpeechEncoder, module.SpeechDecoder = Encoder, Decoder
    module.errors = types.SimpleNamespace(StreamcodecError=StreamcodecError)
    monkeypatch.setitem(sys.modules, "stand_in_codec", module)
    monkeypatch.setattr(own_codec, "OWN", "stand_in_codec")
    return module


def test_clip_passes_through_the_public_interface(stand_in, babble):
    codec = StreamCodec(2000, {}, {})
    assert codec.available() is None
    coded = codec.transcode(babble)
    packets = -(-len(babble) // FRAME)
    assert packets * 160 <= coded.bits <= (packets + 1) * 160
    # 480 samples late, as the stand-in is; alignment is another module's task.
    np.testing.assert_allclose(coded.sound[480:], babble[:-480], atol=1e-4)
    assert coded.encode_seconds > 0.0
    assert coded.decode_seconds > 0.0


def test_one_pair_of_streams_serves_all_clips(stand_in, babble):
    before = Encoder.created
    codec = StreamCodec(2000, {}, {})
    first, second = codec.transcode(babble), codec.transcode(babble)
    assert Encoder.created == before + 1
    np.testing.assert_array_equal(first.sound, second.sound)


def test_what_our_codec_says_of_a_setting_is_the_reason(stand_in):
    assert StreamCodec(1, {}, {}).available() == "bitrate 1: expected 1000 to 6000"


def test_absent_package_is_a_reason(monkeypatch):
    monkeypatch.setattr(own_codec, "OWN", "no_such_codec")
    assert StreamCodec(2000, {}, {}).available() == "no Python package no_such_codec"


def test_settings_are_read_from_text():
    codec = parse_codec("streamcodec:1600:quantizer=uniform:vocoder=griffin-lim:low_delay", 3)
    assert isinstance(codec, StreamCodec)
    assert codec.bitrate == 1600
    assert codec.encoder_options == {"complexity": 3, "quantizer": "uniform", "low_delay": True}
    assert codec.decoder_options == {"vocoder": "griffin-lim"}
    assert codec.name == "streamcodec:1600:quantizer=uniform:vocoder=griffin-lim:low_delay"


def test_a_model_is_for_both_sides():
    codec = parse_codec("streamcodec:2000:model=weights/other:vocoder=neural")
    assert isinstance(codec, StreamCodec)
    assert codec.encoder_options == {"model": "weights/other"}
    assert codec.decoder_options == {"model": "weights/other", "vocoder": "neural"}


def test_text_wins_over_the_common_complexity():
    codec = parse_codec("streamcodec:complexity=9", 3)
    assert isinstance(codec, StreamCodec)
    assert codec.bitrate == own_codec.DEFAULT_BITRATE
    assert codec.encoder_options == {"complexity": 9}


def test_any_function_can_take_part(babble):
    codec = FunctionCodec("half", lambda sound: (7, 0.5 * sound))
    assert codec.available() is None
    coded = codec.transcode(babble)
    assert coded.bits == 7
    np.testing.assert_array_equal(coded.sound, np.float32(0.5) * babble)


def test_a_function_is_imported_by_its_path():
    codec = parse_codec("copy=copy:copy")
    assert isinstance(codec, FunctionCodec)
    assert codec.name == "copy"
    assert codec.available() is None
    assert "no_such_module" in parse_codec("x=no_such_module:f").available()
    assert "module:function" in parse_codec("x=copy").available()


def test_an_unknown_codec_is_refused():
    with pytest.raises(ValueError, match="unknown codec 'mp3:128'"):
        parse_codec("mp3:128")


def test_results_live_until_code_weights_or_options_change(stand_in, tmp_path):
    code, weights = tmp_path / "code", tmp_path / "weights"
    code.mkdir()
    weights.mkdir()
    stand_in.__file__ = str(code / "__init__.py")
    (code / "search.py").write_text("STEPS = 6\n")
    (weights / "decoder.safetensors").write_bytes(b"one")

    def version(bitrate: int = 2000, **options) -> str:
        return StreamCodec(bitrate, {"model": str(weights), **options}, {}).version

    first = version()
    assert version() == first
    assert len({first, version(1000), version(complexity=3)}) == 3
    (code / "search.py").write_text("STEPS = 7\n")
    assert version() != first
    (code / "search.py").write_text("STEPS = 6\n")
    (weights / "decoder.safetensors").write_bytes(b"two")
    assert version() != first
