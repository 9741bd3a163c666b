"""Texts that are cut to the width of a field: paths at the front, names in the middle, and never two names alike."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from os.path import commonprefix

from rich.cells import cell_len
from rich.text import Text
from textual.content import Content
from textual.css.styles import RulesMap
from textual.strip import Strip
from textual.style import Style
from textual.visual import RenderOptions, Visual

from engine.contract.text import clean
from xray_tui.widgets.format import ELLIPSIS, cut


class Label(Text, Visual):
    """One of several names, after a mark and before a remark. A Text, because lists search no other type."""

    def __init__(self, name: str, among: Sequence[str], remark: str = "", mark: str = "") -> None:
        self._name, self._among, self._mark = clean(name), tuple(map(clean, among)), mark
        self._remark = f"  {clean(remark)}" if remark else ""
        super().__init__(mark + self._name + self._remark, end="")

    def render_strips(self, width: int, height: int | None, style: Style, options: RenderOptions) -> list[Strip]:
        name = cut_apart(self._among, width - len(self._mark))[self._name]
        return Content.assemble(self._mark + name, (self._remark, "dim")).render_strips(width, 1, style, options)

    def get_optimal_width(self, rules: RulesMap, container_width: int) -> int:
        return self.cell_len

    def get_height(self, rules: RulesMap, width: int) -> int:
        return 1


@lru_cache(maxsize=64)
def cut_apart(names: tuple[str, ...], width: int) -> dict[str, str]:
    """Maps names to texts of at most `width` cells. If two would look alike, they show where they differ."""
    shown = {name: cut(name, width) for name in names}
    for text in {*shown.values()}:
        alike = [name for name in shown if shown[name] == text]
        if len(alike) > 1:
            shown |= zip(alike, _differences(alike, width), strict=True)
    return shown


def _differences(names: list[str], width: int) -> list[str]:
    start, end = len(commonprefix(names)), -len(commonprefix([name[::-1] for name in names])) or None  # noqa: RUF071
    word = 1 + max(names[0].rfind(char, 0, start) for char in "/_=-")
    for first, last, room, more in ((word, None, width - 1, ""), (word, end, width - 2, ELLIPSIS)):
        shown = [ELLIPSIS + cut(name[first:last], room) + more for name in names]
        if len({*shown}) == len(names):
            return shown
    return [cut(f"{number}{ELLIPSIS}{name}", width) for number, name in enumerate(names, 1)]


def cut_front(path: str, width: int) -> str:
    """The path in at most `width` cells, without its beginning if it is longer."""
    return path if cell_len(path) <= width else ELLIPSIS + path[-max(1, width - 1) :]
