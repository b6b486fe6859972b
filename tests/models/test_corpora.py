"""Public corpora in miniature, laid out as they are published, and folders with manifests."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from streamcodec_models.corpora import _bare_torchaudio, _dataset_module, recordings
from streamcodec_models.data import SpeechCorpus

from streamcodec.errors import InputError


def write(path: Path, rate: int = 16_000, seconds: float = 0.5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(rate * seconds)) / rate
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 300 * time), rate)


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def librispeech(tmp_path: Path) -> Path:
    for subset, speaker, chapter in (("train-clean-100", 19, 198), ("dev-clean", 84, 121123)):
        folder = tmp_path / "LibriSpeech" / subset / f"{speaker}" / f"{chapter}"
        for number in (0, 1):
            write(folder / f"{speaker}-{chapter}-{number:04d}.flac")
        lines = [f"{speaker}-{chapter}-{n:04d} CHAPTER {word}" for n, word in enumerate("AB")]
        write_text(folder / f"{speaker}-{chapter}.trans.txt", "\n".join(lines) + "\n")
    return tmp_path


@pytest.fixture
def vctk(tmp_path: Path) -> Path:
    top = tmp_path / "VCTK-Corpus-0.92"
    for speaker in ("p225", "p226"):
        write_text(top / "txt" / speaker / f"{speaker}_001.txt", "Please call Stella.\n")
        for microphone in ("mic1", "mic2"):
            folder = top / "wav48_silence_trimmed" / speaker
            write(folder / f"{speaker}_001_{microphone}.flac", 48_000)
    return tmp_path


@pytest.fixture
def cmuarctic(tmp_path: Path) -> Path:
    for voice in ("bdl", "slt"):
        top = tmp_path / "ARCTIC" / f"cmu_us_{voice}_arctic"
        write(top / "wav" / "arctic_a0001.wav")
        write_text(top / "etc" / "txt.done.data", '( arctic_a0001 "Author of the trail." )\n')
    return tmp_path


@pytest.fixture
def ljspeech(tmp_path: Path) -> Path:
    top = tmp_path / "LJSpeech-1.1"
    for number in (1, 2):
        write(top / "wavs" / f"LJ001-000{number}.wav", 22_050)
    write_text(top / "metadata.csv", "LJ001-0001|No 1|Number one\nLJ001-0002|No 2|Number two\n")
    return tmp_path


def test_librispeech_has_speakers_and_transcripts(librispeech: Path) -> None:
    found = recordings(f"librispeech:{librispeech}")
    assert [(r.source, r.speaker, r.transcript) for r in found] == [
        ("librispeech", "19", "CHAPTER A"),
        ("librispeech", "19", "CHAPTER B"),
    ]
    assert all(r.path.is_file() for r in found)
    assert {r.speaker for r in recordings(f"librispeech:{librispeech}:dev-clean")} == {"84"}


def test_vctk_takes_one_microphone(vctk: Path) -> None:
    found = recordings(f"vctk:{vctk}")
    assert [(r.speaker, r.path.name) for r in found] == [
        ("p225", "p225_001_mic2.flac"),
        ("p226", "p226_001_mic2.flac"),
    ]
    assert found[0].transcript == "Please call Stella."
    assert recordings(f"vctk:{vctk}:mic1")[0].path.name == "p225_001_mic1.flac"


def test_cmu_arctic_takes_every_voice_or_one(cmuarctic: Path) -> None:
    found = recordings(f"cmuarctic:{cmuarctic}")
    assert [(r.speaker, r.path.is_file()) for r in found] == [("bdl", True), ("slt", True)]
    assert "Author of the trail" in found[0].transcript
    assert [r.speaker for r in recordings(f"cmuarctic:{cmuarctic}:slt")] == ["slt"]


def test_ljspeech_is_one_speaker(ljspeech: Path) -> None:
    found = recordings(f"ljspeech:{ljspeech}")
    assert [(r.speaker, r.transcript) for r in found] == [
        ("lj", "Number one"),
        ("lj", "Number two"),
    ]


@pytest.mark.parametrize(
    ("name", "rate"),
    [("librispeech", 16_000), ("vctk", 48_000), ("cmuarctic", 16_000), ("ljspeech", 22_050)],
)
def test_sound_of_every_corpus_comes_at_16_khz(
    name: str, rate: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = request.getfixturevalue(name)
    corpus = SpeechCorpus(f"{name}:{root}", tmp_path / "cache")
    sound = corpus.sound(corpus.utterances[0])
    assert abs(len(sound) - 8000) <= 1
    assert 0.28 < np.abs(sound[2000:6000]).max() / 32768 < 0.31
    assert {u.held_out for u in corpus.utterances} == {False, True}


def test_several_corpora_at_once(librispeech: Path, vctk: Path, tmp_path: Path) -> None:
    plain = tmp_path / "own"
    write(plain / "ann" / "a.wav")
    data = [f"librispeech:{librispeech}", f"vctk:{vctk}", plain]
    corpus = SpeechCorpus(data, tmp_path / "cache")
    voices = {u.voice for u in corpus.utterances}
    assert voices == {"librispeech/19", "vctk/p225", "vctk/p226", "own/ann"}
    assert len(corpus.shards) == 5


def test_a_folders_manifest_names_speakers(tmp_path: Path) -> None:
    write(tmp_path / "a.wav")
    write(tmp_path / "deep" / "b.wav")
    write(tmp_path / "c.wav")
    write_text(
        tmp_path / "manifest.tsv", 'file\tspeaker\ttranscript\na.wav\tann\t"HI\ndeep/b.wav\tbob\t\n'
    )
    found = {r.path.name: (r.speaker, r.transcript) for r in recordings(str(tmp_path))}
    assert found == {"a.wav": ("ann", '"HI'), "b.wav": ("bob", ""), "c.wav": (tmp_path.name, "")}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{}/nowhere", "is not a folder"),
        ("{}", "holds no recordings"),
        ("librispeech:{}", "train-clean-100 is not there"),
        ("vctk:{}", "is not there"),
        ("cmuarctic:{}", "is not there"),
        ("ljspeech:{}", "is not there"),
        ("timit:{}", "is not a folder"),
    ],
)
def test_what_is_missing_is_named(data: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=message):
        recordings(data.format(tmp_path))
    assert not list(tmp_path.iterdir())  # nothing is created on the way


def test_wrong_parts_are_refused(librispeech: Path, vctk: Path, ljspeech: Path) -> None:
    with pytest.raises(FileNotFoundError, match="train-clean-999"):
        recordings(f"librispeech:{librispeech}:train-clean-999")
    with pytest.raises(InputError, match="mic9"):
        recordings(f"vctk:{vctk}:mic9")
    with pytest.raises(InputError, match="no parts"):
        recordings(f"ljspeech:{ljspeech}:train")


def test_a_broken_layout_is_refused(librispeech: Path, ljspeech: Path) -> None:
    transcripts = next(librispeech.rglob("19-198.trans.txt"))
    transcripts.write_text("19-198-0000 ONE ONLY\n")
    with pytest.raises(InputError, match="19-198-0001"):
        recordings(f"librispeech:{librispeech}")
    (ljspeech / "LJSpeech-1.1" / "metadata.csv").write_text("LJ001-0001|two fields\n")
    with pytest.raises(InputError, match="cannot be read"):
        recordings(f"ljspeech:{ljspeech}")


def test_torchaudio_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("torchaudio")]:
        monkeypatch.delitem(sys.modules, name)  # as other tests may have left it
    monkeypatch.setitem(sys.modules, "torchaudio", "the real one")
    monkeypatch.setitem(sys.modules, "torchaudio.functional", "its part")
    with _bare_torchaudio():
        assert sys.modules["torchaudio"] != "the real one"
        assert "torchaudio.functional" not in sys.modules
    assert sys.modules["torchaudio"] == "the real one"
    assert sys.modules["torchaudio.functional"] == "its part"
    _dataset_module.cache_clear()
    assert _dataset_module("vctk").VCTK_092
    assert sys.modules["torchaudio"] == "the real one"
    assert "torchaudio.datasets" not in sys.modules


def test_a_missing_torchaudio_is_named(librispeech: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _dataset_module.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install torchaudio"):
        recordings(f"librispeech:{librispeech}")
