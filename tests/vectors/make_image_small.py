"""Makes image_small.json. Run it only with a new version of the bitstream::

python -m tests.vectors.make_image_small
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from streamcodec.core.container import ContainerWriter
from streamcodec.core.entropy import IntegerPrior
from streamcodec.core.grid import GridCoder
from streamcodec.core.packet import KIND_IMAGE, StreamHeader
from streamcodec.image.header import PictureHeader, pack_alpha, pack_profile
from streamcodec.image.items import Item, ItemType, pack_item
from streamcodec.image.tile_coder import pack_numbered, pack_tile
from streamcodec.image.tiles import TileGrid
from streamcodec.nn.spatial_prior import NEIGHBOURS
from tests.core.small_prior import CHANNELS, RATES, heavy_tailed, small_prior

SEED = 44
SIDE = 4
PICTURE = PictureHeader(width=140, height=75, colour=True, alpha=True, deep=True)
PROFILE, EXIF = b"a colour profile", b"Exif\0\0made up"


def main() -> None:
    tensors, metadata = small_prior(context_steps=len(NEIGHBOURS))
    coder = GridCoder(IntegerPrior(tensors, metadata), NEIGHBOURS)
    rng = np.random.default_rng(SEED)
    grid = TileGrid(PICTURE.height, PICTURE.width, SIDE)
    items = [
        Item(ItemType.PICTURE, PICTURE.to_bytes()),
        Item(ItemType.ICC_PROFILE, pack_profile(PROFILE)),
        Item(ItemType.EXIF, pack_profile(EXIF)),
    ]
    tiles, planes = {}, {}
    for number, box in enumerate(grid):
        symbols = heavy_tailed(rng, box.height, box.width, CHANNELS)
        if number % 2:  # channels that are left out
            symbols[:, :, [0, 2, 3, 5]] = 0
        rung = number % RATES
        items.append(pack_tile(number, coder.rate(symbols, rung), rung))
        pixels = box.scaled(16).common(grid.pixels)
        plane = rng.integers(0, 1 << 16, (pixels.height, pixels.width))
        if number != 1:  # smooth ones, so that all ways to take differences are there
            ramp = np.add.outer(np.arange(pixels.height), number * np.arange(pixels.width))
            plane = 9 * ramp % (1 << 16)
        items.append(pack_numbered(ItemType.ALPHA, number, pack_alpha(plane.astype(np.uint16))))
        tiles[str(number)] = {"rate": rung, "symbols": symbols.tolist()}
        planes[str(number)] = plane.tolist()
    header = StreamHeader(bytes(range(8)), steps_per_packet=SIDE, refresh=1, kind=KIND_IMAGE)
    writer = ContainerWriter(header)
    data = writer.begin()
    data += b"".join(writer.add(bytes(p)) for item in items for p in pack_item(item))
    data += writer.finish(PICTURE.pixels)
    contents = {
        "width": PICTURE.width,
        "height": PICTURE.height,
        "bits": PICTURE.to_bytes()[-1],
        "tiles": tiles,
        "alpha": planes,
        "icc_profile": PROFILE.hex(),
        "exif": EXIF.hex(),
    }
    model = {name: array.tolist() for name, array in tensors.items()} | metadata
    text = json.dumps({"model": model, "file": data.hex(), "contents": contents})
    (Path(__file__).parent / "image_small.json").write_text(text.replace('], "', '],\n"') + "\n")


if __name__ == "__main__":
    main()
