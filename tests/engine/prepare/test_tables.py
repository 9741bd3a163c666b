"""CSV files as spreadsheets and pandas write them: one table, whatever its dialect."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from engine.contract.errors import BadInput
from engine.data.tables import read_header, read_table
from engine.prepare.annotations.rle_csv import find_columns
from engine.prepare.prepare import read_source

HEAD = ("id", "image", "mask", "fractured", "group")
COLUMNS = ("id", "image", "mask", "fractured")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("images/a.png", "images/b.png", "masks/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8), len(name)).save(tmp_path / name)
    return tmp_path


def table(
    head: tuple[str, ...] = HEAD, yes: str = "1", no: str = "0", empty: str = "", pad: str = "", slash: str = "/"
) -> list[list[str]]:
    rows = [["a", f"images{slash}a.png", f"masks{slash}a.png", yes, "p1"], ["b", f"images{slash}b.png", empty, no, ""]]
    return [list(head), *([f"{pad}{value}{pad}" for value in row] for row in rows)]


def written(
    rows: list[list[str]], path: Path, separator: str = ",", encoding: str = "utf-8", end: str = "\n", first: str = ""
) -> Path:
    text = first + "".join(separator.join(row) + end for row in rows)
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("rows", "how"),
    [
        (table(), {"separator": ";"}),
        (table(), {"separator": "\t"}),
        (table(), {"encoding": "utf-16"}),
        (table(), {"encoding": "utf-16", "separator": "\t", "end": "\r\n"}),
        (table(), {"encoding": "utf-8-sig", "end": "\r\n"}),
        (table(), {"end": "\r"}),
        (table(), {"first": "sep=;\n", "separator": ";"}),
        (table(), {"first": "\n  \n"}),
        (table(yes="True", no="FALSE"), {}),
        (table(yes="1.0", no="0.0"), {}),
        (table(yes="yes", no="no"), {}),
        (table(("ID", "Image", "Mask", "Fractured", "Group")), {}),
        (table(empty="nan"), {}),
        (table(empty="NA"), {}),
        (table(empty="null"), {}),
        (table(slash="\\"), {}),
        (table(pad="  "), {}),
        ([[str(number) if number else "", *row] for number, row in enumerate(table())], {}),  # pandas' index
        ([[f'"{value}"' for value in row] for row in table()], {"separator": ";"}),
    ],
)
def test_every_dialect_gives_the_same_cases(folder: Path, rows: list[list[str]], how: dict[str, str]) -> None:
    source = read_source(written(rows, folder / "t.csv", **how))
    assert source.problems == ()
    assert [(c.id, c.image, c.mask, c.label, c.group) for c in source.cases] == [
        ("a", folder / "images/a.png", folder / "masks/a.png", True, "p1"),
        ("b", folder / "images/b.png", None, False, None),
    ]


def test_a_file_name_with_a_backslash_is_kept(folder: Path) -> None:
    (folder / "images/a.png").rename(folder / "x\\y.png")
    rows = [list(COLUMNS), ["a", "x\\y.png", "", "0"]]
    assert read_table(written(rows, folder / "t.csv"), COLUMNS)["image"].tolist() == ["x\\y.png"]


def test_all_lines_that_cannot_be_read_are_named(folder: Path) -> None:
    path = folder / "t.csv"
    path.write_text('id,image\na,b,c\n\n"two\nlines",x\nd,e,f,g\nh,i,,,\n"j"k,l\n')
    with pytest.raises(BadInput) as caught:
        read_table(path, ("id",))
    assert caught.value.lines == (
        f"{path}: line 2: expected 2 fields, got 3",
        f"{path}: line 6: expected 2 fields, got 4",
        f"{path}: line 8: not CSV: ',' expected after '\"'; expected closed quotes",
    )


def test_text_of_another_encoding_is_refused_with_its_line(folder: Path) -> None:
    path = written([["id"], ["a"], ["Größe"]], folder / "t.csv", encoding="cp1252")
    with pytest.raises(BadInput, match="line 3: not UTF-8 text"):
        read_table(path, ())


def test_numbers_of_lines_count_from_the_first_line_of_the_file(folder: Path) -> None:
    path = folder / "t.csv"
    path.write_text('sep=,\nid,note\na,"two\nlines"\n\nb,\n')
    assert read_table(path, ("id",)).index.tolist() == [3, 6]


def test_a_field_longer_than_pythons_limit_is_read(folder: Path) -> None:
    runs = "1 2 " * 50_000
    path = written([["ImageId", "EncodedPixels"], ["a", runs]], folder / "t.csv")
    assert read_table(path, ())["encodedpixels"].tolist() == [runs.strip()]
    assert csv.field_size_limit() > len(runs)


def test_run_lengths_are_recognised_in_every_dialect(folder: Path) -> None:
    path = written([["ImageId", "EncodedPixels"], ["a", ""]], folder / "t.csv", separator="\t", encoding="utf-16")
    assert find_columns(read_header(path)) == ("imageid", "encodedpixels", None)
