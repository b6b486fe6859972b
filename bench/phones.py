"""Phone error rate: what a recogniser without words hears, against the transcript.

PocketSphinx decodes phones with its phone trigram; the transcript becomes phones by PocketSphinx's
dictionary, and of the pronunciations of each word the one nearest to what was heard counts. The
recogniser is weak (it errs on originals, too): the figure ranks codecs, and is no measure of how
much a person understands. Clips without transcript, or with a word that the dictionary lacks, are
left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from streamcodec_models.phone_labels import feed, words_of

from bench.clips import Clip
from bench.metrics import LISTENING_LEVEL_DB, Metric, Values
from bench.signals import Sound, set_active_level, to_int16

Pronunciations = list[tuple[str, ...]]

PAUSES = {"SIL", "<s>", "</s>", "<sil>"}
# Search settings of PocketSphinx's own example of phone decoding.
LANGUAGE_WEIGHT = 2.0
BEAM = 1e-20


class PhoneErrors(Metric):
    """Phone errors and reference phones of a clip; the table shows their ratio."""

    name = "per"
    columns = ("phone_errors", "reference_phones")
    packages = ("pocketsphinx",)
    modules = ("pocketsphinx",)
    revision = 2

    def applies_to(self, clip: Clip) -> bool:
        """Whether every word of the clip's transcript is in the dictionary."""
        return super().applies_to(clip) and self.reference(clip.transcript) is not None

    def prepare(self) -> None:
        """Load acoustic model and phone trigram."""
        from pocketsphinx import Decoder, get_model_path

        # Cepstral means are those of the whole clip, since all of it is at hand.
        self._decoder = Decoder(
            hmm=get_model_path("en-us/en-us"),
            allphone=get_model_path("en-us/en-us-phone.lm.bin"),
            lw=LANGUAGE_WEIGHT,
            beam=BEAM,
            pbeam=BEAM,
            cmn="batch",
            loglevel="FATAL",
        )

    def score(self, clip: Clip, decoded: Sound) -> Values:
        """Recognise the decoded sound at the listening level and count errors."""
        words = self.reference(clip.transcript)
        if words is None:
            raise ValueError(f"{clip.name}: no transcript, or a word that is not in the dictionary")
        samples = to_int16(set_active_level(decoded, LISTENING_LEVEL_DB))
        errors = phone_distance(self.recognise(samples.tobytes()), words)
        return {
            "phone_errors": float(errors),
            "reference_phones": float(sum(len(choices[0]) for choices in words)),
        }

    def recognise(self, pcm: bytes) -> list[str]:
        """Phones heard in 16-bit samples, without pauses and noises."""
        feed(self._decoder, pcm)
        heard = (segment.word for segment in self._decoder.seg())
        return [phone for phone in heard if phone not in PAUSES and not phone.startswith("+")]

    def reference(self, transcript: str) -> list[Pronunciations] | None:
        """Pronunciations of each word; ``None`` without words or with an unknown one."""
        words = words_of(transcript)
        found = [self._dictionary.get(word) or self._dictionary.get(word + ".") for word in words]
        known = [choices for choices in found if choices]
        return known if known and len(known) == len(words) else None

    @cached_property
    def _dictionary(self) -> dict[str, Pronunciations]:
        from pocketsphinx import get_model_path

        return read_dictionary(Path(get_model_path("en-us/cmudict-en-us.dict")))


def read_dictionary(path: Path) -> dict[str, Pronunciations]:
    """Pronunciations by word from a file in the CMU format (``word(2) PH ON ES``)."""
    entries: dict[str, Pronunciations] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        word, *phones = line.split()
        entries.setdefault(re.sub(r"\(\d+\)$", "", word), []).append(tuple(phones))
    return entries


def phone_distance(heard: Sequence[str], words: Sequence[Pronunciations]) -> int:
    """Fewest insertions, deletions and substitutions from any reading of ``words`` to ``heard``.

    Levenshtein's table, one row a reference phone; at the end of a word the rows of its
    pronunciations are merged by their minimum.
    """
    row = np.arange(len(heard) + 1)
    for pronunciations in words:
        row = np.min([_through(row, heard, phones) for phones in pronunciations], axis=0)
    return int(row[-1])


def _through(row: np.ndarray, heard: Sequence[str], phones: Sequence[str]) -> np.ndarray:
    for phone in phones:
        new = np.empty_like(row)
        new[0] = row[0] + 1
        for i, sound in enumerate(heard):
            new[i + 1] = min(row[i] + (sound != phone), row[i + 1] + 1, new[i] + 1)
        row = new
    return row
