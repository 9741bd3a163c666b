"""The synthetic set: deterministic, both classes in every split, masks where and only where there is a fracture."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.cli import main
from engine.data.images import read_image, read_mask
from engine.data.manifest import Sample, fingerprint, read_manifest
from engine.data.synthetic import Bone, Fracture, make_synthetic, tube


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return read_manifest(make_synthetic(tmp_path_factory.mktemp("synth"), 60, 96, 3))


@pytest.mark.parametrize("images", [20, 21, 33])
def test_every_split_holds_images_with_and_without_a_fracture(tmp_path: Path, images: int) -> None:
    samples = read_manifest(make_synthetic(tmp_path, images, 32, 0))
    assert len(samples) == images
    assert len(Counter((sample.split, sample.fractured) for sample in samples)) == 6


def test_most_images_have_no_fracture(samples: list[Sample]) -> None:
    assert 0.25 <= np.mean([sample.fractured for sample in samples]) <= 0.30


def test_masks_are_there_for_positives_only_and_hold_a_small_region(samples: list[Sample]) -> None:
    for sample in samples:
        assert (sample.mask is not None) == sample.fractured
        if sample.mask:
            assert set(np.unique(np.asarray(Image.open(sample.mask)))) == {0, 255}
            assert 12 <= read_mask(sample.mask).sum() < 0.06 * 96 * 96
    assert len(list(samples[0].image.parents[1].glob("masks/*"))) == sum(sample.fractured for sample in samples)


def test_the_pictures_have_a_dark_ground_and_bright_bones(samples: list[Sample]) -> None:
    for sample in samples[:20]:
        pixels = read_image(sample.image)
        assert pixels.shape == (96, 96)
        assert np.quantile(pixels, 0.05) < 60
        assert pixels.max() > 160


BONE = Bone(along=0, across=0, half_length=0.9, radius=0.06, tilt=0.02, bend=0.05, flare=0.4, cortex=0.3)
GAP = Fracture(at=0.1, slope=0.2, gap=0.01, depth=0.8, step=0.0, angle=0.0, teeth=0.01, phase=1.0)


def bone_with(fracture: Fracture | None) -> tuple[np.ndarray, np.ndarray]:
    across, along = np.mgrid[0:200, 0:200].astype(np.float32) / 200 - 0.5
    return tube(BONE, fracture, along, across, np.zeros_like(along))


def test_a_bone_is_brightest_at_its_walls() -> None:
    profile = bone_with(None)[0][:, 100]
    inside = profile[profile > 0]
    assert inside[: len(inside) // 3].max() > 1.3 * inside[len(inside) // 2] < inside[-len(inside) // 3 :].max()


def test_a_gap_takes_attenuation_away_inside_its_mask_and_nowhere_else() -> None:
    whole, nothing = bone_with(None)
    broken, mask = bone_with(GAP)
    assert not nothing.any()
    assert np.allclose(broken[~mask], whole[~mask], rtol=0.02)
    assert broken[mask].sum() < 0.9 * whole[mask].sum()


def test_a_step_moves_only_what_lies_beyond_the_line() -> None:
    whole, _ = bone_with(None)
    broken, mask = bone_with(replace(GAP, depth=0.0, step=0.05, teeth=0.0, slope=0.0))
    assert np.allclose(broken[:, :118], whole[:, :118])
    assert np.abs(broken[:, 125:] - whole[:, 125:]).mean() > 0.1 * whole[:, 125:].mean()
    assert mask[:, 110:130].any()
    assert not mask[:, :100].any()


def test_the_same_seed_gives_the_same_set_and_another_seed_another(tmp_path: Path) -> None:
    first, again, other = (
        read_manifest(make_synthetic(tmp_path / name, 20, 48, seed))
        for name, seed in (("first", 3), ("again", 3), ("other", 4))
    )
    assert fingerprint(again) == fingerprint(first)
    assert [(s.id, s.split) for s in again] == [(s.id, s.split) for s in first]
    assert fingerprint(other) != fingerprint(first)


def test_no_two_pictures_are_the_same(samples: list[Sample]) -> None:
    assert len({read_image(sample.image).tobytes() for sample in samples}) == len(samples)


def test_a_place_that_is_a_file_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["synth", "--output", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err == f"{tmp_path / 'file' / 'images'}: Not a directory\n"


@pytest.mark.parametrize("change", [("--images", "21"), ("--size", "40"), ("--seed", "9")])
def test_another_set_in_the_folder_is_replaced_only_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str]
) -> None:
    command = ["synth", "--output", str(tmp_path), "--images", "20", "--size", "32"]
    manifest = tmp_path / "manifest.csv"
    assert [main(command), main(command)] == [0, 0]
    before = fingerprint(read_manifest(manifest))
    capsys.readouterr()
    assert main([*command, *change]) == 2
    expected = f"{manifest}: exists with other content; expected a new folder, or --overwrite\n"
    assert capsys.readouterr().err == expected
    assert fingerprint(read_manifest(manifest)) == before
    assert main([*command, *change, "--overwrite"]) == 0
    assert fingerprint(read_manifest(manifest)) != before
