"""The last validation of the trainings that run."""

from __future__ import annotations

from pathlib import Path

from engine.contract.events import format_event
from tests.app.samples import make_job
from xray_tui.feeds.last_validation import Validations
from xray_tui.jobs.model.job import State


def test_running_trainings_have_the_numbers_of_their_last_epoch(tmp_path: Path) -> None:
    jobs = (
        make_job("a", "a", State.RUNNING),
        make_job("b", "b", State.SUCCEEDED),
        make_job("c", "c", State.RUNNING, kind="evaluate"),
    )
    validations = Validations(tmp_path)
    assert validations.read(jobs) == {"a": {}}
    events = tmp_path / "a" / "events.jsonl"
    events.parent.mkdir()
    events.write_text(format_event("epoch", 1.0, epoch=1, val={"dice_pos": 0.1}) + "{broken\n")
    assert validations.read(jobs) == {"a": {"dice_pos": 0.1}}
    with events.open("a") as file:
        file.write(format_event("epoch", 2.0, epoch=2, val={"dice_pos": 0.2, "note": "text", "loss": None}))
        file.write(format_event("step", 2.0, step=9, loss=0.5))
    assert validations.read(jobs) == validations.read(jobs) == {"a": {"dice_pos": 0.2}}
    assert validations.read(()) == {}
