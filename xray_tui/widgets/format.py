"""Pure functions that format numbers and ages, cut texts to a width in cells, and build lines of styled texts."""

from __future__ import annotations

from collections.abc import Iterable
from os.path import commonprefix

from rich.cells import cell_len, set_cell_size

from engine.contract.units import DAY, HOUR, MINUTE

Part = tuple[str, str]
"""A text, and the name of its style or ""; a list widget adds the prefix of its component classes."""
Line = list[Part]

ELLIPSIS = "…"
YEAR = 364 * DAY


def fit(text: str, width: int, align: str = "left") -> str:
    """The text in exactly `width` cells. A longer text loses its middle, because run names differ at their ends."""
    text = cut(text, width)
    space = " " * (width - cell_len(text))
    return space + text if align == "right" else text + space


def cut(text: str, width: int) -> str:
    """The text in at most `width` cells, without its middle if it is longer; padded if a wide character is cut."""
    if cell_len(text) <= width:
        return text
    if width <= 1:
        return ELLIPSIS[:width]
    head = width // 2
    tail = width - 1 - head
    end = ""
    for char in reversed(text):
        if cell_len(char + end) > tail:
            break
        end = char + end
    return set_cell_size(set_cell_size(text, head) + ELLIPSIS + end, width)


def cut_apart(texts: Iterable[str], width: int) -> dict[str, str]:
    """Each text in at most `width` cells. Different texts that would look alike are shown from where they differ."""
    shown = {text: cut(text, width) for text in texts}
    groups: dict[str, list[str]] = {}
    for text, short in shown.items():
        groups.setdefault(short, []).append(text)
    for group in groups.values():
        start = len(commonprefix(group))  # noqa: RUF071 - of texts, not of paths
        start = min(start, max(1, min(map(len, group)) - width + 2))
        if len(group) > 1 and start and width > 2:
            shorter = cut_apart((text[start:] for text in group), width - 1)
            shown |= {text: ELLIPSIS + shorter[text[start:]] for text in group}
    return shown


def cut_end(text: str, width: int) -> str:
    """The text in at most `width` cells, without its end if it is longer. For sentences."""
    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)) + ELLIPSIS[:width]


def cells(text: str) -> int:
    """Width of a text in cells; fast for ASCII."""
    return len(text) if text.isascii() else cell_len(text)


def cells_of(parts: Iterable[Part]) -> int:
    """Width of a line in cells."""
    return sum(cells(text) for text, _ in parts)


def joined(parts: Iterable[Part], space: str = "  ") -> Line:
    """The parts with `space` between them."""
    return [item for part in parts for item in ((space, ""), part)][1:]


def number(value: float | None, digits: int = 4) -> str:
    """The value with this number of decimals, such as `0.3780`; `-` for None."""
    return "-" if value is None else f"{value:.{digits}f}"


def age(seconds: float) -> str:
    """An age in at most four cells: `now`, `5m`, `3h`, `12d`, `8w`, `2y`."""
    if seconds < 60:
        return "now"
    for size, unit, limit in ((MINUTE, "m", HOUR), (HOUR, "h", DAY), (DAY, "d", 28 * DAY), (7 * DAY, "w", YEAR)):
        if seconds < limit:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds // YEAR)}y"


def bar(share: float, width: int, full: str = "━", empty: str = "╌") -> tuple[str, str]:
    """The full and the empty part of a bar of `width` cells; `share` is from 0 to 1."""
    done = round(max(0.0, min(1.0, share)) * width)
    return full * done, empty * (width - done)
