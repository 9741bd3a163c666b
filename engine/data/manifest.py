"""manifest.csv: which radiographs there are, their masks, labels and splits. Read strictly, written whole."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import BadInput
from engine.contract.files import relative_to_file, write_whole
from engine.contract.text import clean

SPLITS = ("train", "val", "test")
COLUMNS = ("id", "image", "mask", "fractured", "split")
LARGEST_TABLE = 256 << 20


@dataclass(frozen=True, slots=True)
class Sample:
    """One radiograph of a manifest; paths are absolute."""

    id: str
    image: Path
    mask: Path | None
    """PNG of 0 and 255 at the image's size (after its EXIF rotation). Every fractured sample has one."""
    fractured: bool
    split: str
    """train, val or test."""
    group: str | None = None
    """What must not be torn apart by a split, usually the patient."""


def read_manifest(path: Path) -> list[Sample]:
    """The samples in the order of the file, each checked: files exist, ids are unique, positives have masks.

    Pixels are not looked at. Raises BadInput with a line for every problem: file, line number, field, what is right.
    """
    name = clean(str(path))
    folder = path.resolve().parent
    problems: list[str] = []
    samples: list[Sample] = []
    first_line: dict[str, int] = {}
    rows = 0
    for rows, (line, row) in enumerate(read_table(path, COLUMNS), 1):  # noqa: B007 (rows is used after the loop)
        found = list(_row_problems(row, folder))
        identity = row["id"]
        if identity in first_line:
            found.append(f"id: {clean(identity)} is already on line {first_line[identity]}; each id once is right")
        elif identity:
            first_line[identity] = line
        problems.extend(f"{name}: line {line}: {problem}" for problem in found)
        if not found:
            mask = folder / row["mask"] if row["mask"] else None
            group = row.get("group") or None
            fractured = row["fractured"] == "1"
            samples.append(Sample(identity, folder / row["image"], mask, fractured, row["split"], group))
    if not rows:
        problems.append(f"{name}: holds no rows; one line for each radiograph is right")
    if problems:
        raise BadInput(problems)
    return samples


def write_manifest(path: Path, samples: Iterable[Sample]) -> None:
    """Write the samples whole, with paths relative to the manifest, and `group` where any sample has one."""
    samples = list(samples)
    grouped = any(sample.group is not None for sample in samples)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, "group"] if grouped else COLUMNS)
    for sample in samples:
        mask = relative_to_file(sample.mask, path) if sample.mask else ""
        row = [sample.id, relative_to_file(sample.image, path), mask, int(sample.fractured), sample.split]
        writer.writerow([*row, sample.group or ""] if grouped else row)
    write_whole(path, text.getvalue())


def fingerprint(samples: Iterable[Sample]) -> str:
    """`sha256:<hex>` of ids, labels, image and mask bytes, in the order of the ids.

    It stays the same when files move, the manifest is sorted anew or samples are in another split; it changes with
    every pixel and every label. Raises BadInput where a file cannot be read.
    """
    whole = hashlib.sha256()
    for sample in sorted(samples, key=lambda sample: sample.id):
        parts = [sample.id.encode("utf-8", "surrogatepass"), b"1" if sample.fractured else b"0", _digest(sample.image)]
        parts.append(_digest(sample.mask) if sample.mask else b"")
        for part in parts:
            whole.update(len(part).to_bytes(8, "little"))  # framed, so that no two lists of parts look alike
            whole.update(part)
    return f"sha256:{whole.hexdigest()}"


def read_table(path: Path, required: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, row) of a CSV file with a header, cells stripped, blank lines skipped. UTF-8, with or without BOM.

    Raises BadInput in one line: no such file, no text, no CSV, or the columns that are missing.
    """
    name = clean(str(path))
    try:
        if path.stat().st_size > LARGEST_TABLE:
            raise BadInput(f"{name}: larger than {LARGEST_TABLE >> 20} MiB; that is no table of radiographs")
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise BadInput(f"{name}: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise BadInput(f"{name}: not UTF-8 text; a CSV file is right") from None
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [cell.strip() for cell in next(reader, [])]
        missing = [column for column in required if column not in header]
        if missing:
            raise BadInput(f"{name}: line 1: no column {', '.join(missing)}; found: {_short(', '.join(header))}")
        twice = sorted({column for column in header if column and header.count(column) > 1})
        if twice:
            raise BadInput(f"{name}: line 1: column {_short(', '.join(twice))} twice; each once is right")
        for cells in reader:
            if any(cell.strip() for cell in cells):
                padded = [*cells, *[""] * (len(header) - len(cells))]
                yield reader.line_num, {column: cell.strip() for column, cell in zip(header, padded, strict=False)}
    except csv.Error as error:
        raise BadInput(f"{name}: line {reader.line_num}: not CSV: {clean(str(error))}") from None


def id_problem(identity: str) -> str | None:
    """Why a text cannot be a sample's id, or None."""
    if not identity:
        return "id: empty; a name for the radiograph is right"
    if clean(identity) != identity:
        return f"id: {_short(identity)} holds control characters; printable text is right"
    return None


def is_file(path: Path) -> bool:
    """Whether there is a file; a path that cannot exist (too long, a null byte) is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _row_problems(row: Mapping[str, str], folder: Path) -> Iterator[str]:
    if problem := id_problem(row["id"]):
        yield problem
    if not row["image"]:
        yield "image: empty; a path relative to the manifest is right"
    elif not is_file(folder / row["image"]):
        yield f"image: {_short(row['image'])}: no such file"
    if row["mask"] and not is_file(folder / row["mask"]):
        yield f"mask: {_short(row['mask'])}: no such file"
    if row["fractured"] not in ("0", "1"):
        yield f"fractured: {_short(row['fractured']) or 'empty'}; 0 or 1 is right"
    elif row["fractured"] == "1" and not row["mask"]:
        yield "mask: empty, but fractured is 1; a positive needs a mask"
    if row["split"] not in SPLITS:
        yield f"split: {_short(row['split']) or 'empty'}; train, val or test is right"


def _short(text: str, length: int = 200) -> str:
    text = clean(text)
    return text if len(text) <= length else f"{text[:length]}…"


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise BadInput(f"{clean(str(path))}: {error.strerror or error}") from error
