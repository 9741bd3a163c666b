"""CSV files as spreadsheets and pandas write them: separators, encodings, and words for yes, no and nothing."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.contract.errors import BadInput
from engine.contract.text import clean

if TYPE_CHECKING:
    import pandas as pd

LARGEST_TABLE = 256 << 20
MISSING = frozenset({"nan", "na", "n/a", "<na>", "null", "none"})
LABELS = dict.fromkeys(("1.0", "true", "yes"), "1") | dict.fromkeys(("0.0", "false", "no"), "0")
OPTIONAL = ("mask", "split", "group", "spacing")
PATHS = ("image", "mask")


def read_table(path: Path, required: Sequence[str]) -> pd.DataFrame:
    """A CSV file with a header as a table of texts, stripped, without blank lines; the index is the line number and the
    column names are in lower case. Separators are commas, semicolons or tabs; the text is UTF-8, or UTF-16 with a BOM.

    fractured is 0 or 1 where the file says true, yes, 1.0 or the like. NaN, NA and null are empty in OPTIONAL columns.
    Backslashes in PATHS become slashes unless such a file exists. Raises BadInput: no such file, no text, missing
    columns, or a line for each row that cannot be read.
    """
    import pandas as pd

    name = clean(str(path))
    records = list(_records(path))
    problems = [f"{name}: line {number}: {problem}" for number, _, problem in records if problem]
    lines = {number: [field.strip() for field in fields] for number, fields, _ in records}
    head_line = next((number for number, fields in lines.items() if any(fields)), 1)
    header = pd.Index([field.lower() for field in lines.pop(head_line, [])])
    if missing := [column for column in required if column not in header]:
        found = f"no column {', '.join(missing)}; found: {clean(', '.join(header))[:200]}"
        raise BadInput(problems or f"{name}: line {head_line}: {found}")
    if twice := sorted(set(header[header.duplicated()]) - {""}):
        raise BadInput(f"{name}: line {head_line}: column {clean(', '.join(twice))[:200]} appears twice")
    too_long = [
        f"{name}: line {number}: expected {len(header)} fields, got {len(fields)}"
        for number, fields in lines.items()
        if any(fields[len(header) :])
    ]
    if problems or too_long:
        raise BadInput([*too_long, *problems])
    rows = [[*fields, *[""] * len(header)][: len(header)] for fields in lines.values()]
    table = pd.DataFrame(rows, list(lines), header, dtype=str).loc[:, header != ""]
    for column in table.columns.intersection([*PATHS, *OPTIONAL, "fractured"]):
        table[column] = [_plain(column, value, path.parent) for value in table[column]]
    return table[(table != "").any(axis="columns")]


def read_header(path: Path) -> list[str]:
    """The column names of a CSV file in lower case. Raises BadInput."""
    return next(([name.strip().lower() for name in fields] for _, fields, _ in _records(path) if any(fields)), [])


def is_file(path: Path) -> bool:
    """Whether the file exists. A path that cannot exist (too long, a null byte) does not."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _records(path: Path) -> Iterator[tuple[int, list[str], str]]:
    """(number of its first line, fields, problem or empty) of each record. A problem ends the table."""
    name = clean(str(path))
    try:
        if path.stat().st_size > LARGEST_TABLE:
            raise BadInput(f"{name}: larger than {LARGEST_TABLE >> 20} MiB; expected a table of radiographs")
        content = path.read_bytes()
        is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if is_wide else "utf-8-sig")
    except OSError as error:
        raise BadInput(f"{name}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadInput(f"{name}: line {line}: not UTF-8 text; expected a CSV file") from None
    file = io.StringIO(text, newline="")
    first, before, separator = file.readline(), 0, ","
    if first.lower().startswith("sep=") and len(first.strip("\r\n")) == 5:  # a line that Excel writes
        before, separator = 1, first[4]
    else:
        file.seek(0)
        with contextlib.suppress(csv.Error):  # one column
            separator = csv.Sniffer().sniff(first, ",;\t").delimiter
    csv.field_size_limit(LARGEST_TABLE)
    reader = csv.reader(file, delimiter=separator, skipinitialspace=True, strict=True)
    while True:
        number = before + reader.line_num + 1
        try:
            yield number, next(reader), ""
        except StopIteration:
            return
        except csv.Error as error:
            yield number, [], f"not CSV: {clean(str(error))}; expected closed quotes"
            return


def _plain(column: str, value: str, folder: Path) -> str:
    if column in OPTIONAL and value.lower() in MISSING:
        return ""
    if column in PATHS and "\\" in value and not is_file(folder / value):
        return value.replace("\\", "/")
    return LABELS.get(value.lower(), value) if column == "fractured" else value
