import sys
import types

import numpy as np
import pytest

from bench.lyra import FILES, Lyra


class FakeQuantizer:
    """Sixteen levels a stage on one number, as the real one has on vectors."""

    def get_signature_runner(self, name):
        return getattr(self, name)

    def encode(self, input_frames, num_quantizers):
        assert input_frames.shape == (1, 1, 64)
        assert num_quantizers.dtype == np.int32
        level = int(np.clip(np.round(input_frames.mean() * 15), 0, 15))
        return {"output_0": np.full((46, 1, 1), level, np.int32), "output_1": np.int32(4)}

    def decode(self, encoding_indices):
        assert encoding_indices.shape == (46, 1, 1)
        used = encoding_indices[encoding_indices >= 0]
        self.stages = len(used)
        return {"output_0": np.full((1, 1, 64), used.mean() / 15.0, np.float32)}


class FakeNetwork:
    """Mean of the input, at every place of the output."""

    def __init__(self, source, target):
        self.source, self.target = source, target

    def allocate_tensors(self):
        self.value = 0.0

    def get_input_details(self):
        return [{"index": 3, "shape": np.array(self.source)}]

    def get_output_details(self):
        return [{"index": 9}]

    def set_tensor(self, index, values):
        assert (index, values.shape) == (3, self.source)
        self.value = values.mean()

    def invoke(self):
        self.result = np.full(self.target, self.value, np.float32)

    def get_tensor(self, index):
        assert index == 9
        return self.result


@pytest.fixture
def models(tmp_path, monkeypatch):
    for name in FILES:
        (tmp_path / name).write_bytes(b"model")

    def interpreter(model_path, num_threads):
        if "quantizer" in model_path:
            return FakeQuantizer()
        if "encoder" in model_path:
            return FakeNetwork((1, 320), (1, 1, 64))
        return FakeNetwork((1, 1, 64), (1, 320))

    package = types.ModuleType("ai_edge_litert")
    package.__spec__ = types.SimpleNamespace(name="ai_edge_litert")
    module = types.ModuleType("ai_edge_litert.interpreter")
    module.Interpreter = interpreter
    monkeypatch.setitem(sys.modules, "ai_edge_litert", package)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", module)
    return tmp_path


@pytest.mark.parametrize(("bitrate", "bits"), [(3200, 64), (6000, 120), (9200, 184)])
def test_frames_pass_through_the_three_models(models, bitrate, bits):
    lyra = Lyra(bitrate, models)
    assert lyra.available() is None
    encode, decode = lyra.open()
    packet, size = encode(np.full(320, 16384, np.int16))
    assert size == bits
    assert len(packet) == bits // 4
    np.testing.assert_allclose(decode(packet), 32768 * 8 / 15, atol=1)


def test_clip_comes_back_at_its_length(models):
    coded = Lyra(3200, models).transcode(np.full(16000, 0.6, np.float32))
    assert coded.bits == 3200
    np.testing.assert_allclose(coded.sound[:16000], 0.6, atol=1e-3)


def test_missing_models_are_reported(tmp_path):
    assert "--lyra-models" in Lyra(3200, None).available()
    assert "soundstream_encoder.tflite" in Lyra(3200, tmp_path).available()
    with pytest.raises(OSError, match="no models given"):
        Lyra(3200, None).open()
