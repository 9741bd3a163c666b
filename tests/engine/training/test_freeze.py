"""What holds still while the rest learns."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from engine.cli import main

from .conftest import MakeLearner, Train, batch_of, changed, in_encoder, saved, tensors

pytest.importorskip("timm")

from torch import nn

from engine.contract.errors import BadInput
from engine.training.learner import Learner
from engine.training.optimizer import frozen_weights, set_modes

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def test_a_resting_encoder_keeps_weights_and_statistics_until_its_rest_is_over(make_learner: MakeLearner) -> None:
    learner = make_learner(freeze_encoder_epochs=1.0, weight_decay=0.1)
    before = tensors(learner.network)
    set_modes(learner.network, learner.config.training, encoder_frozen=True)
    learner.step(batch_of(4), 0.0)
    resting = changed(before, tensors(learner.network))
    assert resting
    assert not in_encoder(resting)
    set_modes(learner.network, learner.config.training, encoder_frozen=False)
    learner.step(batch_of(4), 1.0)
    awake = in_encoder(changed(before, tensors(learner.network)))
    assert {name for name in in_encoder(set(before)) if name.endswith(("running_mean", "running_var"))} <= awake
    assert "segmenter.encoder.model.conv1.0.weight" in awake


def test_a_frozen_batch_norm_keeps_weights_and_statistics_all_along(make_learner: MakeLearner) -> None:
    learner = make_learner(freeze_batch_norm=True, freeze_encoder_epochs=1.0, weight_decay=0.1)
    before = tensors(learner.network)
    for rests in (True, False):
        set_modes(learner.network, learner.config.training, encoder_frozen=rests)
        learner.step(batch_of(4), 0.0)
    moved = changed(before, tensors(learner.network))
    norms = {name for name in before if any(part.startswith("bn") for part in name.split("."))}
    assert norms
    assert not norms & moved
    assert not {name for name in moved if name.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    assert "segmenter.encoder.model.conv1.0.weight" in moved


def test_in_a_training_the_encoder_is_frozen_through_validations_until_the_middle_of_an_epoch(train: Train) -> None:
    more = ("training.epochs=3", "training.keep_best=3", "training.freeze_encoder_epochs=2.5")
    checkpoints = train("run", *more) / "checkpoints"
    first, second, third = (saved(checkpoints / f"best_{epoch}.pt")["network"] for epoch in (1, 2, 3))
    assert changed(first, second)
    assert not in_encoder(changed(first, second))
    assert len(in_encoder(changed(second, third))) > 30


def norms_of(names: Iterable[str]) -> set[str]:
    """The batch norms of the encoder."""
    return {name.removesuffix(".running_mean") for name in in_encoder(set(names)) if name.endswith(".running_mean")}


def test_frozen_layers_rest_all_along_and_the_others_wake(make_learner: MakeLearner) -> None:
    """24 of 36 tensors, twelve a layer; they do not wake with the encoder."""
    learner = make_learner(freeze_layers=2, freeze_encoder_epochs=1.0, weight_decay=0.1, ema=0.5)
    names = [name for name, _ in learner.network.segmenter.encoder.named_parameters(prefix="segmenter.encoder")]
    assert len(names) == 36
    before = tensors(learner.network)
    for rests in (True, False, False):
        set_modes(learner.network, learner.config.training, encoder_frozen=rests)
        learner.step(batch_of(4), 0.0)
    for network in (learner.network, learner.evaluated_network):
        moved = in_encoder(changed(before, tensors(network)))
        assert {name for name in moved if not name.endswith(STATISTICS)} == set(names[24:])
        assert norms_of(moved) == {norm for norm in norms_of(before) if f"{norm}.weight" in names[24:]}
    learning = {id(weight) for group in learner.optimizer.param_groups for weight in group["params"]}
    assert not learning & {id(learner.network.get_parameter(name)) for name in names[:24]}


def test_dropout_within_a_frozen_layer_rests_too(make_learner: MakeLearner) -> None:
    learner = make_learner(freeze_layers=1)
    first = learner.network.segmenter.encoder.model.conv1
    first.append(nn.Dropout(0.5))
    set_modes(learner.network, learner.config.training, encoder_frozen=False)
    assert not any(module.training for module in first.modules())
    assert learner.network.segmenter.encoder.model.layer3.training


def test_a_classifiers_layers_are_those_that_timm_names(make_learner: MakeLearner) -> None:
    from engine.contract.models import TimmClassifierConfig
    from engine.models.network import build_network

    config = make_learner(freeze_layers=2).config.training
    network = build_network(TimmClassifierConfig(encoder="resnet18"), pretrained=False)
    resting = {id(weight) for weight in frozen_weights(network, config)}
    names = {
        name.removeprefix("segmenter.encoder.") for name, weight in network.named_parameters() if id(weight) in resting
    }
    assert {name.rsplit(".", 2)[0] for name in names} == {"conv1", "bn1", "layer1.0"}


def test_more_frozen_layers_than_there_are_is_one_line(make_learner: MakeLearner) -> None:
    make_learner(freeze_layers=3)
    with pytest.raises(BadInput, match=r"^training.freeze_layers: 4; the encoder has only 3 layers$"):
        make_learner(freeze_layers=4)


def test_a_training_with_frozen_layers_resumes_to_the_same_bits(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    more = ("training.epochs=2", "training.freeze_layers=2", "training.ema=0.9", "training.freeze_encoder_epochs=0.5")
    whole = train("whole", *more)
    step = Learner.step

    def stopped(*given: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return step(*given)

    with monkeypatch.context() as patched:
        patched.setattr(Learner, "step", stopped)
        run = train("stopped", *more, status=3)
    train("stopped", resume=True)
    one, other = (saved(folder / "checkpoints" / "last.pt") for folder in (whole, run))
    assert (one["state"]["step"], other["state"]["step"]) == (6, 6)
    for part in ("network", "ema"):
        assert not changed(one[part], other[part])


def test_a_config_from_before_there_were_frozen_layers_still_trains(runs_copy: Path) -> None:
    config = runs_copy / "dual" / "config.yaml"
    older = [line for line in config.read_text().splitlines() if "freeze_layers" not in line]
    config.write_text("\n".join(older) + "\n")
    assert main(["train", "--run", str(runs_copy / "dual"), "--resume"]) == 0
