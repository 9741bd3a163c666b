"""Files that are no images are named as what they are, all at once; formats that are not read are listed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.contract.errors import BadInput
from engine.data.file_kinds import describe
from engine.prepare.prepare import prepare

from .conftest import save_image, write_csv

SQUARE = (10, 8, 30, 20)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:abab\nsize 20480\n"


def test_each_file_is_named_as_what_it_is_and_all_come_at_once(folder: Callable[..., Path], tmp_path: Path) -> None:
    source = folder({f"images/{name}.png": 1 for name in "abcdefgh"}, {"masks/a.png": SQUARE, "masks/b.png": SQUARE})
    whole = (source / "images/a.png").read_bytes()
    contents = {
        "images/b.png": LFS,
        "images/c.png": b"\n<!DOCTYPE HTML><html>404</html>",
        "images/d.png": b"",
        "images/e.png": b"\0" * 999,
        "images/f.png": whole[:1000],
        "images/g.png": whole[:9],
        "masks/a.png": b"hello",
    }
    for name, content in contents.items():
        (source / name).write_bytes(content)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(source / "images/h.png", "WEBP")
    expected = "expected PNG, JPEG, TIFF or BMP"
    with pytest.raises(BadInput) as caught:
        prepare(source, tmp_path / "out")
    assert [line.removeprefix(str(source)) for line in caught.value.lines] == [
        f"/images/a.png: {source}/masks/a.png: no image; {expected}",
        f"/images/b.png: a Git LFS pointer, not the file itself (git lfs pull fetches it); {expected}",
        f"/images/c.png: an HTML page, such as the error page of a failed download; {expected}",
        f"/images/d.png: an empty file; {expected}",
        f"/images/e.png: a file of zero bytes only; {expected}",
        f"/images/g.png: an image file that is cut short or damaged; {expected}",
        f"/images/h.png: a WebP image; {expected}",
        "/images/f.png: cannot be decoded: image file is truncated",
    ]
    assert not (tmp_path / "out").exists()


def test_the_files_of_a_table_are_checked_although_others_of_it_are_missing(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png", 1)
    (tmp_path / "b.png").write_bytes(LFS)
    rows = [{"id": name, "image": f"{name}.png", "mask": "", "fractured": 0} for name in ("a", "b", "gone")]
    table = write_csv(tmp_path / "t.csv", rows)
    with pytest.raises(BadInput) as caught:
        prepare(table, tmp_path / "out")
    missing, pointer = caught.value.lines
    assert missing == f"{table}: line 4: image: gone.png: no such file"
    assert pointer.startswith(f"{table}: line 3: {tmp_path / 'b.png'}: a Git LFS pointer")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC image"),
        (b"\0" * 128 + b"DICM", "a DICOM file under another name (rename it to .dcm)"),
        (b"GIF89a", "a GIF image"),
        (b"\xff\xd8\xff\xe0", "an image file that is cut short or damaged"),
        (b"\x93NUMPY\1", "a NumPy array"),
    ],
)
def test_kinds_of_files(tmp_path: Path, content: bytes, kind: str) -> None:
    (tmp_path / "x").write_bytes(content)
    assert describe(tmp_path / "x") == kind


def test_a_dicom_file_that_is_a_pointer_is_named_so(tmp_path: Path) -> None:
    (tmp_path / "source" / "normal").mkdir(parents=True)
    (tmp_path / "source" / "normal" / "a.dcm").write_bytes(LFS)
    with pytest.raises(BadInput, match=r"a\.dcm: a Git LFS pointer"):
        prepare(tmp_path / "source", tmp_path / "out")


def test_formats_that_are_not_read_are_listed_with_their_number(folder: Callable[..., Path], tmp_path: Path) -> None:
    source = folder({"images/a.png": 1, "images/b.png": 2}, {"masks/a.png": SQUARE})
    for number in range(5):
        (source / "images" / f"x{number}.HEIC").write_bytes(b"x")
    (source / "images" / "v.nii.gz").write_bytes(b"x")
    (source / "readme.md").write_text("x")
    prepared = prepare(source, tmp_path / "out")
    names = ", ".join(f"{source}/images/x{number}.HEIC" for number in range(3))
    assert [flaw.line for flaw in prepared.flaws if flaw.kind == "not read"] == [
        f"1 .gz files ({source}/images/v.nii.gz): left out; expected PNG, JPEG, TIFF, BMP or DICOM",
        f"5 .heic files ({names}, …): left out; expected PNG, JPEG, TIFF, BMP or DICOM",
    ]


def test_a_refusal_lists_formats_that_are_not_read(folder: Callable[..., Path], tmp_path: Path) -> None:
    source = folder({"images/a.png": 1, "images/b.png": 2}, {"masks/a.png": SQUARE, "masks/b.png": SQUARE})
    (source / "images/a.png").rename(source / "images/a.webp")
    with pytest.raises(BadInput, match=r"1 \.webp files .*: left out; expected PNG"):
        prepare(source, tmp_path / "out")
