"""manifest.csv: what is read, what is refused with which lines, and what the fingerprint follows."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.contract.errors import BadInput
from engine.data.manifest import Sample, fingerprint, read_manifest, write_manifest

HEAD = "id,image,mask,fractured,split\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for number, name in enumerate(("a.png", "b.png", "m.png")):
        Image.new("L", (8, 8), number * 50).save(tmp_path / name)
    return tmp_path


def refused(path: Path) -> tuple[str, ...]:
    with pytest.raises(BadInput) as caught:
        read_manifest(path)
    assert all(line.isprintable() for line in caught.value.lines)
    return caught.value.lines


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_rows_become_samples_with_absolute_paths(files: Path, bom: bytes) -> None:
    path = files / "manifest.csv"
    path.write_bytes(bom + (HEAD + "x, a.png ,m.png,1,train\r\n\r\ny,b.png,,0,val\n").encode())
    assert read_manifest(path) == [
        Sample("x", files / "a.png", files / "m.png", True, "train"),
        Sample("y", files / "b.png", None, False, "val"),
    ]


def test_columns_may_stand_in_any_order_and_group_is_read(files: Path) -> None:
    path = files / "manifest.csv"
    path.write_text("group,split,fractured,mask,image,id,note\np7,test,0,,a.png,x,hello\n,test,0,,b.png,y,\n")
    assert [sample.group for sample in read_manifest(path)] == ["p7", None]


def test_every_problem_is_listed_with_its_line_and_what_is_right(files: Path) -> None:
    path = files / "manifest.csv"
    path.write_text(
        HEAD
        + "x,a.png,m.png,1,train\nx,b.png,,0,val\ny,gone.png,,0,val\nz,a.png,lost.png,2,dev\nw,a.png,,1,test\n,,,,\n"
        ",a.png,,0,train\n"
    )
    name = str(path)
    assert refused(path) == (
        f"{name}: line 3: id: x duplicate of line 2",
        f"{name}: line 4: image: gone.png: no such file",
        f"{name}: line 5: mask: lost.png: no such file",
        f"{name}: line 5: fractured: expected 0 or 1, got 2",
        f"{name}: line 5: split: expected train, val or test, got dev",
        f"{name}: line 6: mask: empty, but fractured is 1; a positive needs a mask",
        f"{name}: line 8: id: empty; expected a name for the radiograph",
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "line 1: no column id, image, mask, fractured, split"),
        (b"id,image,fractured\n", "line 1: no column mask, split; found: id, image, fractured"),
        (HEAD.encode(), "no rows; expected one"),
        (b"id,id,image,mask,fractured,split\n1,2,a.png,,0,val\n", "line 1: column id appears twice"),
        (b"\xff\xfe\x00i\x00d\x00", "not UTF-8"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "not UTF-8"),
        (HEAD.encode() + b"x,a\0.png,,0,val\n", "line"),
        (HEAD.encode() + b"x,a.png,,0,val,more\n", "line 2: expected 5 fields, got 6"),
        (
            HEAD.encode() + b'x,a.png,,0,val\ny,"a.png,,0,val\n',
            "line 3: not CSV: unexpected end of data; expected closed quotes",
        ),
        (HEAD.encode() + b"x," + b"y" * 5000 + b",,0,val\n", "no such file"),
        (HEAD.encode() + "\x1b[2J\u202e,a.png,,0,val\n".encode(), "id: ␛[2J\ufffd contains control characters"),
        (HEAD.encode() + b"x,\x1b]0;owned\x07.png,,0,val\n", "image: ␛]0;owned␇.png: no such file"),
    ],
)
def test_hostile_content_costs_one_clear_line(files: Path, content: bytes, told: str) -> None:
    path = files / "manifest.csv"
    path.write_bytes(content)
    (line,) = refused(path)
    assert line.startswith(f"{path}: ")
    assert told in line
    assert len(line) < 600


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.booleans())
def test_whatever_bytes_a_manifest_holds_it_is_refused_in_clean_lines(
    tmp_path: Path, content: bytes, with_head: bool
) -> None:
    path = tmp_path / "any.csv"
    path.write_bytes(HEAD.encode() * with_head + content)
    assert refused(path)


def test_a_manifest_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.csv") == (f"{tmp_path / 'none.csv'}: No such file or directory",)
    assert refused(tmp_path) == (f"{tmp_path}: Is a directory",)


def test_what_is_written_is_read_again_and_paths_are_relative(files: Path) -> None:
    samples = [
        Sample('a "quoted", id', files / "a.png", files / "m.png", True, "train", "p1"),
        Sample("y", files / "b.png", None, False, "test"),
    ]
    place = files / "deep" / "er"
    place.mkdir(parents=True)
    write_manifest(place / "manifest.csv", samples)
    assert "../../a.png" in (place / "manifest.csv").read_text()
    again = read_manifest(place / "manifest.csv")
    assert [replace(s, image=s.image.resolve(), mask=s.mask and s.mask.resolve()) for s in again] == samples


def test_a_manifest_without_groups_has_no_such_column(files: Path) -> None:
    write_manifest(files / "manifest.csv", [Sample("y", files / "b.png", None, False, "test")])
    assert (files / "manifest.csv").read_text() == HEAD + "y,b.png,,0,test\n"


def test_the_fingerprint_follows_content_and_not_places_or_order(files: Path, tmp_path: Path) -> None:
    samples = [
        Sample("x", files / "a.png", files / "m.png", True, "train"),
        Sample("y", files / "b.png", None, False, "val"),
    ]
    before = fingerprint(samples)
    assert before.startswith("sha256:")
    assert len(before) == len("sha256:") + 64
    moved = tmp_path / "elsewhere.png"
    shutil.copy(files / "b.png", moved)
    assert fingerprint([replace(samples[1], image=moved, split="test", group="g"), samples[0]]) == before
    assert fingerprint([samples[0], replace(samples[1], id="z")]) != before
    assert fingerprint([replace(samples[0], fractured=False), samples[1]]) != before
    assert fingerprint([replace(samples[0], mask=None), samples[1]]) != before
    Image.new("L", (8, 8), 51).save(files / "b.png")
    assert fingerprint(samples) != before


def test_the_fingerprint_of_a_file_that_is_gone_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"gone\.png: No such file"):
        fingerprint([Sample("x", tmp_path / "gone.png", None, False, "test")])
