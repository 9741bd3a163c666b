"""manifest.csv: the radiographs with their masks, labels and splits. Read strictly, written completely or not at
all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.files import relative_to_file, write_whole
from engine.contract.names import HEADER
from engine.contract.text import clean
from engine.data.tables import is_file, read_table
from engine.data.window import Window, read_window

SPLITS = ("train", "val", "test")
COLUMNS = ("id", "image", "mask", "fractured", "split")
OPTIONAL = ("group", "spacing")
OTHER_SET = "exists with other content; expected a new folder, or --overwrite"


@dataclass(frozen=True, slots=True)
class Sample:
    """One radiograph of a manifest; paths are absolute."""

    id: str
    image: Path
    mask: Path | None
    """PNG of 0 and 255 at the size of the upright image. Every fractured sample has one."""
    fractured: bool
    split: str
    """train, val or test."""
    group: str | None = None
    """Samples of one group, usually a patient, belong in one split."""
    window: Window | None = None
    """The window to read the image with, if it has more than 8 bits."""
    spacing: str | None = None
    """Size of a pixel in mm, where it is known: rows, then columns, such as `0.143 0.143`."""


def read_manifest(path: Path) -> list[Sample]:
    """The samples in the order of the file, each checked: files exist, ids are unique, positives have masks.

    Their window is that of manifest.yaml beside the file. Pixels are not read. Raises BadInput with a line for every
    problem: file, line number, field, and what was expected.
    """
    name = clean(str(path))
    folder = path.resolve().parent
    table, window = read_table(path, COLUMNS), read_window(path.with_name(HEADER))
    copies = table.id.duplicated() & (table.id != "")
    first_line = {identity: line for line, identity in reversed(list(table.id.items()))}
    problems: list[str] = []
    samples: list[Sample] = []
    for line, row in table.to_dict("index").items():
        row_problems = list(_row_problems(row, folder))
        if copies[line]:
            row_problems.append(f"id: {clean(row['id'])} duplicate of line {first_line[row['id']]}")
        problems.extend(f"{name}: line {line}: {problem}" for problem in row_problems)
        if not row_problems:
            mask = folder / row["mask"] if row["mask"] else None
            group = row.get("group") or None
            is_fractured, spacing = row["fractured"] == "1", row.get("spacing") or None
            image = folder / row["image"]
            samples.append(Sample(row["id"], image, mask, is_fractured, row["split"], group, window, spacing))
    if table.empty:
        problems.append(f"{name}: no rows; expected one for each radiograph")
    if problems:
        raise BadInput(problems)
    return samples


def with_window(samples: Iterable[Sample], window: Window | None) -> list[Sample]:
    """The samples, to be read with this window."""
    return [replace(sample, window=window) for sample in samples]


def write_manifest(path: Path, samples: Iterable[Sample]) -> None:
    """Write the samples."""
    write_whole(path, _text(path, samples))


def is_manifest_of(path: Path, samples: Iterable[Sample]) -> bool:
    """Whether the file is what `write_manifest` writes for the samples. Raises OSError."""
    return path.read_bytes() == _text(path, samples).encode("utf-8", "backslashreplace")


def _text(path: Path, samples: Iterable[Sample]) -> str:
    """The content of the manifest: paths are relative to it; columns group and spacing are there if any is known."""
    import pandas as pd

    rows = []
    for sample in samples:
        mask = relative_to_file(sample.mask, path) if sample.mask else ""
        image = relative_to_file(sample.image, path)
        rows.append((sample.id, image, mask, int(sample.fractured), sample.split, sample.group, sample.spacing))
    table = pd.DataFrame(rows, columns=[*COLUMNS, *OPTIONAL])
    table = table.drop(columns=[column for column in OPTIONAL if table[column].isna().all()])
    text: str = table.to_csv(index=False, lineterminator="\n")
    return text


def fingerprint(samples: Iterable[Sample]) -> str:
    """`sha256:<hex>` of ids, labels, image and mask bytes, in the order of the ids.

    Moved files, another order of the manifest or another split of a sample do not change it; every changed pixel or
    label does. Raises BadInput where a file cannot be read.
    """
    whole = hashlib.sha256()
    for sample in sorted(samples, key=lambda sample: sample.id):
        parts = [sample.id.encode("utf-8", "surrogatepass"), b"1" if sample.fractured else b"0", _digest(sample.image)]
        parts.append(_digest(sample.mask) if sample.mask else b"")
        for part in parts:
            whole.update(len(part).to_bytes(8, "little"))  # so that no two lists of parts have the same hash
            whole.update(part)
    return f"sha256:{whole.hexdigest()}"


def id_problem(identity: str) -> str | None:
    """Why a text cannot be a sample's id, or None."""
    if not identity:
        return "id: empty; expected a name for the radiograph"
    if clean(identity) != identity:
        return f"id: {_short(identity)} contains control characters; expected printable text"
    return None


def source_problems(row: Mapping[str, str], folder: Path) -> Iterator[str]:
    """What is wrong with a row of a table of radiographs, besides its id; splits and masks of positives may lack."""
    if not row["image"]:
        yield "image: empty; expected a path relative to the table"
    elif not is_file(folder / row["image"]):
        yield f"image: {_short(row['image'])}: no such file"
    if row["mask"] and not is_file(folder / row["mask"]):
        yield f"mask: {_short(row['mask'])}: no such file"
    if row["fractured"] not in ("0", "1"):
        yield f"fractured: expected 0 or 1, got {_short(row['fractured']) or 'nothing'}"
    if row.get("split") and row["split"] not in SPLITS:
        yield f"split: expected train, val or test, got {_short(row['split'])}"


def _row_problems(row: Mapping[str, str], folder: Path) -> Iterator[str]:
    if problem := id_problem(row["id"]):
        yield problem
    yield from source_problems(row, folder)
    if row["fractured"] == "1" and not row["mask"]:
        yield "mask: empty, but fractured is 1; a positive needs a mask"
    if not row["split"]:
        yield "split: expected train, val or test, got nothing"


def _short(text: str, length: int = 200) -> str:
    text = clean(text)
    return text if len(text) <= length else f"{text[:length]}…"


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise BadInput(f"{clean(str(path))}: {error.strerror or error}") from error
