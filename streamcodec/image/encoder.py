"""Image encoder: pixels in, the bytes of an image file out, window by window."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamcodec.core.container import ContainerWriter
from streamcodec.core.container_layout import FOOTER_BYTES, pack_varint
from streamcodec.core.packet import KIND_IMAGE, StreamHeader
from streamcodec.image.decoder import Progress
from streamcodec.image.distortion import named_distortion
from streamcodec.image.header import pack_alpha, pack_profile
from streamcodec.image.items import Item, ItemType, pack_item
from streamcodec.image.landing import (
    GuessPoints,
    LatticePoints,
    SearchedPoints,
    begun_at,
)
from streamcodec.image.model import ImageModel, load_image_model
from streamcodec.image.picture import Picture
from streamcodec.image.problem import WindowProblem
from streamcodec.image.rate import (
    NEARLY,
    PriceControl,
    Setting,
    rungs_around,
    setting_of_quality,
    setting_on,
)
from streamcodec.image.search import search_window, unsearched
from streamcodec.image.settings import BUDGETS, DEFAULT_QUALITY, EncoderSettings
from streamcodec.image.tile_coder import pack_numbered, pack_tile
from streamcodec.image.tiles import Box, TileGrid
from streamcodec.image.windows import (
    MARGIN,
    SEEN,
    Surroundings,
    Window,
    as_target,
    guess_latents,
    windows_of,
)
from streamcodec.nn.image import STRIDE

SEEK_BYTES = 4
"""What the seek point of the first item takes at most."""

LANDINGS = 4
"""Times that putting a window on the lattice is repeated if its bytes are too many or too few."""

RUNG_WINDOWS = 4
"""Windows of a picture that are looked at to choose its rung, at most."""

CLOSE = 0.994
"""Part of its bytes that a window has to use."""


class PictureEncoder:
    """Encodes one picture; :meth:`pieces` gives the file as it comes to be.

    Raises
    ------
    ModelError
        The model is missing or damaged.
    """

    def __init__(
        self,
        picture: Picture,
        settings: EncoderSettings,
        *,
        model: str | Path | ImageModel | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.picture = picture
        self.settings = settings
        self.model = load_image_model(model)
        self.grid = TileGrid(picture.header.height, picture.header.width, settings.tile // STRIDE)
        self._windows = windows_of(self.grid)
        self._budget = BUDGETS[settings.complexity]
        self._distortion = named_distortion(settings.distortion or self.model.distortion)
        self._progress = progress
        self._searched = 0
        self._told = 0.0
        self._found: dict[int, Tensor] = {}
        self._setting = Setting(0)
        self._share: list[float] = []
        self._bits_left = 0.0

    def pieces(self) -> Iterator[bytes]:
        """Encode; the pieces one after the other are the file."""
        header = StreamHeader(
            identity=self.model.identity,
            steps_per_packet=self.settings.tile // STRIDE,
            refresh=1,
            kind=KIND_IMAGE,
        )
        writer = ContainerWriter(header)
        head = writer.begin() + _record(
            writer, Item(ItemType.PICTURE, self.picture.header.to_bytes())
        )
        self._plan(len(head))
        yield head
        if self.picture.icc_profile:
            profile = pack_profile(self.picture.icc_profile)
            yield _record(writer, Item(ItemType.ICC_PROFILE, profile))
        if self.picture.exif:
            yield _record(writer, Item(ItemType.EXIF, pack_profile(self.picture.exif)))
        for number, window in enumerate(self._windows):
            for tile, item in self._encode(number, window):
                yield _record(writer, item)
                if self.picture.header.alpha:
                    body = pack_alpha(self._alpha(tile))
                    yield _record(writer, pack_numbered(ItemType.ALPHA, tile, body))
        yield writer.finish(self.picture.header.pixels)

    def _plan(self, head_bytes: int) -> None:
        """Choose the rung, and what each window may cost."""
        settings, model = self.settings, self.model
        if settings.bpp is None:
            quality = DEFAULT_QUALITY if settings.quality is None else settings.quality
            self._setting = setting_of_quality(quality, model.trade_offs)
            return
        pixels = self.picture.header.pixels
        count = len(pack_varint(len(self.grid) + 1))
        # Behind the records come the end mark, three numbers, a first seek point and the footer.
        end = 1 + len(pack_varint(pixels)) + 2 * count + SEEK_BYTES + FOOTER_BYTES
        self._bits_left = settings.bpp * pixels - 8 * (head_bytes + end)
        estimates = np.array([self._estimates(w) for w in self._windows])
        totals = estimates.sum(axis=0).tolist()
        # Putting E's guess on the lattice can only spare bits; without a search the rung above is
        # the one that meets them.
        rungs = rungs_around(self._bits_left, totals)
        rung = self._best_rung(rungs, totals) if self._budget.passes else rungs[0]
        self._setting = setting_on(rung, self._bits_left, totals)
        # What E alone spends, at equal gains, goes where an equal price would let it go.
        self._share = np.maximum(estimates[:, rung], 1.0).tolist()

    def _best_rung(self, rungs: list[int], totals: list[float]) -> int:
        """The rung on which E's guess, brought to the bits, is least far off.

        Whether bits are better spared on a finer rung or spent on a coarser one depends on the
        picture, and a wrong choice costs up to two decibels. So both are tried before the search,
        on a few windows.
        """
        if len(rungs) == 1:
            return rungs[0]
        step = -(-len(self._windows) // RUNG_WINDOWS)
        windows = self._windows[step // 2 :: step]
        distances = []
        for rung in rungs:
            self._setting = Setting(rung)
            part = max(0.0, self._bits_left) / totals[rung]
            distance = 0.0
            for window in windows:
                place = self._surroundings(window)
                problem = self._problem(window, place, PriceControl(1.0))
                points: LatticePoints = GuessPoints(problem, place.guess)
                bits = part * problem.lattice_bits(points.found)
                if part > 1.0:
                    points = SearchedPoints(problem, unsearched(problem, points.found))
                symbols, _ = points.with_bits(bits)
                distance += self.model.trade_offs[rung] * problem.lattice_distance(symbols)
            distances.append(distance)
        return rungs[int(np.argmin(distances))]

    @torch.no_grad()
    def _estimates(self, window: Window) -> list[float]:
        """Bits of E alone for a window, at each rung."""
        guess = self._guess(window.box)
        bits = []
        for rung, gain in enumerate(self.model.gains):
            rate = torch.tensor([rung])
            total = 0.0
            for tile in window.tiles:
                z = (guess[self.grid[tile].within(window.box).slices] * gain).round()[None]
                total += float(self.model.search_prior.tile_bits(z, z, rate).sum())
            bits.append(total)
        return bits

    def _encode(self, number: int, window: Window) -> Iterator[tuple[int, Item]]:
        """Search a window; give its tiles."""
        place = self._surroundings(window)
        allowed: float | None = None
        if self._share:
            part = self._share[number] / sum(self._share[number:])
            allowed = max(0.0, self._bits_left * part)
        control = PriceControl(self._setting.price, allowed)
        problem = self._problem(window, place, control)
        symbols, items = self._landed(problem, place, control, allowed)
        # The next window begins with the price that this one came to.
        self._setting = Setting(self._setting.rung, control.price)
        self._bits_left -= 8 * _wire_bytes(items)
        for tile, box in zip(window.tiles, place.tiles, strict=True):
            self._found[tile] = symbols[box.slices]
        self._forget(window)
        self._searched += window.box.area
        self._tell(self._searched)
        yield from zip(window.tiles, items, strict=True)

    def _problem(self, window: Window, place: Surroundings, control: PriceControl) -> WindowProblem:
        return WindowProblem(
            self.model,
            self._setting.rung,
            place,
            self._distortion,
            control,
            colour=self.picture.header.colour,
            tick=lambda: self._ticked(window),
        )

    def _landed(
        self,
        problem: WindowProblem,
        place: Surroundings,
        control: PriceControl,
        allowed: float | None,
    ) -> tuple[Tensor, list[Item]]:
        """A window's symbols and items: what a search finds, or E's guess."""
        guessed = GuessPoints(problem, place.guess)
        if not self._budget.passes:
            return self._land(place, guessed, allowed)
        start = guessed.found if allowed is None else guessed.with_bits(allowed)[0]
        searched = search_window(
            problem,
            begun_at(place.guess, start),
            self.model.trade_offs[self._setting.rung],
            self.settings.quantizer,
            self._budget,
            control,
        )
        symbols, items = self._land(place, SearchedPoints(problem, searched), allowed)
        # Within the same bits nothing searched is to be farther off than E's guess.
        if allowed is not None and (
            problem.lattice_distance(start) < problem.lattice_distance(symbols)
        ):
            return self._land(place, guessed, allowed)
        return symbols, items

    def _land(
        self, place: Surroundings, points: LatticePoints, allowed: float | None
    ) -> tuple[Tensor, list[Item]]:
        """Choose a window's symbols, within its bits; those that the file really grows by."""
        best = points.found, self._items(points.found, place)
        if allowed is None:
            return best
        most = -math.inf
        aim = allowed * NEARLY
        for _ in range(LANDINGS):
            symbols, expected = points.with_bits(aim)
            items = self._items(symbols, place)
            spent = 8 * _wire_bytes(items)
            # Within the bits and most of them, or else the fewest.
            merit = spent if spent <= allowed else -spent
            if merit > most:
                most, best = merit, (symbols, items)
            if CLOSE * allowed <= spent <= allowed:
                break
            # What the coder spends beyond the prior's reckoning is about the same next time.
            aim = max(0.0, NEARLY * allowed - (spent - expected))
        return best

    def _items(self, symbols: Tensor, place: Surroundings) -> list[Item]:
        """The items of a window's tiles."""
        integers, rung = symbols.to(torch.int32).numpy(), self._setting.rung
        return [
            pack_tile(number, self.model.coder.rate(integers[box.slices], rung), rung)
            for number, box in zip(place.window.tiles, place.tiles, strict=True)
        ]

    def _surroundings(self, window: Window) -> Surroundings:
        """Gather what the search of a window needs."""
        grid, gain = self.grid, self.model.gains[self._setting.rung]
        around = window.box.grown(MARGIN, grid.bounds)
        inner = window.box.within(around)
        latents = self._guess(around) * gain
        guess = latents[inner.slices].clone()
        fixed = latents.round()
        for tile in grid.touching(around):
            if tile in self._found:
                shared = grid[tile].common(around)
                found = self._found[tile][shared.within(grid[tile]).slices]
                fixed[shared.within(around).slices] = found
        fixed[inner.slices] = 0.0
        seen = window.box.grown(SEEN, grid.bounds).scaled(STRIDE).common(grid.pixels)
        return Surroundings(
            window=window,
            tiles=[grid[t].within(window.box) for t in window.tiles],
            inner=inner,
            guess=guess,
            fixed=fixed / gain,
            seen=seen.within(around.scaled(STRIDE)),
            target=self._target(seen),
        )

    def _guess(self, box: Box) -> Tensor:
        """E's latents ``(h, w, dim)`` of a rectangle of positions."""
        outer = box.grown(self.model.encoder.halo, self.grid.bounds)
        pixels = self._target(outer.scaled(STRIDE).common(self.grid.pixels))
        return guess_latents(self.model, pixels, outer, box)

    def _target(self, pixels: Box) -> Tensor:
        header = self.picture.header
        return as_target(self.picture.read(pixels), header.peak, header.colour)

    def _alpha(self, tile: int) -> NDArray[np.unsignedinteger]:
        pixels = self.grid[tile].scaled(STRIDE).common(self.grid.pixels)
        return self.picture.read(pixels)[:, :, -1]

    def _forget(self, window: Window) -> None:
        """Keep the symbols of tiles that windows to come may have in their margin."""
        row = window.tiles[0] // self.grid.columns
        for tile in [t for t in self._found if t // self.grid.columns < row - 1]:
            del self._found[tile]

    def _ticked(self, window: Window) -> None:
        """One more pass through the generator; a window takes about as many as its budget says."""
        done = self._told + window.box.area / max(1, self._budget.passes)
        self._tell(min(done, self._searched + window.box.area))

    def _tell(self, positions: float) -> None:
        """Tell how many positions are done."""
        self._told = positions
        if self._progress is not None:
            total = self.picture.header.pixels
            self._progress(positions / self.grid.bounds.area * total, total)


def _wire_bytes(items: list[Item]) -> int:
    """What items add to a file."""
    total = 0
    for item in items:
        size = sum(len(p) + len(pack_varint(len(p))) for p in pack_item(item))
        # Its seek point tells one packet more and so many bytes more than the one before.
        total += size + 1 + len(pack_varint(size))
    return total


def _record(writer: ContainerWriter, item: Item) -> bytes:
    return b"".join(writer.add(bytes(packet)) for packet in pack_item(item))
