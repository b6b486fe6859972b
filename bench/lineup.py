"""Which codecs take part in a run: peers by name or family, and our own."""

from __future__ import annotations

from pathlib import Path

from bench.internet_peers import Opus, Speex
from bench.lyra import Lyra
from bench.peers import NARROWBAND_RATE, Codec, Identity
from bench.radio_peers import G729, AmrNarrowband, AmrWideband, Codec2

FAMILIES: dict[str, tuple[str, ...]] = {
    "codec2": ("codec2_700C", "codec2_1600", "codec2_2400", "codec2_3200"),
    "lyra": ("lyra_3200", "lyra_6000", "lyra_9200"),
    "speex": ("speexnb_3.95k", "speexwb_7.75k", "speexnb_8k"),
    "amr": ("amrnb_4.75", "amrwb_6.6", "amrwb_8.85"),
    "opus": ("opus_6k", "opus_9k", "opus_12k"),
    "g729": ("g729_8k",),
    "identity": ("identity8k", "identity"),
}


def all_peers(lyra_models: Path | None = None) -> dict[str, Codec]:
    """Every peer by its name, whether this machine has it or not."""
    peers: list[Codec] = [
        *(Codec2(mode) for mode in Codec2.MODES),
        *(Lyra(bitrate, lyra_models) for bitrate in (3200, 6000, 9200)),
        Speex("speexnb_3.95k", wideband=False, quality=1),
        Speex("speexnb_8k", wideband=False, quality=4),
        Speex("speexwb_7.75k", wideband=True, quality=2),
        AmrNarrowband("amrnb_4.75", mode=0, bits=95),
        AmrWideband("amrwb_6.6", mode=0, bits=132),
        AmrWideband("amrwb_8.85", mode=1, bits=177),
        *(Opus(bitrate) for bitrate in (6000, 9000, 12000)),
        G729(),
        Identity("identity8k", NARROWBAND_RATE),
        Identity(),
    ]
    return {peer.name: peer for peer in peers}


def choose_peers(names: str, lyra_models: Path | None = None) -> list[Codec]:
    """Peers named in a comma-separated list of names and families; ``all`` and ``none`` work.

    Raises
    ------
    ValueError
        If a name is not known.
    """
    known = all_peers(lyra_models)
    chosen: dict[str, Codec] = {}
    for name in filter(None, names.split(",")):
        if name == "none":
            continue
        if name == "all":
            chosen.update(known)
        elif name in FAMILIES:
            chosen.update((member, known[member]) for member in FAMILIES[name])
        elif name in known:
            chosen[name] = known[name]
        else:
            raise ValueError(
                f"unknown peer {name!r}: expected all, none, a family ({', '.join(FAMILIES)}) "
                f"or a name ({', '.join(known)})"
            )
    return list(chosen.values())
