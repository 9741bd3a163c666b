"""Several jobs launched from a form by keys, in the whole app: real jobs, held so that no engine has to run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.app.piloting import dashboard, notes, until
from tests.jobs.conftest import Place
from xray_tui.app.app import XrayApp
from xray_tui.forms.options import Launch
from xray_tui.forms.row import FormRow
from xray_tui.forms.screen import LaunchScreen
from xray_tui.jobs.launch.launcher import LocalLauncher
from xray_tui.jobs.model.job import JobSpec, State
from xray_tui.settings import Settings


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.clear()


async def test_seeds_with_their_evaluations_are_queued_by_one_enter(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the fixture of this room fixes the clock, which real jobs need to run
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place.folder / "config"))
    monkeypatch.chdir(place.folder)
    monkeypatch.setattr(LocalLauncher, "of", lambda settings, runs: place.launcher())
    (place.folder / "configs").mkdir()
    (place.folder / "configs" / "a_first.yaml").write_text(yaml.safe_dump({"kind": "train"}))
    app = XrayApp(place.runs, Settings(lease_dir=place.leases))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.services.jobs is not None)
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, LaunchScreen) and bool(app.screen.query(FormRow)))
        keys = [*["down"] * 9, "space", "down", *"1,2", "down", "down", "space", *["down"] * 4, "space"]
        await pilot.press(*keys)
        await until(pilot, lambda: "manifest.csv: No such file" in str(app.screen.query_one("#form-summary").render()))
        await pilot.press("f5", "y")
        await until(pilot, lambda: dashboard(app).jobs.row_count == 4)
        await until(pilot, lambda: any(note.startswith("4 jobs launched, held") for note in notes(app)))
    jobs = {(job.spec.kind, job.spec.run): job for job in place.store.jobs()}
    for seed in (1, 2):
        run = f"a_first_seeds/seed_{seed}"
        training, evaluation = jobs["train", run], jobs["evaluate", run]
        assert training.state is State.HELD
        assert (evaluation.state, evaluation.spec.after) == (State.QUEUED, (training.id,))


async def test_the_marks_go_when_their_blend_is_launched(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    app = XrayApp(place.runs, Settings(lease_dir=place.leases))
    async with app.run_test(size=(120, 40)):
        monkeypatch.setattr(app.services, "run_action", lambda action: None)
        board = dashboard(app).board
        for kind, marked in (("train", {"a", "b"}), ("blend", set[str]())):
            board.marked = {"a", "b"}
            app._launch(Launch((JobSpec(kind, "c", ()),)))
            assert board.marked == marked
