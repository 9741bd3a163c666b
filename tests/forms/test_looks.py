"""How each form looks, in a small terminal and in a wide one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from .place import FormApp, focus, settle, type_over

pytestmark = pytest.mark.usefixtures("place")
SIZES, NAMES = [(80, 24), (120, 40)], ["80x24", "120x40"]
GPUS = [("GPU-1", "0 NVIDIA H100"), ("GPU-2", "1 NVIDIA H100")]


@pytest.mark.parametrize("size", SIZES, ids=NAMES)
def test_training_with_a_changed_and_a_wrong_field(size: tuple[int, int], snap_compare: Callable[..., bool]) -> None:
    app = FormApp("train", current="dual_a", gpus=GPUS)

    async def before(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        await type_over(pilot, app, "training.epochs", "3")
        await type_over(pilot, app, "data.image_size", "100")
        next(iter(app.form.query("FormSection").results())).query_one("CollapsibleTitle").focus()
        await pilot.press("space")
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", SIZES, ids=NAMES)
def test_evaluation(size: tuple[int, int], snap_compare: Callable[..., bool]) -> None:
    app = FormApp("evaluate", current="plain_a", gpus=GPUS)

    async def before(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        await type_over(pilot, app, "threshold", "0.25")

    assert snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", SIZES, ids=NAMES)
def test_blend_of_marked_runs(size: tuple[int, int], snap_compare: Callable[..., bool]) -> None:
    app = FormApp("blend", marked=["plain_a", "dual_a", "unfinished"])

    async def before(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        focus(app, "members")
        await pilot.press("down", "space")
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=before)
