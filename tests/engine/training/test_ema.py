"""The average of the weights, which is what counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import MakeLearner, Train, batch_of, changed, tensors


def test_it_is_the_average_that_its_decay_says_statistics_of_batch_norm_included(make_learner: MakeLearner) -> None:
    import torch

    learner = make_learner(ema=0.6, lr=0.01)
    expected: dict = {}
    for update in range(1, 7):
        learner.step(batch_of(4, seed=update), 0.0)
        decay = min(0.6, 1 - update**-0.75)
        now = tensors(learner.network)
        expected = {
            name: decay * expected[name] + (1 - decay) * tensor if expected and tensor.is_floating_point() else tensor
            for name, tensor in now.items()
        }
    found = tensors(learner.evaluated_network)
    assert any(name.endswith("running_var") for name in found)
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in found)
    assert len(changed(found, tensors(learner.network))) > 50
    assert not learner.evaluated_network.training
    assert learner.network.training


def test_without_one_the_network_itself_counts(make_learner: MakeLearner) -> None:
    learner = make_learner()
    assert learner.evaluated_network is learner.network


def test_it_is_what_is_validated(make_learner: MakeLearner, synthetic: Path) -> None:
    import torch

    from engine.data.inputs import load_inputs
    from engine.data.manifest import read_manifest
    from engine.training.validate import validate

    inputs = load_inputs(read_manifest(synthetic)[:6], 32, False, None, "some")
    learner = make_learner(ema=0.9)
    expected = validate(learner, inputs, 0)
    with torch.no_grad():
        for parameter in learner.network.parameters():
            parameter.add_(1.0)
    assert validate(learner, inputs, 0) == expected
    learner.step(batch_of(2), 0.0)
    assert validate(learner, inputs, 1) != expected


def test_it_follows_updates_and_not_steps(make_learner: MakeLearner) -> None:
    from engine.training.optimizer import part_of_update

    learner = make_learner(ema=0.9, accumulate=2)
    begun = tensors(learner.evaluated_network)
    learner.step(batch_of(2), 0.0, part_of_update(0, 4, 2))
    assert not changed(begun, tensors(learner.evaluated_network))
    learner.step(batch_of(2), 0.0, part_of_update(1, 4, 2))
    assert changed(begun, tensors(learner.evaluated_network))


def test_it_warms_up_so_that_a_short_training_does_not_keep_its_random_beginning(make_learner: MakeLearner) -> None:
    ema = make_learner(ema=0.999).ema
    assert ema is not None
    assert [ema.get_decay(updates) for updates in (1, 100, 1000, 100_000)] == pytest.approx(
        [0, 0.968, 0.994, 0.999], abs=1e-3
    )


def test_it_is_what_an_evaluation_of_the_last_checkpoint_asks(train: Train) -> None:
    """The only epoch is the best one too: both checkpoints hold the same average, one of them beside the weights."""
    import numpy as np

    from engine.evaluation.predictions import predict_split
    from engine.evaluation.run import open_run

    run = train("run", "training.epochs=1", "training.ema=0.9")
    best, last = (predict_split(open_run(run, which), "test", "none", 8) for which in ("best", "last"))
    assert np.array_equal(best.levels, last.levels)


def test_the_best_checkpoint_is_the_average_and_the_last_one_holds_both(
    make_learner: MakeLearner, tmp_path: Path
) -> None:
    import torch

    from engine.training.learner import State

    learner = make_learner(ema=0.9)
    for seed in range(3):
        learner.step(batch_of(2, seed), 0.0)
    learner.save_best(tmp_path / "best.pt", State(), 1, {})
    learner.save_last(tmp_path / "last.pt", State(), "key", {})
    best, last = (torch.load(tmp_path / name, weights_only=True) for name in ("best.pt", "last.pt"))
    average, own = tensors(learner.evaluated_network), tensors(learner.network)
    assert changed(average, own)
    assert not changed(best["network"], average)
    assert not changed(last["network"], own)
    assert not changed(last["ema"], average)
    other = make_learner(ema=0.9)
    other.restore(tmp_path / "last.pt", "key")
    for learning in (learner, other):
        learning.step(batch_of(2, 7), 0.0)
    assert not changed(tensors(other.evaluated_network), tensors(learner.evaluated_network))
