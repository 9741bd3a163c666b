"""Training on patches: where they lie, and what they hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from engine.contract.augment import AugmentConfig
from engine.contract.data import PatchConfig
from engine.data.batches import Batch, TrainingSamples, on_device
from engine.data.inputs import Inputs, load_inputs
from engine.data.manifest import Sample, read_manifest
from engine.data.patches import POSITIONS, corner, find_positions

from ..conftest import TINY, arguments

SIDE = 128


def scene() -> tuple[np.ndarray, np.ndarray]:
    """An image of 128 pixels, 96 rows of it content: bone in the middle columns, a fracture of 4 x 4 pixels."""
    image = np.zeros((SIDE, SIDE), np.uint8)
    image[:96] = 60
    image[:96, 50:70] = 180
    mask = np.zeros((SIDE, SIDE), bool)
    mask[40:44, 60:64] = True
    return image, mask


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    """The scene, and the same without a fracture, twenty of each."""
    image, mask = scene()
    images, masks = np.stack([image] * 40), np.stack([mask] * 20 + [np.zeros_like(mask)] * 20)
    samples = tuple(Sample(str(index), Path("x"), None, index < 20, "train") for index in range(40))
    table = np.stack([find_positions(image, mask) for image, mask in zip(images, masks, strict=True)])
    return Inputs(samples, images, masks, table)


def test_places_are_in_the_fracture_and_on_edges_of_the_content() -> None:
    image, mask = scene()
    positions = find_positions(image, mask)
    fracture, edges, extent = positions[:POSITIONS], positions[POSITIONS:-1], positions[-1]
    assert extent.tolist() == [96, SIDE]
    assert mask[tuple(fracture.T)].all()
    assert len(np.unique(fracture, axis=0)) > 10, "anywhere in it, not in one place"
    assert set(edges[:, 1].tolist()) <= {49, 50, 69, 70}, "not where the content meets the padding"
    assert edges[:, 0].max() < 96
    assert np.array_equal(find_positions(image, mask), find_positions(image, mask))


def test_an_image_of_one_grey_has_no_edges_and_is_cut_anywhere() -> None:
    places = find_positions(np.full((SIDE, SIDE), 9, np.uint8), np.zeros((SIDE, SIDE), bool))
    assert (places[:-1] == -1).all()
    config = PatchConfig(size=32, on_positive=1, on_hard_negative=1)
    corners = {corner(places, config, row) for row in np.random.default_rng(1).random((200, 5), np.float32)}
    assert min(min(first) for first in corners) >= 0
    assert max(max(first) for first in corners) <= SIDE - 32
    assert len(corners) > 100


def cut(inputs: Inputs, config: PatchConfig, first: int, count: int = 600) -> tuple[torch.Tensor, torch.Tensor]:
    """Masks and labels of patches of the twenty samples from `first` on, each with a seed of its own."""
    batch = TrainingSamples(inputs, config)[[(first + seed % 20, seed) for seed in range(count)]]
    assert batch.image.shape == batch.mask.shape == (count, 1, config.size, config.size)
    assert batch.image.dtype == torch.uint8
    return batch.mask, batch.fractured


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.85, 1.0])
def test_patches_of_positives_hold_the_fracture_as_often_as_asked(inputs: Inputs, chance: float) -> None:
    at_random = float(cut(inputs, PatchConfig(size=32, on_positive=0, on_hard_negative=0), 0)[1].mean())
    assert 0.05 < at_random < 0.4
    _, fractured = cut(inputs, PatchConfig(size=32, on_positive=chance, on_hard_negative=0), 0)
    assert float(fractured.mean()) == pytest.approx(chance + (1 - chance) * at_random, abs=0.05)


def test_the_label_says_whether_the_patch_holds_a_fracture(inputs: Inputs) -> None:
    masks, fractured = cut(inputs, PatchConfig(size=32, on_positive=0.5), 0)
    assert torch.equal(fractured, masks.flatten(1).any(1).float())
    assert cut(inputs, PatchConfig(size=32), 20)[1].max() == 0


def test_the_fracture_lies_anywhere_in_its_patches(inputs: Inputs) -> None:
    masks, _ = cut(inputs, PatchConfig(size=32, on_positive=1), 0)
    where = masks.float().mean((0, 1))
    assert (where[8:24, 8:24] > 0.005).all(), "in no part of the middle never"
    assert where.max() < 0.1, "and nowhere always"


def test_other_patches_lie_on_strong_edges_as_often_as_asked(inputs: Inputs) -> None:
    def on_edge(chance: float) -> float:
        config = PatchConfig(size=32, on_positive=1, on_hard_negative=chance)
        batch = TrainingSamples(inputs, config)[[(20 + seed % 20, seed) for seed in range(600)]]
        return float((batch.image.flatten(1).amax(1) > batch.image.flatten(1).amin(1)).float().mean())

    assert on_edge(1.0) == 1.0
    at_random = on_edge(0.0)
    assert 0.3 < at_random < 0.7
    assert on_edge(0.35) == pytest.approx(0.35 + 0.65 * at_random, abs=0.06)


def test_no_patch_reaches_into_padding_but_where_the_content_is_smaller(inputs: Inputs) -> None:
    for config in (PatchConfig(size=32), PatchConfig(size=96)):
        batch = TrainingSamples(inputs, config)[[(seed % 40, seed) for seed in range(400)]]
        assert batch.image.min() == 60
    whole = TrainingSamples(inputs, PatchConfig(size=SIDE))[[(0, 1)]]
    assert np.array_equal(whole.image[0, 0].numpy(), scene()[0])


def test_a_sample_is_the_same_in_every_batch_patch_and_augmentation_included(inputs: Inputs) -> None:
    samples = TrainingSamples(inputs, PatchConfig(size=32))
    config = AugmentConfig(noise=0.1, blur=0.5, gamma_chance=0.5, cutout_chance=0.5)
    draws = [(index, 1000 + index) for index in range(0, 40, 3)]

    def augmented(part: list[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return on_device(samples[part], torch.device("cpu"), config)

    whole, backwards = augmented(draws), augmented(draws[::-1])
    for part, other in zip(whole, backwards, strict=True):
        assert torch.allclose(part, other.flip(0), atol=1e-5)
    alone = [augmented([draw]) for draw in draws]
    for number, part in enumerate(whole):
        assert torch.allclose(part, torch.cat([one[number] for one in alone]), atol=1e-5)
    another = samples[[(index, seed + 1) for index, seed in draws]]
    assert not torch.equal(another.numbers, samples[draws].numbers)


def test_places_are_kept_beside_the_images_and_read_from_there(tmp_path: Path) -> None:
    from engine.data.synthetic import make_synthetic

    manifest = make_synthetic(tmp_path, 8, 64, 3)
    samples = read_manifest(manifest)
    made = load_inputs(samples, 64, True, manifest, "all", with_positions=True)
    (path,) = tmp_path.glob(".cache/*/places-*/places.npy")
    before = path.stat().st_mtime_ns
    read = load_inputs(samples, 64, True, manifest, "all", with_positions=True)
    in_memory = load_inputs(samples, 64, True, None, "all", with_positions=True)
    assert made.positions is not None
    assert read.positions is not None
    assert in_memory.positions is not None
    assert np.array_equal(made.positions, read.positions)
    assert np.array_equal(made.positions, in_memory.positions)
    assert path.stat().st_mtime_ns == before
    assert made.positions.shape == (8, 2 * POSITIONS + 1, 2)
    path.write_bytes(path.read_bytes()[:300])
    again = load_inputs(samples, 64, True, manifest, "all", with_positions=True)
    assert again.positions is not None
    assert np.array_equal(again.positions, in_memory.positions)


class Killed(BaseException):
    """As if by SIGKILL: nobody saves anything on its way."""


def test_a_training_on_patches_resumes_to_the_same_bits(
    engine_extra: None, synthetic: Path, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.cli import main
    from engine.training import loop

    seen = set()
    make_loader = loop.make_loader

    def killed_after_four_steps(*given: Any) -> Iterator[Batch]:
        for step, batch in enumerate(make_loader(*given)):
            seen.add(tuple(batch.image.shape))
            if step == 4:
                raise Killed
            yield batch

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    changes = arguments(
        *TINY, f"data.manifest={synthetic}", "data.patch={size: 32}", "training.samples_per_epoch=24",
        "training.final_positive_share=0.2", "augment.noise=0.1", "augment.cutout_chance=0.5",
    )  # fmt: skip
    given = ["train", "--config", str(project / "configs" / "pretrained_dual_head.yaml"), *changes, "--run"]
    assert main([*given, str(whole)]) == 0
    monkeypatch.setattr(loop, "make_loader", killed_after_four_steps)
    with pytest.raises(Killed):
        main([*given, str(killed)])
    monkeypatch.undo()
    assert seen == {(8, 1, 32, 32)}
    assert main(["train", "--run", str(killed), "--resume"]) == 0
    states = [
        torch.load(run / "checkpoints" / "last.pt", weights_only=True)["network"].values() for run in (whole, killed)
    ]
    assert all(torch.equal(one, other) for one, other in zip(*states, strict=True))
