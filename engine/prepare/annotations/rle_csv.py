"""CSV files with run lengths, as in Kaggle's competitions: ImageId, EncodedPixels."""

from __future__ import annotations

from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.text import clean
from engine.data.tables import MISSING, read_table
from engine.prepare.annotations.shapes import Picture, Shape, read_pictures

RUNS = ("encodedpixels", "rle", "mask_rle", "rle_mask")
IMAGES = ("imageid", "image_id", "id", "image", "img_id", "filename", "file_name", "image_name")
CLASSES = ("classid", "class_id", "class", "label")
EMPTY = MISSING | {"", "-1"}


def find_columns(header: list[str]) -> tuple[str, str, str | None] | None:
    """The columns of image, run lengths and class in a header in lower case, or None if it has no run lengths."""
    image, runs, label = (next(filter(header.__contains__, names), None) for names in (IMAGES, RUNS, CLASSES))
    return (image, runs, label) if image and runs else None


def read_rle_csv(path: Path) -> list[Picture]:
    """The pictures of a table of run lengths: pairs of start and length, from 1, down the columns. -1 or an empty field
    is an image without a mask; several rows of an image are united. Raises BadInput with every error."""
    table = read_table(path, ())
    where = clean(str(path))
    columns = find_columns(list(table.columns))
    if columns is None:
        raise BadInput(f"{where}: line 1: expected the columns ImageId and EncodedPixels")
    image, runs, label = columns
    items = [
        (row[image], f"{where}: line {line}: {runs}", (row[runs], row[label] if label else ""))
        for line, row in table.to_dict("index").items()
        if row[runs].lower() not in EMPTY
    ]
    return read_pictures(path, table[image], items, _shape, "start and length pairs")


def _shape(row: tuple[str, str]) -> Shape:
    """The pairs as COCO's counts, without the background after the last of them."""
    runs = [int(part) for part in row[0].split()]
    counts, end = [], 0
    for start, length in zip(runs[::2], runs[1::2], strict=True):
        if start - 1 < end or length < 1:
            raise ValueError(f"a run {start} {length} after pixel {end}; they count from 1 down the columns, in order")
        counts += [start - 1 - end, length]
        end = start - 1 + length
    return Shape("runs", counts, row[1])
