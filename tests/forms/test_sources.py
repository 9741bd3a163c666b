"""What the forms find on the disk, good and bad."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.contract.config import TrainConfig
from xray_tui.forms.context import FormContext
from xray_tui.forms.fields import defaults
from xray_tui.forms.schema import walk
from xray_tui.forms.sources import Base, members_for, read_filling, read_runs, read_sources
from xray_tui.forms.state import FormState
from xray_tui.jobs.model.job import Job, JobSpec, State, write_job

from .place import PLAIN, RUNS, recipes, write

SCHEMA = walk(TrainConfig)


def test_runs_with_a_best_checkpoint_are_found_at_any_depth(place: Path) -> None:
    (place / "runs" / "seeds" / "seed_1" / "checkpoints").mkdir(parents=True)
    (place / "runs" / "seeds" / "seed_1" / "checkpoints" / "best.pt").touch()
    trained, taken = read_runs(RUNS)
    assert trained == ("dual_a", "plain_a", "seeds/seed_1")
    assert set(taken) == {"dual_a", "plain_a", "unfinished", "seeds", "seeds/seed_1"}


def test_a_run_folder_that_may_not_be_read_costs_the_form_no_other_run(place: Path) -> None:
    locked = place / "runs" / "plain_a"
    locked.chmod(0)
    code = (
        "import os; from pathlib import Path; from xray_tui.forms.sources import read_runs\n"
        f"os.chdir({str(place / RUNS)!r}); os.geteuid() == 0 and os.setuid(65534)\n"
        "print(*read_runs(Path('.'))[0])"
    )
    try:
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    finally:
        locked.chmod(0o755)
    assert found.split() == ["dual_a"]


def test_an_empty_folder_is_free_and_hidden_ones_are_not_looked_into(place: Path) -> None:
    (place / "runs" / "empty").mkdir()
    (place / "runs" / ".old" / "checkpoints").mkdir(parents=True)
    (place / "runs" / ".old" / "checkpoints" / "best.pt").touch()
    trained, taken = read_runs(RUNS)
    assert "empty" not in taken
    assert not any("old" in name for name in (*trained, *taken))


def test_a_name_that_a_waiting_training_has_is_taken(place: Path) -> None:
    folder = place / "runs" / ".jobs" / "7"
    folder.mkdir(parents=True)
    write_job(folder, Job("7", JobSpec("train", "next", ()), State.QUEUED))
    assert read_runs(RUNS)[1]["next"] == "claimed by job 7, which is queued"
    write_job(folder, Job("7", JobSpec("train", "next", ()), State.FAILED))
    assert "next" not in read_runs(RUNS)[1]


def test_without_a_runs_folder_there_is_nothing_and_no_error(tmp_path: Path) -> None:
    assert read_runs(tmp_path / "none") == ((), {})


def test_a_training_form_starts_from_the_run_under_the_cursor(place: Path) -> None:
    sources = read_sources(FormContext("train", RUNS, "dual_a", recipes=recipes()))
    assert [base.label for base in sources.bases] == ["run dual_a", "dual", "plain"]
    assert sources.first == 0
    assert sources.filling.values["model.classification_head.hidden"] == 64


def test_without_a_config_in_that_run_it_starts_from_the_first_recipe(place: Path) -> None:
    (place / "runs" / "older").mkdir()
    sources = read_sources(FormContext("train", RUNS, "older", recipes=recipes()))
    assert [base.label for base in sources.bases] == ["dual", "plain"]
    assert sources.bases[sources.first].label == "dual"


def test_a_manifest_is_shown_as_the_command_line_would_give_it(place: Path) -> None:
    sources = read_sources(FormContext("train", RUNS, "", recipes=recipes()))
    filling = read_filling(FormContext("train", RUNS), sources.bases[1])
    assert filling.values["data.manifest"] == "data/manifest.csv"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"training: {epochs: many}", "training.epochs"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"[1, 2]", "mapping"),
        (b"data: {manifesto: x}\nseed: -1", "and 1 more"),
    ],
)
def test_a_bad_recipe_says_why_in_one_line_and_gives_the_defaults(place: Path, content: bytes, words: str) -> None:
    path = place / "configs" / "bad.yaml"
    path.write_bytes(content)
    filling = read_filling(FormContext("train", RUNS), Base("bad", path, "bad"))
    assert filling.problem is not None
    assert words in filling.problem
    assert "\n" not in filling.problem
    assert filling.values == defaults(SCHEMA)


def test_a_recipe_that_cannot_be_read_is_offered_with_its_problem_and_cannot_be_launched(place: Path) -> None:
    (place / "configs" / "a_bad.yaml").write_text("{")
    sources = read_sources(FormContext("train", RUNS, None, recipes=recipes()))
    checked = FormState(FormContext("train", RUNS), sources).check()
    assert sources.bases[0].label == "a_bad"
    assert "not YAML" in checked.problems["base"]


def test_without_any_recipe_the_form_says_where_one_would_be(place: Path) -> None:
    sources = read_sources(FormContext("train", RUNS, None, recipes=[]))
    state = FormState(FormContext("train", RUNS), sources)
    assert "./configs" in state.check().problems["base"]


def test_a_blend_starts_from_the_marked_runs_and_names_those_it_cannot_have() -> None:
    chosen, offered, not_offered = members_for(("a", "b", "c"), ("c", "gone", "a"))
    assert chosen == ("c", "a")
    assert offered == ("c", "a", "b")
    assert not_offered == ("gone",)
    assert members_for(("a",), ("/elsewhere/run", "a")) == (("a",), ("a",), ("/elsewhere/run",))


def test_a_blend_under_the_cursor_gives_its_members_and_choices_only_if_it_is_chosen(place: Path) -> None:
    members = ["../plain_a", "../dual_a"]
    write(place / "runs" / "mix" / "config.yaml", {"kind": "blend", "members": members, "weight_step": 0.2})
    context = FormContext("blend", RUNS, "mix", recipes=recipes())
    sources = read_sources(context)
    state = FormState(context, sources)
    assert state.raw["members"] == ()
    assert state.origin == " from the defaults"
    base = [base.label for base in sources.bases].index("run mix")
    state.update("base", base)
    state.fill(base, read_filling(context, sources.bases[base]))
    assert state.origin == " from the run under the cursor, mix"
    assert state.raw["members"] == ("plain_a", "dual_a")
    assert state.raw["weight_step"] == "0.2"
    assert state.raw["run"] == "mix_2"
    argv = state.check().launch.specs[0].argv
    assert argv[:6] == (
        "blend",
        "--members",
        "runs/plain_a",
        "runs/dual_a",
        "--run",
        "runs/mix_2",
    )


def test_a_classifier_is_evaluated_and_is_no_member(place: Path) -> None:
    write(place / "runs" / "who" / "config.yaml", {"kind": "classifier"})
    (place / "runs" / "who" / "checkpoints").mkdir()
    (place / "runs" / "who" / "checkpoints" / "best.pt").touch()
    assert "who" in read_sources(FormContext("evaluate", RUNS, None, recipes=recipes())).trained
    assert read_sources(FormContext("blend", RUNS, None, recipes=recipes())).trained == ("dual_a", "plain_a")


def test_what_was_not_touched_stays_the_base_s_own_however_odd_it_is(place: Path) -> None:
    write(place / "configs" / "odd.yaml", PLAIN | {"description": " a\tb ", "data": {"manifest": "/data/a b .csv"}})
    sources = read_sources(
        FormContext("train", RUNS, None, recipes=[recipe for recipe in recipes() if recipe.name == "odd"])
    )
    state = FormState(FormContext("train", RUNS), sources)
    assert not state.update("description", "␉".join([" a", "b "]))
    assert "--set" not in state.check().launch.specs[0].argv
