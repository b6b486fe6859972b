"""The vector decodes to what it says, by the library and by the document's own reader."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from streamcodec.core.entropy import IntegerPrior
from streamcodec.core.grid import GridCoder
from streamcodec.image.header import parse_alpha
from streamcodec.image.items import ItemType
from streamcodec.image.layout import parse_image
from streamcodec.image.tile_coder import parse_tile
from streamcodec.nn.spatial_prior import NEIGHBOURS
from tests.core.small_prior import small_prior
from tests.image import reference

VECTOR = json.loads((Path(__file__).parents[1] / "vectors" / "image_small.json").read_text())
DATA = bytes.fromhex(VECTOR["file"])
CONTENTS = VECTOR["contents"]


def test_the_document_reads_it() -> None:
    assert reference.read(DATA, VECTOR["model"]) == CONTENTS


def test_the_library_reads_it() -> None:
    tensors, metadata = small_prior(context_steps=len(NEIGHBOURS))
    assert {n: a.tolist() for n, a in tensors.items()} | metadata == VECTOR["model"]
    coder = GridCoder(IntegerPrior(tensors, metadata), NEIGHBOURS)
    parts = parse_image(DATA)
    picture = parts.picture
    assert (picture.width, picture.height) == (CONTENTS["width"], CONTENTS["height"])
    assert picture.to_bytes()[-1] == CONTENTS["bits"]
    assert parts.icc_profile.hex() == CONTENTS["icc_profile"]
    assert parts.exif.hex() == CONTENTS["exif"]
    assert len(parts.grid) == len(CONTENTS["tiles"]) == len(CONTENTS["alpha"])
    kinds = set()
    for number, box in enumerate(parts.grid):
        item, data = parts.tiles[number]
        kinds.add(item.type)
        expected = CONTENTS["tiles"][str(number)]
        assert item.rung == expected["rate"]
        assert parse_tile(coder, item, data, box).tolist() == expected["symbols"]
        pixels = box.scaled(16).common(parts.grid.pixels)
        plane = parse_alpha(parts.alpha[number], pixels.height, pixels.width, np.uint16)
        assert plane.tolist() == CONTENTS["alpha"][str(number)]
    assert kinds == {ItemType.TILE, ItemType.MASKED_TILE}


def test_neighbours_are_the_documents() -> None:
    assert NEIGHBOURS == reference.NEIGHBOURS


def test_a_payload_literally() -> None:
    """Also written out here, so that no regenerated file hides a change of the bitstream."""
    coder = GridCoder(IntegerPrior(*small_prior(context_steps=6)), NEIGHBOURS)
    symbols = np.zeros((2, 2, 6), np.int32)
    symbols[0, 0] = 0, -1, 2, 0, 0, -30
    symbols[1, 1] = 1, 0, 0, 0, 400, -32_767
    assert coder.rate(symbols, 0).encode().hex() == "53e284e07864539f58a2138760c44b3848cc86cda0"
