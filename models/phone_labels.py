"""Which phone is spoken in each frame of a recording, found by an offline recogniser.

PocketSphinx aligns the transcript with the sound where there is one and its dictionary knows
every word. Otherwise it recognises words first, aligns those, and the words it is unsure of get
no label; a recording of which it understands too little (other languages, noise) gets none at
all. Needs the package ``pocketsphinx``, which carries acoustic model, language model and
dictionary (39 phones of American English).
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

PHONES = (
    "SIL",
    "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH",
    "IH", "IY", "JH", "K", "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH",
    "UW", "V", "W", "Y", "Z", "ZH",
)  # fmt: skip
"""A pause, and the phones of the CMU dictionary. A label is an index into this."""

PAUSE = 0
UNKNOWN = -1
"""Label of frames of which nothing is known."""

SURE = 0.5
"""Posterior from which a recognised word is believed, and mean posterior of the words from which
a recording is. English recordings of training data average 0.6 to 0.9, Russian ones 0.3. Held
against the aligned transcripts of 15 recordings by pupils and second-language speakers, 97 % of
the frames that got a label without the transcript got the right one; 38 % got one."""

FRAME_STEP = 160
"""Samples from one frame to the next at 16 kHz: 10 ms."""

# What CMUSphinx's page on speed suggests; half the time of the defaults. Going without its second
# pass as well would save a quarter more, but then only 77 % of the labels were right.
_FAST = {"ds": 2, "maxwpf": 5, "maxhmmpf": 3000}

PADDING = 30
"""Frames of quiet noise put before and after a recording. Without them alignment breaks off in
one recording of seven: where the sound ends on a phone, or is digital silence."""

NOISE = 3.0
"""Standard deviation of that noise, in steps of 16 bits; the recording gets it, too."""


def words_of(transcript: str) -> list[str]:
    """Words of a transcript in lower case, without punctuation but for apostrophe and point."""
    return re.findall(r"[a-z'.]+", transcript.lower().replace("-", " "))


class PhoneLabeller:
    """PocketSphinx with its American English models, loaded once."""

    def __init__(self) -> None:
        from pocketsphinx import Decoder, get_model_path

        # Cepstral means are those of the whole recording, since all of it is at hand.
        common = {
            "hmm": get_model_path("en-us/en-us"),
            "dict": get_model_path("en-us/cmudict-en-us.dict"),
            "cmn": "batch",
            "loglevel": "FATAL",
        }
        self._recogniser: Any = Decoder(**common, **_FAST, lm=get_model_path("en-us/en-us.lm.bin"))
        self._aligner: Any = Decoder(**common, lm=None)

    def label(self, samples: NDArray[np.int16], transcript: str = "") -> NDArray[np.int8] | None:
        """Label every frame of a recording.

        Parameters
        ----------
        samples : ndarray of int16, shape (n,)
            At 16 kHz.
        transcript : str
            What is said, in English; may be empty.

        Returns
        -------
        ndarray of int8, shape (frames,), or None
            Indices into ``PHONES`` or ``UNKNOWN``; frame k starts at sample 160 k. ``None`` if
            the recording was not understood or does not fit the transcript.
        """
        pcm = _with_noise(samples)
        words = [self._known(word) for word in words_of(transcript)]
        belief = np.ones(len(pcm) // (2 * FRAME_STEP))
        if not words or not all(words):
            words, belief = self._recognise(pcm, belief)
        labels = self._align(pcm, words, len(belief)) if words else None
        if labels is None:
            return None
        labels[belief < SURE] = UNKNOWN
        return labels[PADDING : PADDING + len(samples) // FRAME_STEP]

    def _known(self, word: str) -> str:
        """The dictionary's spelling of a word (letters have a point there); empty if it has none.

        A word that begins or ends with a quotation mark is looked up without it, too.
        """
        for spelling in (word, word + ".", word.strip("'.")):
            if spelling and self._aligner.lookup_word(spelling):
                return spelling
        return ""

    def _recognise(
        self, pcm: bytes, belief: NDArray[np.float64]
    ) -> tuple[list[str], NDArray[np.float64]]:
        """Words heard (none if most are doubtful), and the posterior of each frame's word."""
        feed(self._recogniser, pcm)
        spoken = [s for s in self._recogniser.seg() or () if s.word[0] not in "<["]
        if not spoken or np.mean([s.prob for s in spoken]) < SURE:
            return [], belief
        for s in spoken:
            belief[s.start_frame : s.end_frame + 1] = s.prob
        return [re.sub(r"\(\d+\)$", "", s.word) for s in spoken], belief

    def _align(self, pcm: bytes, words: list[str], frames: int) -> NDArray[np.int8] | None:
        """Where each phone of the words begins and ends; ``None`` if they do not fit the sound."""
        labels = np.full(frames, UNKNOWN, np.int8)
        try:
            self._aligner.set_align_text(" ".join(words))
            feed(self._aligner, pcm)
            self._aligner.set_alignment()
            feed(self._aligner, pcm)
        except RuntimeError:  # how PocketSphinx says that no path led to the end
            return None
        for word in self._aligner.get_alignment():
            for phone in word:
                if phone.name in PHONES:
                    labels[phone.start : phone.start + phone.duration] = PHONES.index(phone.name)
        return labels


def _with_noise(samples: NDArray[np.int16]) -> bytes:
    """Pad and dither a recording, the same way every time."""
    padded = np.pad(samples.astype(np.float64), PADDING * FRAME_STEP)
    padded += NOISE * np.random.default_rng(0).standard_normal(len(padded))
    return np.clip(np.round(padded), -32768, 32767).astype(np.int16).tobytes()


def feed(decoder: Any, pcm: bytes) -> None:
    """Let a PocketSphinx decoder hear a whole recording, as if it were the first.

    Parameters
    ----------
    decoder : pocketsphinx.Decoder
    pcm : bytes
        16-bit samples at 16 kHz.

    Raises
    ------
    RuntimeError
        If it has words to align and they do not fit.
    """
    # Without this the front end carries noise estimates over from the recording before.
    decoder.reinit_feat()
    decoder.start_utt()
    decoder.process_raw(pcm, no_search=False, full_utt=True)
    decoder.end_utt()
