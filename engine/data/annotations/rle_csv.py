"""CSV files with run lengths, as in Kaggle's competitions: ImageId, EncodedPixels."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.data.annotations.shapes import Annotations, Drawing, Picture, Shape, read_each
from engine.data.tables import MISSING, read_table

RUNS = ("encodedpixels", "rle", "mask_rle", "rle_mask")
IMAGES = ("imageid", "image_id", "id", "image", "img_id", "filename", "file_name", "image_name")
CLASSES = ("classid", "class_id", "class", "label")
EMPTY = MISSING | {"", "-1"}


def find_columns(header: list[str]) -> tuple[str, str, str | None] | None:
    """The columns of image, run lengths and class in a header in lower case, or None if it has no run lengths."""
    image, runs, label = (next(filter(header.__contains__, names), None) for names in (IMAGES, RUNS, CLASSES))
    return (image, runs, label) if image and runs else None


def read_rle_csv(path: Path) -> Annotations:
    """The pictures of a table of run lengths: pairs of start and length, from 1, down the columns. -1 or an empty field
    is an image without a mask; several rows of an image are united. Raises BadInput with every error."""
    table = read_table(path, ())
    where = clean(str(path))
    columns = find_columns(list(table.columns))
    if columns is None:
        raise BadInput(f"{where}: line 1: expected the columns ImageId and EncodedPixels")
    image, runs, label = columns
    shapes: dict[str, list[Shape]] = defaultdict(list)
    problems: list[str] = []
    for line, row in table.to_dict("index").items():
        filled = [] if row[runs].lower() in EMPTY else [(f"{where}: line {line}: {runs}", row[runs])]
        found, unread = read_each(_shape, filled, "start and length pairs")
        shapes[row[image]] += [shape._replace(label=row[label] if label else "") for shape in found]
        problems += unread
    if problems:
        raise BadInput(problems)
    return Annotations([Picture(name, Drawing(tuple(parts)), path) for name, parts in shapes.items()])


def _shape(text: str) -> Shape:
    if not all(part.isascii() and part.isdigit() and len(part) < 12 for part in text.split()):
        raise ValueError("no whole numbers")
    return Shape("runs", [int(part) for part in text.split()])
