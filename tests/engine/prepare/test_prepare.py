"""What a preparation writes, refuses and leaves alone, whatever the source."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.cli import main
from engine.contract.errors import BadInput
from engine.data.manifest import read_manifest
from engine.prepare.prepare import SHOWN, judge, mask_name, prepare, report_lines, staging

from .conftest import save_image, save_mask, write_csv

SQUARE = (10, 8, 30, 20)


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["classes.png", "colour.png", "lossy.jpg", "deep.tif"])
def test_masks_of_every_kind_become_8_bit_pngs_of_0_and_255(tmp_path: Path, kind: str) -> None:
    mask = np.zeros((40, 64), np.uint8)
    mask[8:20, 10:30] = 1
    pictures = {
        "classes.png": Image.fromarray(mask * 2),
        "colour.png": Image.fromarray(mask[:, :, None] * np.array([255, 40, 0], np.uint8)),
        "lossy.jpg": Image.fromarray(mask * 255),
        "deep.tif": Image.fromarray(mask.astype(np.uint16) * 65535),
    }
    save_image(tmp_path / "s/images/a.png", 1)
    place = tmp_path / "s/masks" / f"a{Path(kind).suffix}"
    place.parent.mkdir()
    pictures[kind].save(place)
    (sample,) = read_manifest(prepare(tmp_path / "s", tmp_path / "out").manifest)
    with Image.open(sample.mask) as written:
        assert (written.format, written.mode) == ("PNG", "L")
        pixels = np.asarray(written)
    assert set(np.unique(pixels)) == {0, 255}
    assert ((pixels > 0) != (mask > 0)).mean() < 0.01


def test_the_prepared_folder_moves_together_with_its_source(folder: Callable[..., Path], tmp_path: Path) -> None:
    source = folder({"images/a.png": 1, "images/b.png": 2}, {"masks/a.png": SQUARE})
    prepare(source, source / "prepared")
    (tmp_path / "far").mkdir()
    moved = source.rename(tmp_path / "far" / "away")
    assert [sample.id for sample in read_manifest(moved / "prepared" / "manifest.csv")] == ["a", "b"]


def test_images_and_masks_of_another_size_are_refused_with_both_sizes(
    folder: Callable[..., Path], tmp_path: Path
) -> None:
    source = folder({"images/a.png": 1, "images/b.png": 2, "images/c.png": 3})
    save_mask(source / "masks/a.png", SQUARE, height=64, width=40)
    save_mask(source / "masks/c.png", SQUARE, height=41, width=64)
    with pytest.raises(BadInput) as caught:
        prepare(source, tmp_path / "out")
    one, other = caught.value.lines
    assert "masks/a.png: expected 64 x 40 pixels like its image (upright), got 40 x 64" in one
    assert "masks/c.png: expected 64 x 40 pixels like its image (upright), got 64 x 41" in other
    assert not (tmp_path / "out").exists()


def test_every_file_that_is_no_image_is_listed(folder: Callable[..., Path], tmp_path: Path) -> None:
    source = folder({f"images/normal/{name}.png": 1 for name in "abcd"})
    (source / "images/normal" / "b.png").write_bytes(b"\x1b[2Jno image")
    whole = (source / "images/normal" / "c.png").read_bytes()
    (source / "images/normal" / "c.png").write_bytes(whole[: len(whole) // 2])
    (source / "images/normal" / "b.png").rename(source / "images/normal" / "b\x1b.png")
    with pytest.raises(BadInput) as caught:
        prepare(source, tmp_path / "out")
    assert all(line.isprintable() for line in caught.value.lines)
    assert any("b␛" in line for line in caught.value.lines)


def test_images_whose_pixels_are_damaged_are_all_listed_and_nothing_is_left(
    folder: Callable[..., Path], tmp_path: Path
) -> None:
    source = folder({f"images/normal/{name}.png": 1 for name in "abcd"})
    for name in "bd":
        path = source / "images/normal" / f"{name}.png"
        path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(BadInput) as caught:
        prepare(source, tmp_path / "out")
    assert [line.split(": ")[0][-5:] for line in caught.value.lines] == ["b.png", "d.png"]
    assert listing(tmp_path / "out") == {}


def test_prepared_again_it_replaces_everything_of_its_own(folder: Callable[..., Path], tmp_path: Path) -> None:
    source = folder({"images/a.png": 1, "images/b.png": 2}, {"masks/a.png": SQUARE, "masks/b.png": SQUARE})
    out = tmp_path / "out"
    prepare(source, out)
    (out / "masks" / "somebody_elses.png").write_bytes(b"kept")
    (source / "masks" / "b.png").unlink()
    prepare(source, out, overwrite=True)
    assert set(listing(out)) == {"manifest.csv", "flaws.txt", "masks/a.png", "masks/somebody_elses.png"}
    assert [sample.fractured for sample in read_manifest(out / "manifest.csv")] == [True, False]


def test_an_interrupted_preparation_leaves_the_old_one_as_it_was(
    folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder({"images/a.png": 1, "images/b.png": 2}, {"masks/a.png": SQUARE})
    prepare(source, tmp_path / "out")
    before = listing(tmp_path / "out")
    save_mask(source / "masks/a.png", (0, 0, 5, 5))

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("engine.prepare.prepare.set_flaws", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path / "out")
    assert listing(tmp_path / "out") == before


KILLED = """
import os, signal, sys
from pathlib import Path
from engine.data import synthetic
from engine.prepare import converted, prepare
def kill(*arguments, **more):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(globals()[sys.argv[1]], sys.argv[2], kill)
if sys.argv[1] == "synthetic":
    synthetic.make_synthetic(Path(sys.argv[4]), 20, 32)
