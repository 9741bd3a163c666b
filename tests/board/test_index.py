"""What is found in a runs folder, and that a change costs what changed."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import calls_of
from xray_tui.board import index as index_module
from xray_tui.board.index import RunIndex
from xray_tui.board.model import Snapshot

from .place import board_of, put, reasons_of

OK = {"dice_pos": 0.3}


def paths(snapshot: Snapshot) -> list[str]:
    return [artifact.path for artifact in snapshot.artifacts]


def test_nested_run_folders_are_found_and_checkpoints_predictions_and_hidden_folders_are_not(
    generated_runs: Path,
) -> None:
    found = paths(RunIndex(generated_runs).scan())
    assert "seeds/seed_1/test_metrics.json" in found
    assert "reference_test_metrics.json" in found
    assert not [path for path in found if "checkpoints" in path or "predictions" in path or path.startswith(".")]


def test_everything_that_does_not_rank_is_listed_with_its_reason(generated_runs: Path) -> None:
    assert reasons_of(generated_runs) == {
        "Smoke_dg/seed_1/test_metrics.json": "its path contains smoke",
        "aux/test_metrics_presence_scan.json": "its path contains presence_scan",
        "blend/test_metrics_search.json": "best of 1331 trials on the test split (split, num_rows)",
        "chosen/test_metrics_cls_best.json": "its threshold was chosen on the test split (selection.threshold_source)",
        "nan/test_metrics.json": "dice_pos is NaN",
        "only_loss/test_metrics.json": "dice_pos is missing",
        "regression_check/test_metrics.json": "its path contains regression",
        "truncated/test_metrics.json": "not JSON: incomplete (truncated, or still being written)",
    }


def test_odd_things_that_are_named_like_artifacts_are_listed_and_nothing_hangs(runs: Path, tmp_path: Path) -> None:
    (runs / "folder/test_metrics.json").mkdir(parents=True)
    (runs / "dead").mkdir()
    (runs / "dead/test_metrics.json").symlink_to(tmp_path / "nowhere")
    (runs / "loop").mkdir()
    (runs / "loop/test_metrics.json").symlink_to("test_metrics.json")
    (runs / "pipe").mkdir()
    os.mkfifo(runs / "pipe/test_metrics.json")
    (runs / "huge").mkdir()
    with open(runs / "huge/test_metrics.json", "wb") as file:
        file.truncate(40 << 20)
    put(runs / "good/test_metrics.json", OK)
    assert reasons_of(runs) == {
        "dead/test_metrics.json": "a broken link",
        "folder/test_metrics.json": "expected a file, got a folder",
        "huge/test_metrics.json": "too large; expected at most 32 MiB",
        "loop/test_metrics.json": "cannot be read: Too many levels of symbolic links",
        "pipe/test_metrics.json": "cannot be read: not a regular file",
    }
    assert [row.run for row in board_of(runs).rows] == ["good"]


def test_a_link_to_a_folder_elsewhere_is_followed_and_no_cycle_of_links_hangs(runs: Path, tmp_path: Path) -> None:
    put(tmp_path / "disk/old_run/test_metrics.json", OK)
    put(runs / "a/test_metrics.json", OK)
    (tmp_path / "disk/back").symlink_to(runs)
    (tmp_path / "disk/itself").symlink_to(tmp_path / "disk")
    (runs / "disk").symlink_to(tmp_path / "disk")
    (runs / "up").symlink_to("..")
    (runs / "a/again").symlink_to("../a")
    (runs / "me").symlink_to("me")
    index = RunIndex(runs)
    assert paths(index.scan()) == ["a/test_metrics.json", "disk/old_run/test_metrics.json"]
    assert paths(index.apply(["disk", "up", "a", "me"])) == paths(index.scan())
    assert paths(index.apply(["up/runs/a", "disk/back/a"])) == paths(index.scan())


def test_many_folders_that_all_link_to_each_other_are_walked_once(runs: Path) -> None:
    for n in range(12):
        put(runs / f"r{n}/test_metrics.json", OK)
        for other in range(12):
            (runs / f"r{n}/to{other}").symlink_to(f"../r{other}")
    assert len(RunIndex(runs).scan().artifacts) == 12


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_no_utf_8_is_found_and_kept_apart(runs: Path) -> None:
    folder = os.fsencode(runs) + b"/caf\xe9"
    os.mkdir(folder)
    with open(folder + b"/test_metrics.json", "w") as file:
        file.write('{"dice_pos": 0.3}')
    row = board_of(runs).rows[0]
    assert row.run == "caf\udce9"
    assert row.name == "caf\N{REPLACEMENT CHARACTER}"


def test_a_missing_runs_folder_is_a_problem_and_an_empty_board(tmp_path: Path) -> None:
    snapshot = RunIndex(tmp_path / "none").scan()
    assert snapshot.artifacts == ()
    assert len(snapshot.problems) == 1
    assert "No such file or directory" in snapshot.problems[0]


def test_a_folder_that_cannot_be_read_is_listed(runs: Path, project: Path) -> None:
    """In a process of its own, which gives root up where it has it: root reads everything."""
    put(runs / "locked/test_metrics.json", OK)
    put(runs / "open/test_metrics.json", OK)
    (runs / "locked").chmod(0)
    code = (
        "import os; from pathlib import Path; from xray_tui.board.index import RunIndex\n"
        f"os.chdir({str(runs)!r}); os.geteuid() == 0 and os.setuid(65534)\n"
        "snapshot = RunIndex(Path('/proc/self/cwd')).scan()\n"
        "print([(each.path, each.reason) for each in snapshot.rejected], len(snapshot.artifacts))"
    )
    try:
        done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True)
    finally:
        (runs / "locked").chmod(0o755)
    assert done.stdout == "[('locked', 'the folder cannot be read: Permission denied')] 1\n", done.stderr


def test_a_changed_artifact_is_read_again_and_an_old_snapshot_stays_as_it_was(runs: Path) -> None:
    path = put(runs / "a/test_metrics.json", OK)
    index = RunIndex(runs)
    before = index.scan()
    put(path, {"dice_pos": 0.4})
    after = index.apply(["a/test_metrics.json"])
    assert after.artifacts[0].metrics == {"dice_pos": 0.4}
    assert before.artifacts[0].metrics == {"dice_pos": 0.3}
    assert index.snapshot is after


def test_only_what_changed_is_read(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(20):
        put(runs / f"r{n}/test_metrics.json", OK)
    index = RunIndex(runs)
    index.scan()
    opened = calls_of(monkeypatch, index_module, "read_artifact")
    index.apply(["r3/test_metrics.json", "r4/events.jsonl", "r5/config.yaml"])
    assert [path for _, path, *_ in opened] == ["r3/test_metrics.json"]


def test_a_batch_without_news_gives_the_same_snapshot(runs: Path) -> None:
    put(runs / "a/test_metrics.json", OK)
    index = RunIndex(runs)
    before = index.scan()
    assert index.apply(["a/config.yaml", "b"]) is before


def test_new_renamed_and_deleted_folders_are_followed(runs: Path) -> None:
    index = RunIndex(runs)
    index.scan()
    put(runs / "x/y/test_metrics.json", OK)
    put(runs / "x/z/test_metrics.json", OK)
    assert paths(index.apply(["x"])) == ["x/y/test_metrics.json", "x/z/test_metrics.json"]
    (runs / "x").rename(runs / "w")
    assert paths(index.apply(["x", "w"])) == ["w/y/test_metrics.json", "w/z/test_metrics.json"]
    shutil.rmtree(runs / "w/y")
    assert paths(index.apply(["w/y"])) == ["w/z/test_metrics.json"]
    shutil.rmtree(runs / "w")
    assert paths(index.apply(["w"])) == []


def test_a_folder_goes_although_only_its_file_was_ever_reported(runs: Path) -> None:
    index = RunIndex(runs)
    index.scan()
    put(runs / "a/b/test_metrics.json", OK)
    assert paths(index.apply(["a/b/test_metrics.json"])) == ["a/b/test_metrics.json"]
    shutil.rmtree(runs / "a")
    assert paths(index.apply(["a"])) == []


def test_a_file_that_becomes_a_folder_and_back_is_followed(runs: Path) -> None:
    path = put(runs / "a/test_metrics.json", OK)
    index = RunIndex(runs)
    index.scan()
    path.unlink()
    put(path / "inner/test_metrics.json", OK)
    snapshot = index.apply(["a/test_metrics.json"])
    assert paths(snapshot) == ["a/test_metrics.json/inner/test_metrics.json"]
    assert [each.reason for each in snapshot.rejected] == ["expected a file, got a folder"]
    shutil.rmtree(path)
    put(path, OK)
    assert paths(index.apply(["a/test_metrics.json"])) == ["a/test_metrics.json"]


def test_a_changed_board_yaml_judges_everything_anew(generated_runs: Path) -> None:
    index = RunIndex(generated_runs)
    before = index.scan()
    put(generated_runs / "board.yaml", "exclude: []\n")
    after = index.apply(["board.yaml"])
    assert len(after.artifacts) == len(before.artifacts) + 3
    (generated_runs / "board.yaml").unlink()
    assert index.apply(["board.yaml"]).artifacts == before.artifacts


def test_a_note_that_appears_and_goes_sets_aside_and_brings_back(runs: Path) -> None:
    put(runs / "a/test_metrics.json", OK)
    index = RunIndex(runs)
    index.scan()
    note = put(runs / "a/note.yaml", "set_aside: wrong split\n")
    assert paths(index.apply(["a/note.yaml"])) == []
    note.unlink()
    assert paths(index.apply(["a/note.yaml"])) == ["a/test_metrics.json"]


def test_the_runs_folder_as_changed_path_means_everything(runs: Path) -> None:
    index = RunIndex(runs)
    index.scan()
    put(runs / "a/test_metrics.json", OK)
    assert paths(index.apply([""])) == ["a/test_metrics.json"]
    shutil.rmtree(runs)
    assert paths(index.apply([""])) == []


@pytest.mark.parametrize("seed", range(5))
def test_after_any_changes_an_applied_index_is_what_a_fresh_scan_finds(runs: Path, seed: int) -> None:
    draw = random.Random(seed)
    index = RunIndex(runs)
    index.scan()
    for _ in range(60):
        index.apply([relative(runs, path) for path in _change_something(runs, draw)])
        fresh = RunIndex(runs).scan()
        assert index.snapshot == fresh


def relative(runs: Path, path: Path) -> str:
    """The path as the watch reports it; the runs folder is the empty string."""
    return "" if path == runs else path.relative_to(runs).as_posix()


def _change_something(runs: Path, draw: random.Random) -> list[Path]:
    """Do one thing in the runs folder; the paths that a watch would report."""
    folders = [runs, *(path for path in runs.rglob("*") if path.is_dir())]
    files = [path for path in runs.rglob("*") if path.is_file()]
    folder = draw.choice(folders)
    match draw.choice(["write", "write", "write", "folder", "note", "delete", "rename", "remove", "board"]):
        case "write":
            content = draw.choice([OK, {"dice_pos": 0.5}, {"loss": 1}, "{", {"dice_pos": 0.7, "num_samples": 20}])
            return [put(folder / draw.choice(["test_metrics.json", "my_test_metrics_x.json", "other.json"]), content)]
        case "folder":
            made = folder / draw.choice(["a", "b", "checkpoints", ".hidden", "smoke", "test_metrics.json.d"])
            put(made / "deeper/test_metrics.json", OK)
            return [made]
        case "note":
            return [put(folder / "note.yaml", draw.choice(["set_aside: why\n", "tags: []\n", "["]))]
        case "delete" if files:
            gone = draw.choice(files)
            gone.unlink()
            return [gone]
        case "rename" if folder != runs:
            target = folder.with_name(draw.choice(["c", "d", "predictions", ".away"]))
            if not target.exists():
                folder.rename(target)
            return [folder, target]
        case "remove" if folder != runs:
            shutil.rmtree(folder)
            return [folder]
        case "board":
            return [
                put(runs / "board.yaml", draw.choice(["exclude: []\n", "exclude: [b]\n", "artifacts: [other.json]\n"]))
            ]
    return []


LOCKED = """
import os, tempfile, time
from pathlib import Path
from xray_tui.board import rules_file, watch_sources
from xray_tui.board.index import RunIndex
from xray_tui.board.analysis import sentences
from xray_tui.board.rank import rank
from xray_tui.board.watch import Watch
if os.geteuid() == 0:
    os.seteuid(65534)
