import numpy as np
import pytest

from bench.lineup import FAMILIES, all_peers, choose_peers
from bench.metrics import Stoi
from bench.native import NativeCodec, load_library
from bench.peers import FrameCodec, Identity, Stopwatch
from bench.radio_peers import Codec2
from bench.signals import SAMPLE_RATE, align

NOMINAL_KBPS = {
    "codec2_700C": 0.7, "codec2_1600": 1.6, "codec2_2400": 2.4, "codec2_3200": 3.2,
    "speexnb_3.95k": 3.95, "speexwb_7.75k": 7.75, "speexnb_8k": 8.0,
    "amrnb_4.75": 4.75, "amrwb_6.6": 6.6, "amrwb_8.85": 8.85, "g729_8k": 8.0,
    "identity8k": 128.0, "identity": 256.0,
}  # fmt: skip


def test_every_peer_either_works_or_says_what_it_lacks(clip):
    for peer in all_peers().values():
        reason = peer.available()
        if reason is not None:
            assert reason.startswith("no "), peer.name
            continue
        assert peer.version
        coded = peer.transcode(clip.sound)
        assert coded.sound.dtype == np.float32, peer.name
        decoded = align(coded.sound, clip.sound)
        assert Stoi().score(clip, decoded)["stoi"] > 0.5, peer.name
        if peer.name in NOMINAL_KBPS:
            kbps = coded.bits / clip.seconds / 1000.0
            # Only whole frames are sent, which is more than the nominal rate on a short clip.
            assert NOMINAL_KBPS[peer.name] - 1e-9 <= kbps < 1.03 * NOMINAL_KBPS[peer.name]


def test_streams_do_not_remember_each_other(clip):
    for peer in all_peers().values():
        if peer.available() is None:
            first, second = peer.transcode(clip.sound), peer.transcode(clip.sound)
            assert first.bits == second.bits
            if isinstance(peer, Codec2):
                continue  # its library keeps one random state for the whole process
            np.testing.assert_array_equal(first.sound, second.sound)


def test_a_missing_library_is_named_with_its_package():
    class Missing(NativeCodec):
        name = "missing"
        rate = SAMPLE_RATE
        frame_length = 320
        libraries = (("libdoes-not-exist.so.7", "does-not-exist"),)
        packages = "libdoes-not-exist7"

        def open(self):
            (library,) = self.loaded()
            return library.encode, library.decode

    missing = Missing()
    assert load_library("libdoes-not-exist.so.7") is None
    assert missing.available() == "no library does-not-exist (Debian: libdoes-not-exist7)"
    with pytest.raises(OSError, match="no library does-not-exist"):
        missing.open()


class Delay(FrameCodec):
    """Gives back each frame one frame later, at 8 bits a frame."""

    name = "delay"
    rate = SAMPLE_RATE
    frame_length = 160
    version = "1"

    def available(self):
        return None

    def open(self):
        held = [np.zeros(self.frame_length, np.int16)]

        def decode(packet):
            held.append(np.frombuffer(packet, np.int16))
            return held[-2]

        return lambda frame: (frame.tobytes(), 8), decode


def test_frames_cover_the_whole_clip_and_flushing_is_free(babble):
    sound = babble[:1000]
    coded = Delay().transcode(sound)
    assert coded.bits == 8 * 7  # ceil(1000 / 160)
    aligned = coded.sound[160 : 160 + len(sound)]
    np.testing.assert_allclose(aligned, sound, atol=1.0 / 32768)


def test_identity_at_8_khz_is_narrowband(clip):
    coded = Identity("identity8k", 8000).transcode(clip.sound)
    spectrum = np.abs(np.fft.rfft(coded.sound)) ** 2
    assert spectrum[len(spectrum) * 21 // 40 :].sum() < 1e-5 * spectrum.sum()


def test_peers_are_chosen_by_name_and_family():
    assert [p.name for p in choose_peers("opus_9k,amr")] == ["opus_9k", *FAMILIES["amr"]]
    assert choose_peers("none") == []
    assert len(choose_peers("all")) == len(all_peers())
    with pytest.raises(ValueError, match="unknown peer 'mp3'"):
        choose_peers("mp3")


def test_families_hold_every_peer_once():
    members = [name for family in FAMILIES.values() for name in family]
    assert sorted(members) == sorted(all_peers())


def test_stopwatch_counts_only_inside():
    watch = Stopwatch()
    sum(range(200_000))
    assert watch.seconds == 0.0
    with watch:
        sum(range(200_000))
    assert watch.seconds > 0.0
