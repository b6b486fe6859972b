"""Entropy coding of a grid of positions: the integer prior with neighbours in place of the past.

A stream's symbols have the steps before them as context; those of a grid, a tile of a picture,
have the positions above and to the left. Network, tables and range code are the same
(:mod:`streamcodec.core.entropy`), only the gathering of the context differs. Outside the grid
there are zeros, so a grid decodes by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamcodec.core import grid_loops as loops
from streamcodec.core import integer_network as net
from streamcodec.core.entropy import IntegerPrior
from streamcodec.core.range_coder import STATE_BITS, WORD_BITS, WORD_BYTES, seal_interval
from streamcodec.core.tables import FrequencyTables
from streamcodec.errors import CorruptPacketError, InputError, ModelError

_WRONG = {
    loops.NO_SYMBOL: "the payload is not a range-coded message of this model",
    loops.LONG_ESCAPE: "an escaped symbol is longer than any",
    loops.LARGE_SYMBOL: f"a symbol is beyond {net.MAX_SYMBOL}",
}


@dataclass(frozen=True)
class RatedGrid:
    """A grid of symbols and the distributions that it is coded with.

    Attributes
    ----------
    tables : FrequencyTables
    choice, offsets
        ``(h, w, channels)``: the table of each symbol and its offset from the table's center.
    symbols
        ``(h, w, channels)``
    """

    tables: FrequencyTables
    choice: NDArray[np.int64]
    offsets: NDArray[np.int64]
    symbols: NDArray[np.int32]

    def bits(self) -> NDArray[np.float64]:
        """Information content of each symbol, ``(h, w, channels)``, in bits."""
        return self.tables.bits(self.choice, self.offsets)

    def used(self) -> NDArray[np.bool_]:
        """Channels that are not zero everywhere, ``(channels,)``."""
        return np.asarray(self.symbols.any(axis=(0, 1)))

    def encode(self, used: NDArray[np.bool_] | None = None) -> bytes:
        """Encode the grid into one payload.

        Parameters
        ----------
        used
            ``(channels,)``: channels that the message holds (all if omitted); the others must be
            zero everywhere.

        Raises
        ------
        InputError
            A channel that is left out holds something.
        """
        choice, offsets = self.choice, self.offsets
        if used is not None:
            if (self.used() & ~used).any():
                raise InputError("expected zeros in the channels that the message leaves out")
            choice, offsets = choice[:, :, used], offsets[:, :, used]
        words = np.empty(loops.SYMBOL_WORDS * choice.size, np.uint32)
        state = np.zeros(3, np.uint64)
        flat = self.tables.flat()
        loops.encode_entries(flat, choice.ravel(), offsets.ravel(), words, state)
        return _message(words, state)


class GridCoder:
    """Symbols of a grid to the bytes of a payload and back.

    Parameters
    ----------
    prior
        The integer prior of a model.
    neighbours
        Places ``(dy, dx)`` of the context, in the order of the prior's context steps; all before
        (0, 0) in raster order.

    Raises
    ------
    ModelError
        The prior has another number of context steps.
    """

    def __init__(self, prior: IntegerPrior, neighbours: Sequence[tuple[int, int]]) -> None:
        if len(neighbours) != prior.context_steps or any(n >= (0, 0) for n in neighbours):
            raise ModelError(
                f"expected a prior for {len(neighbours)} earlier neighbours, found one for "
                f"{prior.context_steps}; this is no model for pictures"
            )
        self.prior = prior
        self.channels = prior.latent_dim
        self._neighbours = np.array(neighbours, np.int64)
        self._flat = prior.tables.flat()

    def rate(self, symbols: NDArray[np.int32], rung: int) -> RatedGrid:
        """Find what a grid costs; the result can be encoded.

        Parameters
        ----------
        symbols
            ``(h, w, channels)`` integers within -32767..32767.
        rung
            Rung of the rate ladder.

        Raises
        ------
        InputError
            A shape, symbol or rung out of range.
        """
        symbols = self._checked(symbols, rung)
        network = self.prior.network
        tables = np.empty(symbols.shape, np.int64)
        centers = np.empty_like(tables)
        loops.grid_distributions(
            network, self._neighbours, rung, symbols, net.empty_sums(network), tables, centers
        )
        return RatedGrid(self.prior.tables, tables, symbols - centers, symbols)

    def decode(
        self,
        payload: bytes,
        height: int,
        width: int,
        rung: int,
        used: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.int32]:
        """Decode what :meth:`RatedGrid.encode` made.

        Returns
        -------
        ``(height, width, channels)`` int32.

        Raises
        ------
        CorruptPacketError
            The payload is not one that ``encode`` could have made.
        """
        used = np.ones(self.channels, bool) if used is None else used
        if not 0 <= rung < self.prior.rates:
            raise CorruptPacketError(f"expected a rung below {self.prior.rates}, found {rung}")
        limit = self.prior.max_payload(height * width)
        if len(payload) > limit:
            raise CorruptPacketError(
                f"expected at most {limit} bytes for {height} x {width} positions, found "
                f"{len(payload)}"
            )
        padded = payload + bytes(-len(payload) % WORD_BYTES)
        words = np.frombuffer(padded, dtype=">u4").astype(np.uint32)
        state = np.zeros(3, np.uint64)
        symbols = np.zeros((height, width, self.channels), np.int32)
        network = self.prior.network
        status = loops.decode_grid(
            network, self._flat, self._neighbours, rung, used, words, state,
            net.empty_sums(network), symbols,
        )  # fmt: skip
        if status != loops.DECODED:
            raise CorruptPacketError(_WRONG[status])
        if _sealed(payload, state) != payload:
            raise CorruptPacketError(
                f"the payload of {len(payload)} bytes is not the sealed form of the symbols in it: "
                "bytes were added or changed"
            )
        return symbols

    def _checked(self, symbols: NDArray[np.integer], rung: int) -> NDArray[np.int32]:
        if not 0 <= rung < self.prior.rates:
            raise InputError(f"expected a rung from 0 to {self.prior.rates - 1}, found {rung}")
        if symbols.ndim != 3 or symbols.shape[2] != self.channels or symbols.dtype.kind not in "iu":
            raise InputError(
                f"expected integers (height, width, {self.channels}), found {symbols.dtype} "
                f"{symbols.shape}"
            )
        if symbols.size and not (
            -net.MAX_SYMBOL <= symbols.min() <= symbols.max() <= net.MAX_SYMBOL
        ):
            raise InputError(f"expected symbols within +-{net.MAX_SYMBOL}, found larger ones")
        return np.ascontiguousarray(symbols, dtype=np.int32)


def _message(words: NDArray[np.uint32], state: NDArray[np.uint64]) -> bytes:
    """Seal what the compiled loop has written."""
    count = int(state[loops.WRITTEN])
    lower = int.from_bytes(words[:count].astype(">u4").tobytes(), "big") << STATE_BITS
    bits = WORD_BITS * count + STATE_BITS
    return seal_interval(lower + int(state[loops.LOWER]), int(state[loops.WIDTH]), bits)


def _sealed(payload: bytes, state: NDArray[np.uint64]) -> bytes:
    """What an encoder of the decoded symbols would have sealed.

    The decoder holds the message's distance from the lower end of the final interval, so that
    end is known without encoding anything again.
    """
    bits = WORD_BITS * int(state[loops.POSITION])
    message = int.from_bytes(payload[: bits // 8], "big") << max(0, bits - 8 * len(payload))
    return seal_interval(message - int(state[loops.POINT]), int(state[loops.RANGE]), bits)