with tempfile.TemporaryDirectory() as place:
    locked, runs = Path(place, "locked"), Path(place, "runs")
    locked.mkdir()
    for run in ("a", "b"):
        (runs / run).mkdir(parents=True)
        (runs / run / "test_metrics.json").write_text('{"dice_pos": 0.3}')
    locked.chmod(0)
    (runs / "board.yaml").symlink_to(locked / "board.yaml")
    (runs / "a" / "note.yaml").symlink_to(locked / "note.yaml")
    (runs / "a" / "config.yaml").symlink_to(locked / "config.yaml")
    (runs / "c").mkdir()
    (runs / "c" / "test_metrics.json").symlink_to(locked / "test_metrics.json")
    watch = Watch(runs, RunIndex(runs).matters, print)
    watch.start()
    mode = watch.mode
    (runs / "d").symlink_to(locked / "run")
    snapshot = RunIndex(runs).scan()
    sentences(rank(snapshot))
    time.sleep(0.3)
    same = watch.mode == mode
    watch.stop()
    locked.chmod(0o700)
print(len(snapshot.artifacts), same, *snapshot.problems, sep="\\n")
print(*(f"{each.path}: {each.reason}" for each in snapshot.rejected), sep="\\n")
"""


def test_links_to_where_one_may_not_look_are_named_and_the_rest_is_read() -> None:
    """As nobody: for root every place is open."""
    done = subprocess.run([sys.executable, "-c", LOCKED], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "2",
        "True",
        "board.yaml: cannot be read: Permission denied; ignored",
        "a/note.yaml: cannot be read: Permission denied; ignored",
        "c/test_metrics.json: cannot be read: Permission denied",
    ]
