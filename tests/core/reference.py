"""A decoder of symbols in plain Python, written from docs/bitstream.md alone.

It shares no line with the library, uses neither numpy nor numba nor constriction, and is as slow
as one expects. What it decodes is what the document says.
"""

from __future__ import annotations

from typing import Any


class CorruptError(Exception):
    """The payload is not one that an encoder makes."""


def clamp(x: int, low: int, high: int) -> int:
    return max(low, min(high, x))


def rounded(x: int, k: int) -> int:
    return (x + (1 << (k - 1))) >> k


class RangeDecoder:
    """Section 3."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.position = 0
        self.point = 0
        for _ in range(8):
            self.point = self.point << 8 | self.next_byte()
        self.low, self.range, self.bits = 0, 2**64 - 1, 64

    def next_byte(self) -> int:
        self.position += 1
        return self.payload[self.position - 1] if self.position <= len(self.payload) else 0

    def decode(self, frequencies: list[int]) -> int:
        scale = self.range >> 24
        quotient = self.point // scale
        if quotient >= 1 << 24:
            raise CorruptError
        below, symbol = 0, 0
        while quotient >= below + 256 * frequencies[symbol]:
            below += 256 * frequencies[symbol]
            symbol += 1
        self.point -= scale * below
        self.low += scale * below
        self.range = scale * 256 * frequencies[symbol]
        if self.range < 1 << 32:
            self.range <<= 32
            self.low <<= 32
            self.bits += 32
            for _ in range(4):
                self.point = self.point << 8 | self.next_byte()
        return symbol

    def sealed(self) -> bytes:
        for length in range(self.bits // 8 + 1):
            rest = self.bits - 8 * length
            number = -(-self.low >> rest)  # the lowest with so many bytes
            if number << rest < self.low + self.range:
                return number.to_bytes(length, "big")
        raise CorruptError


class Prior:
    """Sections 4 and 5; ``model`` holds the arrays as nested lists and the numbers."""

    def __init__(self, model: dict[str, Any]) -> None:
        self.m = model
        self.channels = len(model["current"])
        self.hidden = len(model["middle"])
        self.tables = []
        begin = 0
        for reach in model["table_reach"]:
            for _ in range(16):
                end = begin + 2 * reach + 2
                self.tables.append(model["table_frequencies"][begin:end])
                begin = end

    def input(self, symbol: int, rate: int) -> int:
        x = rounded(symbol * self.m["input_multiplier"][rate], self.m["input_shift"])
        return clamp(x, -32767, 32767)

    def degree(self, unit: int) -> int:
        return unit // (self.hidden // self.channels)

    def distribution(self, past: list[list[int]], known: list[int], rate: int) -> tuple[int, int]:
        """Table and center for the channel behind the known ones."""
        m, c = self.m, len(known)
        units = [j for j in range(self.hidden) if self.degree(j) <= c]
        a, b = {}, {}
        for j in units:
            total = m["first_bias"][rate][j]
            for k, step in enumerate(past):
                for d, v in enumerate(step):
                    total += self.input(v, rate) * m["context"][k * self.channels + d][j]
            for d in range(self.degree(j)):
                total += self.input(known[d], rate) * m["current"][d][j]
            a[j] = clamp(rounded(total, m["first_shift"]), 0, 32767)
        for j in units:
            total = m["middle_bias"][j]
            total += sum(
                a[i] * m["middle"][i][j] for i in units if self.degree(i) <= self.degree(j)
            )
            b[j] = clamp(rounded(total, m["middle_shift"]), 0, 32767)

        def out(n: int) -> int:
            return m["output_bias"][n] + sum(b[i] * m["output"][i][n] for i in units)

        location = rounded(out(c) * m["location_multiplier"][rate], m["output_shift"])
        location = clamp(location, -524272, 524272) + 8
        scale = out(self.channels + c) * m["scale_multiplier"] + m["scale_offset"][rate]
        scale = clamp(scale >> m["output_shift"], 0, m["scales"] - 1)
        return 16 * scale + (location & 15), location >> 4

    def offset(self, coder: RangeDecoder, table: int) -> int:
        fair = [1 << 15, 1 << 15]
        reach = self.m["table_reach"][table // 16]
        entry = coder.decode(self.tables[table])
        if entry <= 2 * reach:
            return entry - reach
        negative = coder.decode(fair)
        zeros = 0
        while coder.decode(fair) == 0:
            zeros += 1
            if zeros > 15:
                raise CorruptError
        excess = 1
        for _ in range(zeros):
            excess = 2 * excess + coder.decode(fair)
        return -(reach + excess) if negative else reach + excess

    def decode(
        self, payload: bytes, steps: int, context: list[list[int]], rate: int
    ) -> tuple[list[list[int]], list[list[int]]]:
        coder = RangeDecoder(payload)
        past = [list(step) for step in context]
        symbols = []
        for _ in range(steps):
            step: list[int] = []
            for _ in range(self.channels):
                table, center = self.distribution(past, step, rate)
                symbol = center + self.offset(coder, table)
                if abs(symbol) > 32767:
                    raise CorruptError
                step.append(symbol)
            symbols.append(step)
            past = [*past[1:], step]
        if coder.sealed() != payload:
            raise CorruptError
        return symbols, past
