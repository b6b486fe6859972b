"""The integer prior: symbols to the bytes of a payload and back, the same on every machine.

A model file holds a network and tables in integers (made from the trained prior by
``streamcodec_models.export_prior``; the bitstream document defines every field). The network
turns the symbols decoded so far into a table number and a center for the next symbol, the table
gives its probabilities, and the range coder does the rest. No operation between the payload and
the symbols is in floating point, but for the exact hand-over in
:func:`streamcodec.core.range_coder.exact_model`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamcodec.core import integer_network as net
from streamcodec.core.prior_file import load_prior
from streamcodec.core.range_coder import RangeDecoder, RangeEncoder
from streamcodec.core.tables import MAX_SYMBOL_BITS
from streamcodec.errors import CorruptPacketError, InputError

SEAL_BYTES = 2
"""What the end of a message can cost at most beyond its symbols, rounded up."""


class IntegerPrior:
    """Entropy coding of latent symbols.

    Parameters
    ----------
    tensors
        The integer arrays of a model: the fields of
        :class:`~streamcodec.core.integer_network.IntegerNetwork` but ``layout``,
        ``table_reach`` and ``table_frequencies``. Others are ignored.
    metadata
        The numbers of ``layout`` by the names in ``prior_file.LAYOUT_NAMES``. Others are ignored.

    Raises
    ------
    ModelError
        Something is missing or has a shape, type or value that no exported model has.
    """

    def __init__(
        self, tensors: Mapping[str, NDArray[np.integer]], metadata: Mapping[str, Any]
    ) -> None:
        self.network, self.tables = load_prior(tensors, metadata)
        self.latent_dim = len(self.network.current)
        self.context_steps = int(self.network.layout[net.CONTEXT_STEPS])
        self.rates = len(self.network.first_bias)
        # Have the loops compiled or loaded now, not in the first packet of a live stream.
        silence = np.zeros((1, self.latent_dim), np.int32)
        payload, _ = self.encode(silence, self.initial_context(), 0)
        self.decode(payload, 1, self.initial_context(), 0)

    def initial_context(self) -> NDArray[np.int32]:
        """Context at the start of a stream and after a refresh: zeros."""
        return np.zeros((self.context_steps, self.latent_dim), np.int32)

    def max_payload(self, steps: int) -> int:
        """Bytes that no payload of ``steps`` latent steps exceeds."""
        return -(-steps * self.latent_dim * MAX_SYMBOL_BITS // 8) + SEAL_BYTES

    def encode(
        self, symbols: NDArray[np.int32], context: NDArray[np.int32], rate: int
    ) -> tuple[bytes, NDArray[np.int32]]:
        """Encode some latent steps into one payload.

        Parameters
        ----------
        symbols
            ``(steps, latent_dim)`` integers within -32767..32767.
        context
            ``(context_steps, latent_dim)``, from :meth:`initial_context` or the call before.
        rate
            Rung of the rate ladder, ``0 <= rate < rates``.

        Returns
        -------
        payload, context
            The bytes, and the context for the next call.

        Raises
        ------
        InputError
            A shape, symbol or rate out of range.
        """
        sequence = self._sequence(symbols, context, rate)
        steps = len(symbols)
        tables = np.empty((steps, self.latent_dim), np.int64)
        centers = np.empty_like(tables)
        net.distributions(
            self.network, rate, sequence, net.empty_sums(self.network), tables, centers
        )
        offsets = sequence[self.context_steps :] - centers
        encoder = RangeEncoder()
        for table, offset in zip(tables.ravel().tolist(), offsets.ravel().tolist(), strict=True):
            self.tables.encode(encoder, table, offset)
        return encoder.seal(), sequence[steps:].copy()

    def decode(
        self, payload: bytes, steps: int, context: NDArray[np.int32], rate: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Decode what :meth:`encode` made.

        Returns
        -------
        symbols, context
            ``(steps, latent_dim)`` int32, and the context for the next call.

        Raises
        ------
        CorruptPacketError
            The payload is not one that ``encode`` could have made from this context. (One that
            it could have made from another context decodes to other symbols, or raises this.)
        InputError
            ``context`` or ``steps`` does not fit the model.
        """
        if not 0 <= rate < self.rates:
            raise CorruptPacketError(
                f"expected a rate below {self.rates}, found {rate}; conceal this packet"
            )
        if len(payload) > self.max_payload(steps):
            raise CorruptPacketError(
                f"expected at most {self.max_payload(steps)} bytes for {steps} latent steps, "
                f"found {len(payload)}; conceal this packet"
            )
        sequence = self._sequence(np.zeros((steps, self.latent_dim), np.int32), context, rate)
        network, decode, sums = self.network, self.tables.decode, net.empty_sums(self.network)
        decoder = RangeDecoder(payload)
        for n in range(steps):
            net.start_step(network, rate, sequence[n : n + self.context_steps], sums)
            row = sequence[self.context_steps + n]
            symbol = 0
            for channel in range(self.latent_dim):
                table, center = net.tell_and_ask(network, rate, channel, symbol, sums)
                symbol = center + decode(decoder, table)
                if not -net.MAX_SYMBOL <= symbol <= net.MAX_SYMBOL:
                    raise CorruptPacketError(
                        f"a symbol is {symbol}, beyond {net.MAX_SYMBOL}; conceal this packet"
                    )
                row[channel] = symbol
        decoder.finish()
        return sequence[self.context_steps :].copy(), sequence[steps:].copy()

    def predict(
        self, steps: int, context: NDArray[np.int32], rate: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """What is most likely to come next, for who has lost it.

        Returns
        -------
        locations, context
            ``(steps, latent_dim)``, in symbols and multiples of 1/16: the location of each
            distribution where the symbols before it are what was most likely; and the context
            behind them.

        Raises
        ------
        InputError
            ``context`` or ``rate`` does not fit the model.
        """
        sequence = self._sequence(np.zeros((steps, self.latent_dim), np.int32), context, rate)
        network, sums = self.network, net.empty_sums(self.network)
        locations = np.empty((steps, self.latent_dim))
        for n in range(steps):
            net.start_step(network, rate, sequence[n : n + self.context_steps], sums)
            row = sequence[self.context_steps + n]
            symbol = 0
            for channel in range(self.latent_dim):
                table, symbol = net.tell_and_ask(network, rate, channel, symbol, sums)
                row[channel] = symbol
                fraction = table % net.FRACTIONS - net.FRACTIONS // 2
                locations[n, channel] = symbol + fraction / net.FRACTIONS
        return locations, sequence[steps:].copy()

    def bits(self, symbols: NDArray[np.int32], context: NDArray[np.int32], rate: int) -> float:
        """Information content of ``symbols`` ``(steps, latent_dim)`` in bits.

        What :meth:`encode` would spend on them, but for the end of the message (about 4 bits).
        """
        return float(self.candidate_bits(np.asarray(symbols)[None], context, rate)[0])

    def candidate_bits(
        self, candidates: NDArray[np.int32], context: NDArray[np.int32], rate: int
    ) -> NDArray[np.float64]:
        """Information content of each of many continuations of one context.

        Parameters
        ----------
        candidates
            ``(n, steps, latent_dim)`` integers within -32767..32767.

        Returns
        -------
        ``(n,)`` float64, in bits.
        """
        candidates = np.asarray(candidates)
        if candidates.ndim != 3:
            raise InputError(
                f"expected candidates (n, steps, {self.latent_dim}), found {candidates.shape}"
            )
        count, steps, channels = candidates.shape
        sequence = self._sequence(candidates.reshape(count * steps, channels), context, rate)
        past, flat = sequence[: self.context_steps], sequence[self.context_steps :]
        candidates = flat.reshape(count, steps, channels)
        tables = np.empty(candidates.shape, np.int64)
        centers = np.empty_like(tables)
        net.candidate_distributions(
            self.network, rate, past, candidates, net.empty_sums(self.network), tables, centers
        )
        return self.tables.bits(tables, candidates - centers).sum(axis=(1, 2))

    def _sequence(
        self, symbols: NDArray[np.integer], context: NDArray[np.integer], rate: int
    ) -> NDArray[np.int32]:
        """Context and symbols in one array ``(context_steps + steps, latent_dim)``, checked."""
        symbols, context = np.asarray(symbols), np.asarray(context)
        if not 0 <= rate < self.rates:
            raise InputError(f"expected a rate from 0 to {self.rates - 1}, found {rate}")
        if symbols.ndim != 2 or symbols.shape[1] != self.latent_dim:
            raise InputError(f"expected symbols (steps, {self.latent_dim}), found {symbols.shape}")
        if context.shape != (self.context_steps, self.latent_dim):
            raise InputError(
                f"expected context ({self.context_steps}, {self.latent_dim}), found "
                f"{context.shape}; start from initial_context()"
            )
        if not (symbols.dtype.kind in "iu" and context.dtype.kind in "iu"):
            raise InputError(f"expected integers, found {symbols.dtype} and {context.dtype}")
        sequence = np.concatenate([context, symbols])
        if sequence.size and not -net.MAX_SYMBOL <= sequence.min() <= sequence.max() <= (
            net.MAX_SYMBOL
        ):
            raise InputError(f"expected symbols within +-{net.MAX_SYMBOL}, found larger ones")
        return sequence.astype(np.int32)
