"""Learning-rate schedules, as shares of the highest rate."""

from __future__ import annotations

import pytest

from .conftest import STEPS_PER_EPOCH, MakeLearner

pytest.importorskip("timm")

from engine.training.optimizer import part_of_update, share_of_highest


@pytest.mark.parametrize("schedule", ["cosine", "poly"])
def test_the_learning_rate_warms_up_and_falls_to_its_end(schedule: str) -> None:
    values = [share_of_highest(schedule, update, 100, 10, 0.01) for update in range(101)]  # type: ignore[arg-type]
    assert values[0] < values[5] < values[10] == pytest.approx(1.0)
    assert values[10:] == sorted(values[10:], reverse=True)
    assert values[100] == pytest.approx(0.01)


def test_halfway_cosine_is_at_a_half_and_poly_at_a_half_to_the_09() -> None:
    assert share_of_highest("cosine", 50, 100, 0, 0.0) == pytest.approx(0.5)
    assert share_of_highest("poly", 50, 100, 0, 0.0) == pytest.approx(0.5**0.9)
    assert share_of_highest("poly", 50, 100, 0, 0.2) == pytest.approx(0.2 + 0.8 * 0.5**0.9)


def test_a_constant_one_stays_at_its_highest_behind_the_warm_up() -> None:
    values = [share_of_highest("constant", update, 100, 4, 0.01) for update in range(101)]
    assert values[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert set(values[4:]) == {1.0}


@pytest.mark.parametrize("accumulate", [1, 2, 7])
def test_the_rate_ends_where_it_should_however_many_steps_make_an_update(
    accumulate: int, make_learner: MakeLearner
) -> None:
    learner = make_learner(lr=1.0, optimizer="sgd", epochs=2, accumulate=accumulate, final_lr_ratio=0.1)
    updates = 0
    for step in range(2 * STEPS_PER_EPOCH):
        updates += part_of_update(step, STEPS_PER_EPOCH, accumulate).is_last
    for _ in range(updates):
        learner.optimizer.step()
        learner.schedule.step()
    assert updates == {1: 10, 2: 6, 7: 2}[accumulate]
    assert learner.learning_rate == pytest.approx(0.1)