else:
    prepare.prepare(Path(sys.argv[3]), Path(sys.argv[4]), seed=2, overwrite=True)
"""
"""A preparation that is killed where it calls a function of a module."""


def killed(module: str, function: str, source: Path, output: Path) -> None:
    command = [sys.executable, "-c", KILLED, module, function, str(source), str(output)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("module", "function"), [("converted", "examine"), ("prepare", "set_flaws"), ("prepare", "write_window")]
)
def test_after_a_killed_preparation_the_same_command_works(
    folder: Callable[..., Path], tmp_path: Path, module: str, function: str
) -> None:
    source, out = folder({f"images/{n}.png": n for n in range(30)}, {"masks/0.png": SQUARE}), tmp_path / "out"
    killed(module, function, source, out)
    assert not (out / "manifest.csv").exists()
    prepare(source, out, seed=2)
    assert set(listing(out)) == {"manifest.csv", "flaws.txt", "masks/0.png"}
    assert len(read_manifest(out / "manifest.csv")) == 30
    assert not list(out.glob(".masks-*"))


@pytest.mark.parametrize("function", ["set_flaws", "write_window"])
def test_a_killed_preparation_leaves_the_old_one_readable(
    folder: Callable[..., Path], tmp_path: Path, function: str
) -> None:
    source, out = folder({f"images/{n}.png": n for n in range(30)}, {"masks/0.png": SQUARE}), tmp_path / "out"
    prepare(source, out, seed=1)
    before = (out / "manifest.csv").read_bytes()
    killed("prepare", function, source, out)
    assert (out / "manifest.csv").read_bytes() == before
    assert len(read_manifest(out / "manifest.csv")) == 30
    prepare(source, out, seed=2, overwrite=True)
    assert (out / "manifest.csv").read_bytes() != before


def test_after_a_killed_synth_the_same_command_works(tmp_path: Path) -> None:
    killed("synthetic", "write_manifest", tmp_path, tmp_path / "out")
    assert len(listing(tmp_path / "out")) > 20
    assert main(["synth", "--output", str(tmp_path / "out"), "--images", "20", "--size", "32"]) == 0
    assert len(read_manifest(tmp_path / "out" / "manifest.csv")) == 20


def test_another_set_in_the_folder_is_replaced_only_on_request(
    folder: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = folder({f"images/{n}.png": n for n in range(30)}, {"masks/0.png": SQUARE})
    out = tmp_path / "out"
    command = ["prepare", str(source), "--output", str(out)]
    line = f"{out}/manifest.csv: exists with other content; expected a new folder, or --overwrite\n"
    assert [main(command), main(command)] == [0, 0]
    before = listing(out)
    capsys.readouterr()
    assert main([*command, "--seed", "1"]) == 2
    assert capsys.readouterr().err == line
    save_mask(source / "masks/0.png", (0, 0, 5, 5))
    assert main(command) == 2
    assert capsys.readouterr().err == line
    assert listing(out) == before
    assert main([*command, "--overwrite"]) == 0
    assert listing(out).keys() == before.keys()
    assert listing(out) != before


def test_a_second_preparation_of_the_same_folder_at_once_is_refused(
    folder: Callable[..., Path], tmp_path: Path
) -> None:
    source = folder({"images/normal/a.png": 1})
    with staging(tmp_path / "out"), pytest.raises(BadInput, match="out: another preparation is writing into it"):
        prepare(source, tmp_path / "out")
    prepare(source, tmp_path / "out")
    assert len(read_manifest(tmp_path / "out" / "manifest.csv")) == 1


def test_the_sources_own_masks_are_never_overwritten(folder: Callable[..., Path], tmp_path: Path) -> None:
    source = folder({"images/a.png": 1}, {"masks/a.png": SQUARE})
    before = listing(source)
    with pytest.raises(BadInput, match="would overwrite the masks of the source; give another folder"):
        prepare(source, source)
    assert listing(source) == before


def test_what_was_prepared_can_be_a_source(folder: Callable[..., Path], tmp_path: Path) -> None:
    source = folder({f"images/{n}.png": n for n in range(6)}, {"masks/1.png": SQUARE})
    first = read_manifest(prepare(source, tmp_path / "one").manifest)
    second = read_manifest(prepare(tmp_path / "one", tmp_path / "two").manifest)
    assert [(s.id, s.fractured, s.split) for s in second] == [(s.id, s.fractured, s.split) for s in first]


def test_flaws_are_written_whole_and_the_report_tells_the_first_of_each_kind(
    folder: Callable[..., Path], tmp_path: Path
) -> None:
    source = folder({f"images/normal/{n}.png": 7 for n in range(3)} | {f"images/normal/m{n}.png": n for n in range(5)})
    for number in range(SHOWN + 2):
        save_mask(source / "masks" / f"z{number}.png", SQUARE)
    prepared = prepare(source, tmp_path / "out", accept_losses=True)
    flaws_file = tmp_path / "out" / "flaws.txt"
    written = flaws_file.read_text().splitlines()
    assert written == [f"{flaw.kind}: {flaw.line}" for flaw in prepared.flaws]
    report = list(report_lines(prepared))
    assert report[0] == str(prepared.manifest)
    trained = sum(sample.split == "train" for sample in read_manifest(prepared.manifest))
    assert f"train {trained} images, 0 fractured" in [" ".join(line.split()) for line in report]
    assert f"mask alone: {SHOWN + 2}" in report
    assert f"  … 2 more in {flaws_file}" in report


def test_a_preparation_that_would_leave_no_image_is_refused_with_the_reasons(
    folder: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="a: labelled 1, but its mask is empty: left out"):
        prepare(folder({"images/positive/a.png": 1}), tmp_path / "out", trust="label", accept_losses=True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"format": "fracatlas"}, "dataset.csv: No such file or directory"),
        ({"format": "csv"}, "manifest.csv: No such file or directory"),
        ({"split": Path("none.csv")}, "none.csv: No such file or directory"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(
    folder: Callable[..., Path], tmp_path: Path, arguments: dict[str, object], told: str
) -> None:
    with pytest.raises(BadInput) as caught:
        prepare(folder({"images/normal/a.png": 1}), tmp_path / "out", **arguments)  # type: ignore[arg-type]
    (line,) = caught.value.lines
    assert told in line


def test_a_source_or_an_output_that_cannot_be_is_refused_in_one_line(
    folder: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = folder({"images/normal/a.png": 1})
    file = tmp_path / "file"
    file.write_text("")
    for arguments, line in (
        ((tmp_path / "nowhere", tmp_path / "out"), f"{tmp_path / 'nowhere'}: no such file or folder"),
        ((tmp_path / ("x" * 400), tmp_path / "out"), f"{tmp_path / ('x' * 400)}: File name too long"),
        ((source, file), f"{file}: File exists"),
    ):
        assert main(["prepare", str(arguments[0]), "--output", str(arguments[1])]) in (1, 2)
        assert capsys.readouterr().err == f"{line}\n"


def test_ids_that_are_no_file_names_still_get_masks_of_their_own(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png", 1)
    save_mask(tmp_path / "m.png", SQUARE)
    names = ["../../evil", "a/b", "a_b", "x" * 300, "Größe 1", "."]
    rows = [{"id": name, "image": "a.png", "mask": "m.png", "fractured": 1, "split": "train"} for name in names]
    prepared = prepare(write_csv(tmp_path / "t.csv", rows), tmp_path / "out")
    samples = read_manifest(prepared.manifest)
    assert [sample.id for sample in samples] == names
    assert len({sample.mask for sample in samples}) == len(names)
    assert all(sample.mask.parent == tmp_path / "out" / "masks" for sample in samples)


@given(st.text(min_size=1))
def test_a_masks_name_is_a_plain_file_name(identity: str) -> None:
    name = mask_name(identity)
    assert name.endswith(".png")
    assert len(name) < 120
    assert name.isascii()
    assert not name.startswith(".")
    assert "/" not in name


@pytest.mark.parametrize(
    ("label", "drawn", "by_mask", "by_label"),
    [
        (None, True, True, True),
        (None, False, False, False),
        (True, True, True, True),
        (False, False, False, False),
        (False, True, True, False),
        (True, False, False, None),
    ],
)
def test_what_counts_where_label_and_mask_contradict_each_other(
    label: bool | None, drawn: bool, by_mask: bool, by_label: bool | None
) -> None:
    assert judge(label, drawn, "mask")[0] is by_mask
    assert judge(label, drawn, "label")[0] is by_label
    contradict = label is not None and label != drawn
    assert (judge(label, drawn, "mask")[1] is not None) == contradict
