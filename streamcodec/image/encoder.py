"""Image encoder: pixels in, the bytes of an image file out, window by window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from streamcodec.core.container import ContainerWriter
from streamcodec.core.container_layout import FOOTER_BYTES, pack_varint
from streamcodec.core.packet import KIND_IMAGE, StreamHeader
from streamcodec.image.decoder import Progress
from streamcodec.image.distortion import named_distortion
from streamcodec.image.header import pack_alpha, pack_profile
from streamcodec.image.items import Item, ItemType, pack_item, wire_bytes
from streamcodec.image.landing import GuessPoints, SearchedPoints, begun_at, land
from streamcodec.image.model import ImageModel, load_image_model
from streamcodec.image.picture import Picture
from streamcodec.image.plan import Plan, RatePlan
from streamcodec.image.problem import WindowProblem
from streamcodec.image.rate import PriceControl, setting_of_quality
from streamcodec.image.scene import Scene
from streamcodec.image.search import search_window
from streamcodec.image.settings import BUDGETS, DEFAULT_QUALITY, EncoderSettings
from streamcodec.image.tile_coder import pack_numbered, pack_tile
from streamcodec.image.windows import Surroundings, Window

SEEK_BYTES = 4
"""What the seek point of the first item takes at most."""


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
        if isinstance(settings.distortion, str):
            self.model = self.model.guessing_for(settings.distortion)
        self._side = settings.tile_side(picture.header.height, picture.header.width)
        self.scene = Scene(picture, self.model, self._side)
        self._budget = BUDGETS[settings.complexity]
        self._distortion = named_distortion(settings.distortion or self.model.distortion)
        self._progress = progress
        self._searched = 0
        self._told = 0.0

    def pieces(self) -> Iterator[bytes]:
        """Encode; the pieces one after the other are the file."""
        header = StreamHeader(
            identity=self.model.identity,
            steps_per_packet=self._side,
            refresh=1,
            kind=KIND_IMAGE,
        )
        writer = ContainerWriter(header)
        head = writer.begin() + _record(
            writer, Item(ItemType.PICTURE, self.picture.header.to_bytes())
        )
        plan = self._plan(len(head))
        yield head
        if self.picture.icc_profile:
            profile = pack_profile(self.picture.icc_profile)
            yield _record(writer, Item(ItemType.ICC_PROFILE, profile))
        if self.picture.exif:
            yield _record(writer, Item(ItemType.EXIF, pack_profile(self.picture.exif)))
        for number, window in enumerate(self.scene.windows):
            items = self._encode(window, plan, plan.allowed(number))
            for tile, item in zip(window.tiles, items, strict=True):
                yield _record(writer, item)
                if self.picture.header.alpha:
                    body = pack_alpha(self.scene.alpha(tile))
                    yield _record(writer, pack_numbered(ItemType.ALPHA, tile, body))
        yield writer.finish(self.picture.header.pixels)

    def _plan(self, head_bytes: int) -> Plan:
        """What windows may cost in a file that begins with so many bytes."""
        settings, model = self.settings, self.model
        if settings.bpp is None:
            quality = DEFAULT_QUALITY if settings.quality is None else settings.quality
            return Plan(setting_of_quality(quality, model.trade_offs))
        pixels = self.picture.header.pixels
        count = len(pack_varint(len(self.scene.grid) + 1))
        # Behind the records come the end mark, three numbers, a first seek point and the footer.
        end = 1 + len(pack_varint(pixels)) + 2 * count + SEEK_BYTES + FOOTER_BYTES
        bits = settings.bpp * pixels - 8 * (head_bytes + end)
        searched = self._budget.passes > 0
        return RatePlan(bits, self.scene, model, searched=searched)

    def _encode(self, window: Window, plan: Plan, allowed: float | None) -> list[Item]:
        """Search a window; give the items of its tiles."""
        setting = plan.setting
        place = self.scene.surroundings(window, setting.rung)
        control = PriceControl(setting.price, allowed)
        symbols, items = self._landed(place, setting.rung, control, allowed)
        plan.spent(8 * wire_bytes(items), control.price)
        self.scene.keep(place, symbols)
        self._searched += window.box.area
        self._tell(self._searched)
        return items

    def _problem(self, place: Surroundings, rung: int, control: PriceControl) -> WindowProblem:
        return WindowProblem(
            self.model,
            rung,
            place,
            self._distortion,
            control,
            colour=self.picture.header.colour,
            tick=lambda: self._ticked(place.window),
        )

    def _landed(
        self, place: Surroundings, rung: int, control: PriceControl, allowed: float | None
    ) -> tuple[Tensor, list[Item]]:
        """A window's symbols and items: what a search finds, or E's guess."""

        def items_of(symbols: Tensor) -> list[Item]:
            integers = symbols.int().numpy()
            return [
                pack_tile(number, self.model.coder.rate(integers[box.slices], rung), rung)
                for number, box in zip(place.window.tiles, place.tiles, strict=True)
            ]

        problem = self._problem(place, rung, control)
        guessed = GuessPoints(problem, place.guess)
        if not self._budget.passes:
            return land(guessed, allowed, items_of)
        start, beside = guessed.found, 0.0
        if allowed is not None:
            start, bits = guessed.with_bits(allowed)
            beside = 8 * wire_bytes(items_of(start)) - bits
            control.reserve(beside)
        searched = search_window(
            problem,
            begun_at(place.guess, start),
            self.model.trade_offs[rung],
            self.settings.quantizer,
            self._budget,
            control,
        )
        symbols, items = land(SearchedPoints(problem, searched), allowed, items_of, beside)
        if allowed is not None and (
            # Still too many bits, or within them farther off than E's guess: that will do better.
            8 * wire_bytes(items) > allowed
            or problem.lattice_distance(start) < problem.lattice_distance(symbols)
        ):
            return land(guessed, allowed, items_of)
        return symbols, items

    def _ticked(self, window: Window) -> None:
        """One more pass through the generator; a window takes about as many as its budget says."""
        done = self._told + window.box.area / max(1, self._budget.passes)
        self._tell(min(done, self._searched + window.box.area))

    def _tell(self, positions: float) -> None:
        """Tell how many positions are done."""
        self._told = positions
        if self._progress is not None:
            total = self.picture.header.pixels
            self._progress(positions / self.scene.grid.bounds.area * total, total)


def _record(writer: ContainerWriter, item: Item) -> bytes:
    return b"".join(writer.add(bytes(packet)) for packet in pack_item(item))
