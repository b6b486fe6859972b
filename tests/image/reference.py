"""A reader of image files in plain Python, written from docs/bitstream.md alone (section 7).

It shares no line with the library and takes only whole files: what it reads is what the document
says.
"""

from __future__ import annotations

import zlib
from typing import Any

from tests.core.reference import CorruptError, Prior

NEIGHBOURS = ((-2, 0), (-1, -1), (-1, 0), (-1, 1), (0, -2), (0, -1))


def varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[place] & 0x7F) << shift
        shift += 7
        place += 1
        if data[place - 1] < 0x80:
            return value, place


class GridPrior(Prior):
    """Section 7.2: the prior with neighbours in place of steps."""

    def decode_tile(
        self, payload: bytes, height: int, width: int, rate: int, used: list[bool]
    ) -> list[list[list[int]]]:
        from tests.core.reference import RangeDecoder

        coder = RangeDecoder(payload)
        zeros = [0] * self.channels
        symbols = [[zeros for _ in range(width)] for _ in range(height)]
        for y in range(height):
            for x in range(width):
                past = []
                for dy, dx in NEIGHBOURS:
                    inside = y + dy >= 0 and 0 <= x + dx < width
                    past.append(symbols[y + dy][x + dx] if inside else zeros)
                step: list[int] = []
                for channel in range(self.channels):
                    table, center = self.distribution(past, step, rate)
                    step.append(center + self.offset(coder, table) if used[channel] else 0)
                symbols[y][x] = step
        if coder.sealed() != payload:
            raise CorruptError
        return symbols


def items_of(data: bytes) -> list[tuple[int, int, bytes]]:
    """Type, rung and body of every item."""
    length, place = varint(data, 8 + 21)
    place += length + 4
    items: list[tuple[int, bytes]] = []
    while True:
        length, place = varint(data, place)
        if length == 0:
            break
        packet = data[place : place + length]
        place += length
        rate, refresh = packet[0] >> 5, packet[0] >> 4 & 1
        if refresh:
            items.append((rate, packet[2:]))
        else:
            items[-1] = (rate, items[-1][1] + packet[2:])
    result = []
    for rate, content in items:
        check = zlib.crc32(content[:1] + content[3:]) & 0xFFFF
        if check != int.from_bytes(content[1:3], "big"):
            raise CorruptError
        result.append((content[0] & 15, 8 * (content[0] >> 4) + rate, content[3:]))
    return result


def read(data: bytes, model: dict[str, Any]) -> dict[str, Any]:
    """Everything that an image file holds."""
    prior = GridPrior(model)
    side = data[8 + 14]
    items = items_of(data)
    kind, _, head = items[0]
    if kind != 1:
        raise CorruptError
    width, place = varint(head, 0)
    height, place = varint(head, place)
    bits = head[place]
    rows, columns = -(-height // 16), -(-width // 16)
    m, n = -(-rows // side), -(-columns // side)
    found: dict[str, Any] = {
        "width": width, "height": height, "bits": bits, "tiles": {}, "alpha": {},
        "icc_profile": "", "exif": "",
    }  # fmt: skip
    for kind, rate, body in items[1:]:
        if kind in (5, 6):
            found["icc_profile" if kind == 5 else "exif"] = zlib.decompress(body).hex()
            continue
        number, place = varint(body, 0)
        i, j = divmod(number, n)
        y0, y1 = i * rows // m, (i + 1) * rows // m
        x0, x1 = j * columns // n, (j + 1) * columns // n
        body = body[place:]
        if kind == 4:
            found["alpha"][str(number)] = alpha(
                body, min(16 * y1, height) - 16 * y0, min(16 * x1, width) - 16 * x0, bits >> 2 & 1
            )
            continue
        used = [True] * prior.channels
        if kind == 3:
            size = -(-prior.channels // 8)
            used = [bool(body[c // 8] >> (7 - c % 8) & 1) for c in range(prior.channels)]
            body = body[size:]
        symbols = prior.decode_tile(body, y1 - y0, x1 - x0, rate, used)
        found["tiles"][str(number)] = {"rate": rate, "symbols": symbols}
    return found


def alpha(body: bytes, height: int, width: int, deep: int) -> list[list[int]]:
    """Section 7.3."""
    data = zlib.decompress(body[1:])
    size = 2 if deep else 1
    values = [int.from_bytes(data[k : k + size], "big") for k in range(0, len(data), size)]
    plane = [values[y * width : (y + 1) * width] for y in range(height)]
    modulus = 1 << (8 * size)
    for y in range(height):
        for x in range(width):
            if body[0] & 2 and y:
                plane[y][x] = (plane[y][x] + plane[y - 1][x]) % modulus
    for y in range(height):
        for x in range(width):
            if body[0] & 1 and x:
                plane[y][x] = (plane[y][x] + plane[y][x - 1]) % modulus
    return plane
