"""One grey-level window for all images of a set that have more than 8 bits, and for everything that a run reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from engine.cli import main
from engine.contract.errors import BadInput
from engine.data.images import is_deep, read_image
from engine.data.inputs import load_inputs
from engine.data.manifest import Sample, read_manifest, write_manifest
from engine.data.window import LARGEST_SAMPLE, Window, measure, read_window, report_missing, write_window
from engine.prepare.prepare import prepare, report_lines

from ..conftest import TINY, arguments
from .conftest import save_image, save_mask

Folder = Callable[..., Path]


def save_deep(path: Path, top: int, *, seed: int = 0, side: int = 64) -> Path:
    """A 16-bit image of values from 0 to `top`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, top + 1, (side, side)).astype(np.uint16)
    values[0, 0] = top
    Image.fromarray(values).save(path)
    return path


def sample(path: Path, split: str = "train", window: Window | None = None) -> Sample:
    return Sample(path.stem, path, None, False, split, None, window)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_window_maps_linearly_and_clips(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 100, 101, 200, 300, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    assert read_image(tmp_path / f"a.{suffix}", (100, 300)).tolist() == [[0, 0, 1, 128, 255, 255]]


def test_equal_values_look_equal_in_every_image_of_a_set(tmp_path: Path) -> None:
    """Without a window, images with a maximum of 1023 and 1024 differ fourfold."""
    window = (0.0, 2048.0)
    dark, bright = (save_deep(tmp_path / f"{top}.png", top) for top in (1023, 1024))
    values = [np.asarray(Image.open(path)).astype(float) for path in (dark, bright)]
    for path, stored in zip((dark, bright), values, strict=True):
        assert np.abs(read_image(path, window) - stored * 255 / 2048).max() <= 0.51
    assert read_image(dark).mean() > 3 * read_image(bright).mean()


def test_an_inverted_tiff_is_inverted_after_the_window(tmp_path: Path) -> None:
    values = np.array([[0, 1000, 4000]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.tif", tiffinfo={262: 0})
    assert read_image(tmp_path / "a.tif", (0, 4000)).tolist() == [[255, 191, 0]]


def test_8_bit_images_and_floats_from_0_to_1_do_not_depend_on_the_window(tmp_path: Path) -> None:
    grey = save_image(tmp_path / "a.png", 1)
    Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)).save(tmp_path / "f.tif")
    for path in (grey, tmp_path / "f.tif"):
        assert np.array_equal(read_image(path, (10, 20)), read_image(path))
    assert not is_deep(grey)
    assert measure([sample(grey), sample(tmp_path / "f.tif")], 0) is None


def test_one_hot_pixel_changes_neither_the_window_nor_the_images(tmp_path: Path) -> None:
    paths = [save_deep(tmp_path / f"{n}.png", 1000, seed=n) for n in range(5)]
    window = measure([sample(path) for path in paths], 0)
    assert window is not None
    assert window.low == pytest.approx(5, abs=4)
    assert window.high == pytest.approx(995, abs=4)
    before = read_image(paths[0], window)
    values = np.asarray(Image.open(paths[0])).copy()
    values[3, 3] = 65535
    Image.fromarray(values).save(paths[0])
    again = measure([sample(path) for path in paths], 0)
    assert again is not None
    assert again.high == pytest.approx(window.high, abs=4)
    after = read_image(paths[0], window)
    assert (before != after).sum() <= 1
    assert len(np.unique(after)) > 200
    assert len(np.unique(read_image(paths[0]))) < 8


def test_the_window_is_of_a_seeded_sample_of_the_training_images(tmp_path: Path) -> None:
    paths = [save_deep(tmp_path / f"{n}.png", 100 + n, seed=n, side=8) for n in range(LARGEST_SAMPLE + 20)]
    samples = [sample(path) for path in paths]
    window = measure(samples, 7)
    assert window == measure(samples, 7)
    assert window != measure(samples, 8)
    assert window is not None
    assert window.images == LARGEST_SAMPLE
    bright = sample(save_deep(tmp_path / "bright.png", 60000, side=8), "test")
    assert measure([*samples, bright], 7) == window
    alone = measure([bright], 7)
    assert alone is not None
    assert alone.high > 10_000


def test_a_constant_image_gives_a_window_of_some_width(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 700, np.uint16)).save(tmp_path / "a.png")
    assert measure([sample(tmp_path / "a.png")], 0) == Window(700, 701, 1)


def test_prepare_writes_the_window_beside_the_manifest_and_readers_take_it(tmp_path: Path) -> None:
    for number in range(12):
        save_deep(tmp_path / f"s/images/{number}.png", 3000 if number % 2 else 900, seed=number)
        if number < 6:
            save_mask(tmp_path / f"s/masks/{number}.png", (8, 8, 30, 30), height=64)
    prepared = prepare(tmp_path / "s", tmp_path / "out")
    values = yaml.safe_load((tmp_path / "out" / "manifest.yaml").read_text())
    assert values["format"] == "xray-manifest/1"
    samples = read_manifest(prepared.manifest)
    assert values["images"] == sum(each.split == "train" for each in samples)
    assert {each.window for each in samples} == {prepared.window}
    assert list(values["window"]) == list(prepared.window)[:2]
    assert any("with more than 8 bits" in line for line in report_lines(prepared))
    inputs = load_inputs(samples, 64, False, prepared.manifest, "all")
    for each, image in zip(samples, inputs.images, strict=True):
        assert np.array_equal(image, read_image(each.image, prepared.window))
    write_window(tmp_path / "out" / "manifest.yaml", Window(0, 60000, 1))  # the cached inputs are not those
    again = read_manifest(prepared.manifest)
    darker = load_inputs(again, 64, False, prepared.manifest, "all")
    assert darker.images.max() < 20
    assert inputs.images.max() == 255


