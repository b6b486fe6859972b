import json

import numpy as np
import pytest
import soundfile
import torch
from streamcodec_models.phone_labels import PAUSE, UNKNOWN
from streamcodec_models.phone_nets import FrameLstm, FrameMlp, save_classifiers

from bench import phone_classifiers
from bench.measure import ClipResult
from bench.peers import Codec, Transcoded
from bench.phone_classifiers import ClassifierErrors, add_excess, main
from bench.signals import SAMPLE_RATE, Sound

LABEL = 7


class OneLongPhone:
    """Knows what is said wherever there is sound; does not understand silent clips."""

    asked = 0

    def label(self, samples, transcript=""):
        type(self).asked += 1
        if not np.any(samples):
            return None
        labels = np.full(len(samples) // 160, LABEL, np.int8)
        labels[:10] = PAUSE
        labels[-10:] = UNKNOWN
        return labels


@pytest.fixture(autouse=True)
def labeller(monkeypatch):
    monkeypatch.setattr(phone_classifiers, "PhoneLabeller", OneLongPhone)
    monkeypatch.setattr(ClassifierErrors, "packages", ("numpy",))
    monkeypatch.setattr(ClassifierErrors, "modules", ("numpy",))
    monkeypatch.setattr(OneLongPhone, "asked", 0)


@pytest.fixture
def classifiers(tmp_path):
    """The perceptron always says the right phone, the LSTM always another one."""
    nets = {"mlp": FrameMlp(), "lstm": FrameLstm()}
    for net, answer in zip(nets.values(), (LABEL, LABEL + 1), strict=True):
        torch.nn.init.zeros_(net.output.weight)
        torch.nn.init.zeros_(net.output.bias)
        net.output.bias.data[answer] = 1.0
    path = tmp_path / "phones.safetensors"
    save_classifiers(path, nets, {})
    return path


@pytest.fixture
def folder(tmp_path, babble):
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    soundfile.write(recordings / "a.wav", babble, SAMPLE_RATE)
    soundfile.write(recordings / "b.wav", 0.5 * babble, SAMPLE_RATE)
    soundfile.write(recordings / "silence.wav", 0 * babble, SAMPLE_RATE)
    (recordings / "manifest.tsv").write_text("file\ttranscript\na.wav\tONE\n")
    return recordings


def test_frames_of_a_phone_are_counted(classifiers, clip):
    metric = ClassifierErrors(classifiers)
    spoken = len(clip.sound) // 160 - 20
    values = metric.score(clip, clip.sound)
    assert values == {"mlp_wrong": 0.0, "lstm_wrong": spoken, "spoken_frames": spoken}
    metric.score(clip, clip.sound)
    assert metric.applies_to(clip)
    assert OneLongPhone.asked == 1  # the original is labelled once, whatever the codecs


def test_results_are_kept_by_classifier(classifiers):
    first = ClassifierErrors(classifiers).key
    assert ClassifierErrors(classifiers).key == first
    save_classifiers(classifiers, {"mlp": FrameMlp(), "lstm": FrameLstm()}, {})
    assert ClassifierErrors(classifiers).key != first


def test_excess_is_taken_clip_by_clip():
    def result(codec: str, clip: str, wrong: float) -> ClipResult:
        values = {"mlp_wrong": wrong, "lstm_wrong": 2 * wrong, "spoken_frames": 100.0}
        return ClipResult(codec, clip, 1.0, values=values)

    failed = ClipResult("codec", "c", 1.0, errors=["no"])
    results = [result("identity", "a", 10), result("identity", "b", 20), failed]
    results += [result("codec", "a", 15), result("codec", "b", 18)]
    add_excess(results)
    assert [r.values.get("mlp_excess") for r in results] == [0, 0, None, 5, -2]
    assert [r.values.get("lstm_excess") for r in results] == [0, 0, None, 10, -4]


class Deaf(Codec):
    """Gives noise back."""

    name = "deaf"
    version = "1"
    cacheable = False

    def available(self):
        return None

    def transcode(self, sound: Sound) -> Transcoded:
        noise = np.random.default_rng(0).standard_normal(len(sound))
        return Transcoded(1000, noise.astype(np.float32), 0.0, 0.0)


def test_table_has_the_original_and_the_difference(
    folder, classifiers, capsys, tmp_path, monkeypatch
):
    monkeypatch.setattr(phone_classifiers, "choose_peers", lambda *_: [Deaf()])
    # A perceptron that hears loudness above all: noise moves it, so that there is a difference.
    torch.manual_seed(0)
    save_classifiers(classifiers, {"mlp": FrameMlp(), "lstm": FrameLstm()}, {})
    out = tmp_path / "out.json"
    status = main(
        [str(folder), "--classifiers", str(classifiers), "--codec", "none", "--out", str(out)]
    )
    shown = capsys.readouterr().out
    assert status == 0
    header, deaf, original, *rest = shown.splitlines()
    assert header.split()[:3] == ["codec", "kbit/s", "MLP"]
    assert (deaf.split()[0], original.split()[0]) == ("deaf", "identity")
    assert original.split()[3] == "0.0±0.0"
    assert "2 of 3 clips, 0.1 min: 1 with a transcript, 1 that the recogniser" in "\n".join(rest)
    document = json.loads(out.read_text())
    errors = {row["codec"]: row["estimates"] for row in document["rows"]}
    for kind in ("mlp", "lstm"):
        difference = errors["deaf"][f"{kind}_error"]["value"]
        difference -= errors["identity"][f"{kind}_error"]["value"]
        assert errors["deaf"][f"{kind}_excess"]["value"] == pytest.approx(difference)


def test_what_is_missing_is_said(folder, classifiers, capsys, tmp_path):
    common = ["--codec", "none", "--peers", "none"]
    assert main([str(folder), "--classifiers", str(tmp_path / "none"), *common]) == 2
    assert "python -m streamcodec_models.phones" in capsys.readouterr().err
    assert main([str(tmp_path / "nowhere"), "--classifiers", str(classifiers), *common]) == 2
    for name in ("a.wav", "b.wav"):
        (folder / name).unlink()
    assert main([str(folder), "--classifiers", str(classifiers), *common]) == 2
    assert "no clip" in capsys.readouterr().err
