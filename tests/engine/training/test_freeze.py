"""What holds still while the rest learns."""

from __future__ import annotations

import pytest

from .conftest import MakeLearner, Train, batch_of, changed, in_encoder, saved, tensors

pytest.importorskip("timm")

from engine.training.freeze import set_modes, steps_of_rest


def test_a_resting_encoder_keeps_weights_and_statistics_until_its_rest_is_over(make_learner: MakeLearner) -> None:
    learner = make_learner(freeze_encoder_epochs=1.0, weight_decay=0.1)
    before = tensors(learner.network)
    set_modes(learner.network, learner.config.training, encoder_rests=True)
    learner.step(batch_of(4), 0.0)
    resting = changed(before, tensors(learner.network))
    assert resting
    assert not in_encoder(resting)
    set_modes(learner.network, learner.config.training, encoder_rests=False)
    learner.step(batch_of(4), 1.0)
    awake = in_encoder(changed(before, tensors(learner.network)))
    assert {name for name in in_encoder(set(before)) if name.endswith(("running_mean", "running_var"))} <= awake
    assert "segmenter.encoder.model.conv1.0.weight" in awake


def test_a_frozen_batch_norm_keeps_weights_and_statistics_all_along(make_learner: MakeLearner) -> None:
    learner = make_learner(freeze_batch_norm=True, freeze_encoder_epochs=1.0, weight_decay=0.1)
    before = tensors(learner.network)
    for rests in (True, False):
        set_modes(learner.network, learner.config.training, encoder_rests=rests)
        learner.step(batch_of(4), 0.0)
    moved = changed(before, tensors(learner.network))
    norms = {name for name in before if any(part.startswith("bn") for part in name.split("."))}
    assert norms
    assert not norms & moved
    assert not {name for name in moved if name.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    assert "segmenter.encoder.model.conv1.0.weight" in moved


def test_a_rest_may_end_in_the_middle_of_an_epoch(make_learner: MakeLearner) -> None:
    training = make_learner(freeze_encoder_epochs=0.5).config.training
    assert steps_of_rest(training, 10) == 5
    assert steps_of_rest(make_learner().config.training, 10) == 0


def test_in_a_training_the_encoder_rests_through_validations_and_wakes(train: Train) -> None:
    more = ("training.epochs=3", "training.keep_best=3", "training.freeze_encoder_epochs=2")
    checkpoints = train("run", *more) / "checkpoints"
    first, second, third = (saved(checkpoints / f"best_{epoch}.pt")["network"] for epoch in (1, 2, 3))
    assert changed(first, second)
    assert not in_encoder(changed(first, second))
    assert len(in_encoder(changed(second, third))) > 30