def test_a_set_of_8_bit_images_has_no_window(folder: Folder, tmp_path: Path) -> None:
    source = folder({"images/a.png": 1, "images/b.png": 2}, {"masks/a.png": (10, 8, 30, 20)})
    (tmp_path / "out").mkdir()
    write_window(tmp_path / "out" / "manifest.yaml", Window(0, 10, 1))  # of a former preparation
    assert prepare(source, tmp_path / "out").window is None
    assert not (tmp_path / "out" / "manifest.yaml").exists()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("format: xray-manifest/1\nwindow: [3, 3]\n", "window: expected [low, high], two numbers, the lower first"),
        ("format: xray-manifest/1\nwindow: [.nan, 3]\n", "window: expected [low, high], two numbers"),
        ("format: xray-manifest/1\nwindow: wide\n", "window: expected [low, high], two numbers"),
        ("format: xray-manifest/2\nwindow: [1, 3]\n", "written by a newer version (xray-manifest/2)"),
        ("[", "not YAML"),
    ],
)
def test_a_damaged_header_is_refused_in_one_line(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "manifest.yaml").write_text(text)
    with pytest.raises(BadInput) as caught:
        read_window(tmp_path / "manifest.yaml")
    (line,) = caught.value.lines
    assert problem in line


def test_images_without_a_window_are_reported_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deep, grey = save_deep(tmp_path / "a.png", 4000), save_image(tmp_path / "b.png", 1)
    report_missing([sample(deep, window=Window(0, 4000, 1)), sample(grey)])
    assert capsys.readouterr().out == ""
    report_missing([sample(deep), sample(grey)])
    assert capsys.readouterr().out.startswith("1 of 2 images have more than 8 bits and no common window")


@pytest.fixture
def deep_set(synthetic: Path, tmp_path: Path) -> Path:
    """The synthetic set as 16-bit images of values up to 1020, prepared without a window."""
    samples = []
    for each in read_manifest(synthetic):
        image = tmp_path / "deep" / "images" / f"{each.id}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(Image.open(each.image)).astype(np.uint16) * 4).save(image)
        samples.append(Sample(each.id, image, each.mask, each.fractured, each.split))
    write_manifest(tmp_path / "deep" / "manifest.csv", samples)
    return tmp_path / "deep" / "manifest.csv"


def train(manifest: Path, run: Path, project: Path, *more: str) -> int:
    given = arguments(f"data.manifest={manifest}", *TINY, "training.epochs=1", "data.cache=false")
    return main(["train", "--config", str(project / "configs/pretrained_dual_head.yaml"), "--run", str(run), *given])


def evaluate(run: Path, *more: str) -> int:
    return main(["evaluate", "--run", str(run), "--tta", "none", "--bootstrap", "0", *more])


def predicted(run: Path) -> np.ndarray:
    return np.load(run / "predictions" / "test_none" / "probabilities.npy")


@pytest.mark.usefixtures("engine_extra")
def test_a_run_keeps_its_window_for_its_own_and_for_other_data(
    deep_set: Path, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, header = tmp_path / "runs" / "a", deep_set.with_name("manifest.yaml")
    write_window(header, Window(0, 1020, 40))
    assert train(deep_set, run, project) == 0
    assert read_window(run / "window.yaml") == Window(0, 1020, 40)
    assert evaluate(run) == 0
    assert "no common window" not in capsys.readouterr().out
    maps = predicted(run).copy()
    figures = json.loads((run / "test_metrics_tuned.json").read_text())

    write_window(header, Window(0, 60000, 40))  # prepared again, beside other images: the run's window stays
    assert evaluate(run) == 0
    assert np.array_equal(predicted(run), maps)
    output = tmp_path / "external.json"
    assert evaluate(run, "--manifest", str(deep_set), "--output", str(output)) == 0
    assert json.loads(output.read_text())["dice_pos"] == figures["dice_pos"]

    write_window(run / "window.yaml", Window(0, 60000, 40))  # predictions of another window are made again
    assert evaluate(run) == 0
    assert not np.array_equal(predicted(run), maps)


@pytest.mark.usefixtures("engine_extra")
def test_sets_and_runs_of_earlier_versions_keep_the_rule_for_each_image(
    deep_set: Path, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "runs" / "a"
    assert train(deep_set, run, project) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if "no common window" in line]
    assert len(told) == 1
    assert not (run / "window.yaml").exists()
    assert evaluate(run) == 0
    maps = predicted(run).copy()
    write_window(deep_set.with_name("manifest.yaml"), Window(0, 60000, 40))  # prepared again by this version
    capsys.readouterr()
    assert evaluate(run) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if "no common window" in line]
    assert len(told) == 1
    assert np.array_equal(predicted(run), maps)
