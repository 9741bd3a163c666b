"""Gradients of several steps in one update."""

from __future__ import annotations

from dataclasses import replace

import pytest

from .conftest import MakeLearner, batch_of, changed, tensors

pytest.importorskip("timm")

from engine.training.optimizer import part_of_update

STILL = {"optimizer": "sgd", "lr": 0.1, "freeze_batch_norm": True}
"""Without a batch norm that looks at its batch, and with an optimiser that does not blow up rounding."""


@pytest.mark.parametrize("grad_clip", [None, 0.01])
def test_two_half_batches_make_the_update_of_the_whole_one(grad_clip: float | None, make_learner: MakeLearner) -> None:
    import torch

    whole = batch_of(8)
    first, second = (type(whole)(*(part[half] for part in whole)) for half in (slice(4), slice(4, 8)))
    at_once = make_learner(**STILL, grad_clip=grad_clip)
    before = tensors(at_once.network)
    at_once.network.eval()
    at_once.step(whole, 0.0)
    parts = make_learner(**STILL, grad_clip=grad_clip, accumulate=2)
    parts.network.eval()
    losses = [parts.step(first, 0.0, part_of_update(0, 4, 2))]
    assert not changed(before, tensors(parts.network)), "no update yet"
    losses.append(parts.step(second, 0.0, part_of_update(1, 4, 2)))
    expected, found = tensors(at_once.network), tensors(parts.network)
    assert changed(before, found)
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in found)
    assert float(losses[0]) == pytest.approx(float(losses[1]), rel=0.2), "each loss is told as it is, not its share"


def test_clipping_looks_at_the_gradients_of_the_whole_update(make_learner: MakeLearner) -> None:
    import torch

    learner = make_learner(**STILL, grad_clip=0.01, accumulate=2)
    before = tensors(learner.network)
    for step in range(2):
        learner.step(batch_of(4, seed=step), 0.0, part_of_update(step, 4, 2))
    after = tensors(learner.network)
    way = torch.cat([(after[name] - before[name]).flatten() for name, _ in learner.network.named_parameters()]).norm()
    assert float(way) == pytest.approx(0.1 * 1.9 * 0.01, rel=1e-3)


def test_an_epoch_ends_with_an_update_of_the_steps_that_are_left() -> None:
    parts = [part_of_update(step, 5, 2) for step in range(10)]
    assert [part.of for part in parts] == [2, 2, 2, 2, 1] * 2
    assert [part.is_first for part in parts] == [True, False, True, False, True] * 2
    assert [part.is_last for part in parts] == [False, True, False, True, True] * 2


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")  # on a GPU the optimiser itself leaves it out
def test_float16s_scaler_changes_no_update_and_leaves_out_one_that_is_infinite(make_learner: MakeLearner) -> None:
    import torch

    plain, scaled, infinite = (make_learner(**STILL, grad_clip=0.5, accumulate=2) for _ in range(3))
    scaled, infinite = (
        replace(learner, scaler=torch.amp.GradScaler("cpu", init_scale=1024.0)) for learner in (scaled, infinite)
    )
    before = tensors(plain.network)
    for learner in (plain, scaled, infinite):
        learner.network.eval()
        learner.step(batch_of(4, seed=1), 0.0, part_of_update(0, 4, 2))
        if learner is infinite:
            gradient = next(learner.network.parameters()).grad
            assert gradient is not None
            gradient[0] = float("inf")
        learner.step(batch_of(4, seed=2), 0.0, part_of_update(1, 4, 2))
    expected, found = tensors(plain.network), tensors(scaled.network)
    assert changed(before, expected)
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in found)
    assert not changed(before, tensors(infinite.network))
    assert infinite.scaler.get_scale() == 512.0
    assert infinite.schedule.last_epoch == 1, "the schedule goes on"
