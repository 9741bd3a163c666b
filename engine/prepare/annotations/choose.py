"""Which annotations become masks: those of the chosen category; and the unit of their coordinates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.prepare.annotations.shapes import Flaw, Picture, Shape, is_number


class Choice(NamedTuple):
    """What the user says about the annotations."""

    categories: Sequence[str] = ()
    """The categories that are fractures, in any letter case. Empty: the only category."""
    crowd: str | None = None
    """What iscrowd means: ignore or fracture. None: ignore, and each such annotation counts as lost."""


NO_CHOICE = Choice()


def choose(pictures: Sequence[Picture], choice: Choice, where: str) -> tuple[list[Picture], list[Flaw]]:
    """The pictures with the shapes of the chosen categories, and with fractions recognised.

    Raises BadInput where no category is chosen and the annotations have several, where a chosen one does not occur, and
    where no annotation has an outline. where: the source, for messages.
    """
    spelled: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for shape in (shape for picture in pictures for shape in picture.drawing.shapes):
        spelled.setdefault(_key(shape.label), clean(shape.label)[:80] or "(without a category)")
        counts[_key(shape.label)] += 1
    listed = ", ".join(f"{spelled[key]} ({count:,})" for key, count in counts.most_common(30))
    wanted = {_key(name) for name in choice.categories}
    if missing := [clean(name) for name in choice.categories if _key(name) not in counts]:
        raise BadInput(f"{where}: --category {', '.join(missing)}: no such annotations; expected one of: {listed}")
    if not wanted and len(counts) > 1:
        raise BadInput(f"{where}: annotations of {len(counts)} categories: {listed}; choose with --category NAME")
    flaws = [
        Flaw("category", f"{where}: {count:,} annotations of {spelled[key]} left out (--category)")
        for key, count in counts.items()
        if wanted and key not in wanted
    ]
    chosen = _changed(pictures, lambda shape: shape if not wanted or _key(shape.label) in wanted else None)
    shapes = [shape for picture in chosen for shape in picture.drawing.shapes]
    kinds = Counter(shape.data for shape in shapes if shape.kind == "other")
    if kinds and sum(kinds.values()) == len(shapes):
        found = ", ".join(f"{kind} ({count:,})" for kind, count in kinds.most_common())
        raise BadInput(f"{where}: no annotation has an outline or a mask: {found}; pixels cannot be drawn from these")
    crowds = sum(shape.ignore for shape in shapes)
    if crowds and choice.crowd == "fracture":
        chosen = _changed(chosen, lambda shape: shape._replace(ignore=False))
    elif crowds and choice.crowd is None:  # CVAT and Datumaro write every brush mask with iscrowd 1
        options = "--crowd ignore accepts that, --crowd fracture is for brush masks of CVAT"
        flaws.append(
            Flaw("iscrowd", f"{where}: {crowds:,} annotations have iscrowd 1: ignored areas; {options}", crowds)
        )
    polygons = [shape.data for shape in shapes if shape.kind == "polygon"]
    values = [value for data in polygons if isinstance(data, list) for value in data]
    if values and all(is_number(value) and 0 <= value <= 1 for value in values):
        chosen = _changed(chosen, lambda s: s._replace(kind="fractions") if s.kind == "polygon" else s)
        line = f"all coordinates of {len(polygons)} polygons are between 0 and 1: taken as fractions of the pictures"
        flaws.append(Flaw("normalised", line))
    return chosen, flaws


def _key(label: str) -> str:
    return label.strip().casefold()


def _changed(pictures: Iterable[Picture], change: Callable[[Shape], Shape | None]) -> list[Picture]:
    """The pictures with their shapes as `change` returns them, without those for which it returns None."""
    changed = []
    for picture in pictures:
        shapes = tuple(filter(None, map(change, picture.drawing.shapes)))
        changed.append(picture._replace(drawing=picture.drawing._replace(shapes=shapes)))
    return changed
