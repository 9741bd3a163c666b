"""Changes in a runs folder are heard of, by inotify and by polling, with real files."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xray_tui.board import watch_sources
from xray_tui.board.index import RunIndex
from xray_tui.board.rank import rank
from xray_tui.board.watch import ENVIRONMENT, Watch
from xray_tui.system.mounts import file_system_of, is_shared, read_mountinfo

from .place import put

OK = {"dice_pos": 0.3}
PATIENCE = 10.0
"""Seconds after which a change counts as unheard: generous, as the machine may be busy; one test measures the delay."""
SILENCE = 0.4
"""Seconds in which a change that matters to nobody would have been heard."""


class Board:
    """An index that follows a watch, as the app's does."""

    def __init__(self, runs: Path) -> None:
        self.batches: list[frozenset[str]] = []
        self.changed = threading.Condition()
        self.index = RunIndex(runs)
        self.watch = Watch(runs, self.index.matters, self._hear)
        self.watch.start()
        self.index.scan()

    def _hear(self, paths: frozenset[str]) -> None:
        with self.changed:
            self.batches.append(paths)
            self.index.apply(paths)
            self.changed.notify_all()

    def runs(self) -> dict[str, float]:
        return {row.run: row.figures["dice_pos"] for row in rank(self.index.snapshot).rows}

    def comes_to(self, expected: dict[str, float]) -> None:
        with self.changed:
            self.changed.wait_for(lambda: self.runs() == expected, PATIENCE)
        assert self.runs() == expected

    def hears_nothing_of(self, change: Callable[[], object]) -> None:
        before = -1
        while before != len(self.batches):  # what happened before may still be reported
            before = len(self.batches)
            time.sleep(SILENCE)
        change()
        time.sleep(SILENCE)
        assert self.batches[before:] == []


@pytest.fixture(params=["inotify", "polling"])
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of hearing of changes, each where it is possible."""
    if request.param == "polling":
        monkeypatch.setenv(ENVIRONMENT, "poll")
    elif sys.platform != "linux":
        pytest.skip("inotify is Linux's")
    else:
        monkeypatch.delenv(ENVIRONMENT, raising=False)
    return str(request.param)


@pytest.fixture
def board(mode: str, runs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    monkeypatch.setattr(watch_sources, "PERIOD", 0.1)  # the tests wait for some thirty changes
    board = Board(runs)
    if board.watch.mode != mode:
        board.watch.stop()
        pytest.skip("the temporary folder's file system, or a limit of the kernel, allows polling only")
    yield board
    board.watch.stop()


def test_a_new_changed_renamed_and_deleted_artifact_is_followed(board: Board, runs: Path) -> None:
    path = put(runs / "a/test_metrics.json", OK)
    board.comes_to({"a": 0.3})
    put(path, {"dice_pos": 0.4})
    board.comes_to({"a": 0.4})
    put(runs / "a/.new.tmp", {"dice_pos": 0.5}).replace(path)
    board.comes_to({"a": 0.5})
    path.rename(runs / "a/old.json")
    board.comes_to({})
    (runs / "a/old.json").rename(path)
    board.comes_to({"a": 0.5})
    path.unlink()
    board.comes_to({})


def test_deep_new_folders_renames_moves_and_deletions_are_followed(board: Board, runs: Path, tmp_path: Path) -> None:
    put(runs / "x/y/z/test_metrics.json", OK)
    put(runs / "x/w/test_metrics.json", OK)
    board.comes_to({"x/y/z": 0.3, "x/w": 0.3})
    (runs / "x").rename(runs / "n")
    board.comes_to({"n/y/z": 0.3, "n/w": 0.3})
    put(runs / "n/y/z/test_metrics.json", {"dice_pos": 0.4})
    board.comes_to({"n/y/z": 0.4, "n/w": 0.3})
    (runs / "n/y").rename(tmp_path / "outside")
    board.comes_to({"n/w": 0.3})
    (tmp_path / "outside").rename(runs / "back")
    board.comes_to({"back/z": 0.4, "n/w": 0.3})
    put(runs / "back/z/test_metrics.json", {"dice_pos": 0.5})
    board.comes_to({"back/z": 0.5, "n/w": 0.3})
    shutil.rmtree(runs / "n")
    board.comes_to({"back/z": 0.5})


def test_the_runs_folder_may_be_deleted_and_come_again(board: Board, runs: Path, tmp_path: Path) -> None:
    put(runs / "a/test_metrics.json", OK)
    board.comes_to({"a": 0.3})
    shutil.rmtree(runs)
    board.comes_to({})
    put(runs / "b/test_metrics.json", OK)
    board.comes_to({"b": 0.3})
    put(runs / "b/test_metrics.json", {"dice_pos": 0.4})
    board.comes_to({"b": 0.4})
    put(tmp_path / "other/c/test_metrics.json", OK)
    runs.rename(tmp_path / "away")
    (tmp_path / "other").rename(runs)
    board.comes_to({"c": 0.3})
    put(tmp_path / "away/b/test_metrics.json", {"dice_pos": 0.9})
    put(runs / "c/test_metrics.json", {"dice_pos": 0.4})
    board.comes_to({"c": 0.4})


def test_what_can_never_matter_is_not_reported(board: Board, runs: Path) -> None:
    put(runs / "a/test_metrics.json", OK)
    board.comes_to({"a": 0.3})

    def noise() -> None:
        put(runs / "a/events.jsonl", "{}\n")
        put(runs / "a/train_log.json", OK)
        put(runs / "a/config.yaml", "seed: 1\n")  # the insights read it when they are asked for
        put(runs / "a/.test_metrics.json.x.tmp", OK)
        put(runs / "a/checkpoints/last.pt", "x")
        put(runs / "a/checkpoints/test_metrics.json", OK)
        put(runs / "a/predictions/test_hv/test_metrics.json", OK)
        put(runs / ".jobs/1/test_metrics.json", OK)
        put(runs / ".jobs/1/job.json", OK)
        (runs / "a/test_metrics.json").read_bytes()
        shutil.rmtree(runs / "a/checkpoints")

    board.hears_nothing_of(noise)
    assert board.runs() == {"a": 0.3}


def test_a_broken_link_in_an_artifacts_place_is_reported(board: Board, runs: Path, tmp_path: Path) -> None:
    (runs / "a").mkdir()
    (runs / "a/test_metrics.json").symlink_to(tmp_path / "nowhere")
    with board.changed:
        board.changed.wait_for(lambda: board.index.snapshot.rejected, PATIENCE)
    assert [artifact.reason for artifact in board.index.snapshot.rejected] == ["a broken link"]


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_no_watch_is_spent_on_checkpoints_predictions_and_hidden_folders(runs: Path) -> None:
    from xray_tui.board.watch_sources import Inotify

    for folder in ("a/checkpoints/x", "a/predictions/test_hv", ".jobs/1", "a/deeper"):
        (runs / folder).mkdir(parents=True)
    before = inotify_watches()
    source = Inotify(runs, print)
    try:
        assert inotify_watches() - before == 3, "the runs folder, a and a/deeper"
    finally:
        source.close()
    assert inotify_watches() == before


def inotify_watches() -> int:
    """Number of inotify watches of this process."""
    texts = []
    for file in Path("/proc/self/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            texts.append(file.read_text())
    return sum(text.count("inotify wd:") for text in texts)


def test_board_yaml_and_notes_are_reported(board: Board, runs: Path) -> None:
    put(runs / "a/test_metrics.json", OK)
    board.comes_to({"a": 0.3})
    note = put(runs / "a/note.yaml", "set_aside: not ours\n")
    board.comes_to({})
    note.unlink()
    board.comes_to({"a": 0.3})
    put(runs / "board.yaml", "artifacts: [mine.json]\n")
    put(runs / "b/mine.json", OK)
    board.comes_to({"a": 0.3, "b": 0.3})
    put(runs / "b/mine.json", {"dice_pos": 0.4})
    board.comes_to({"a": 0.3, "b": 0.4})


def test_a_link_to_a_folder_elsewhere_is_followed(board: Board, runs: Path, tmp_path: Path) -> None:
    put(tmp_path / "disk/r/test_metrics.json", OK)
    (runs / "disk").symlink_to(tmp_path / "disk")
    board.comes_to({"disk/r": 0.3})
    put(tmp_path / "disk/r/test_metrics.json", {"dice_pos": 0.4})
    board.comes_to({"disk/r": 0.4})
    (runs / "disk").unlink()
    board.comes_to({})
    put(tmp_path / "disk/r/test_metrics.json", {"dice_pos": 0.5})
    put(runs / "own/test_metrics.json", OK)
    board.comes_to({"own": 0.3})


def test_an_artifact_that_is_a_link_to_a_file_elsewhere_is_read_and_its_target_again_at_a_rescan(
    board: Board, runs: Path, tmp_path: Path
) -> None:
    target = put(tmp_path / "disk/metrics.json", OK)
    (runs / "a").mkdir()
    (runs / "a/test_metrics.json").symlink_to(target)
    board.comes_to({"a": 0.3})
    put(target, {"dice_pos": 0.4})
    board.index.scan()
    board.comes_to({"a": 0.4})
    (runs / "a/test_metrics.json").unlink()
    board.comes_to({})


def test_a_burst_becomes_a_few_batches(board: Board, runs: Path) -> None:
    for n in range(200):
        put(runs / f"r{n}/test_metrics.json", OK)
    board.comes_to({f"r{n}": 0.3 for n in range(200)})
    assert len(board.batches) < 20


def test_a_change_is_heard_of_within_half_a_second(mode: str, runs: Path) -> None:
    """The best of three: the machine that tests is busy with other things."""
    board = Board(runs)
    delays = []
    for n in range(3):
        began = time.monotonic()
        put(runs / f"r{n}/test_metrics.json", OK)
        board.comes_to({f"r{each}": 0.3 for each in range(n + 1)})
        delays.append(time.monotonic() - began)
    board.watch.stop()
    assert min(delays) < 0.5


def test_steady_writing_does_not_hold_back_the_batch(board: Board, runs: Path) -> None:
    began = time.monotonic()
    writing = True

    def write() -> None:
        while writing:
            put(runs / "a/test_metrics.json", OK)
            time.sleep(0.03)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        with board.changed:
            assert board.changed.wait_for(lambda: board.batches, PATIENCE)
        assert time.monotonic() - began < PATIENCE
    finally:
        writing = False
        thread.join()


def test_after_stop_nothing_is_called_and_threads_are_gone(board: Board, runs: Path) -> None:
    board.watch.stop()
    board.hears_nothing_of(lambda: put(runs / "a/test_metrics.json", OK))
    assert not [thread for thread in threading.enumerate() if thread.name == "watch" and thread.is_alive()]
    board.watch.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_when_the_kernel_drops_events_everything_counts_as_changed_and_new_folders_are_watched(runs: Path) -> None:
    from xray_tui.board.watch_sources import Inotify

    source = Inotify(runs, lambda path: path.endswith(".json"))
    try:
        most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
        if most > 100_000:
            pytest.skip("the kernel's queue is very long here")
        one, other = runs / "one.json", runs / "other.json"
        one.touch()
        for _ in range(most // 4 + 1):
            one.rename(other)
            other.rename(one)
        put(runs / "late/test_metrics.json", OK)
        changed: set[str] = set()
        while more := source.read(0.1):
            changed |= more
        assert "" in changed
        put(runs / "late/test_metrics.json", OK)
        assert source.read(1.0) == {"late/test_metrics.json"}
    finally:
        source.close()


def test_a_runs_folder_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    board = Board(tmp_path / "later")
    try:
        put(tmp_path / "later/a/test_metrics.json", OK)
        board.comes_to({"a": 0.3})
    finally:
        board.watch.stop()


LIMITED = """
import pathlib, sys, time
from xray_tui.board import watch as module
from xray_tui.board.index import RunIndex
module.FIRST_RETRY = 0.2
runs, limit = pathlib.Path(sys.argv[1]), pathlib.Path("/proc/sys/user", sys.argv[2])
heard, said = [], []
watch = module.Watch(runs, RunIndex(runs).matters, heard.append, on_polling=said.append)

def until(true):
    end = time.monotonic() + 20
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return true()

def follows(name):
    before, path = len(heard), f"{name}/test_metrics.json"
    (runs / path).write_text("{}")
    return until(lambda: any({"", path} & batch for batch in heard[before:]))

watch.start()
for n in range(8):
    (runs / f"r{n}").mkdir()
print(until(lambda: watch.mode == "polling"), said[-1], follows("r7"), sep="|")
limit.write_text("1000")
print(until(lambda: watch.mode == "inotify"), repr(said[-1]), follows("r6"), sep="|")
watch.stop()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
@pytest.mark.parametrize(
    ("limit", "size", "why"), [("max_inotify_watches", 4, "watches"), ("max_inotify_instances", 0, "instances")]
)
def test_polling_takes_over_with_a_reason_where_a_limit_is_reached_until_inotify_works_again(
    runs: Path, project: Path, limit: str, size: int, why: str
) -> None:
    """In a user namespace of its own, where the limit can be set without touching anybody else."""
    inner = f'echo {size} > /proc/sys/user/{limit} && exec "$0" -c "$1" "$2" {limit}'
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", inner, sys.executable, LIMITED, str(runs)]
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    env = {key: value for key, value in os.environ.items() if key != ENVIRONMENT}
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, timeout=90)
    if done.returncode != 0 and "Traceback" not in done.stderr:
        pytest.skip(f"user namespaces are not allowed here: {done.stderr.strip()}")
    assert done.stdout == f"True|the limit of inotify {why} is reached|True\nTrue|''|True\n", done.stderr


def test_inotify_is_tried_again_with_growing_pauses(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[float] = []

    def refuse(*_: object) -> None:
        tries.append(clock[0])
        raise OSError(errno.ENOSYS, "this system has no inotify")

    clock = [0.0]
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    monkeypatch.setattr("xray_tui.board.watch.Inotify", refuse)
    watch = Watch(runs, RunIndex(runs).matters, print)
    began = time.monotonic()
    watch._open(began)
    while clock[0] < 2500:
        clock[0] += 10
        watch._reopen_if_due(began + clock[0] + 1)
    assert tries == [0, 30, 90, 210, 450, 930, 1530, 2130]


def test_a_polled_folder_says_that_polling_was_asked_for(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "poll")
    said: list[str] = []
    watch = Watch(runs, RunIndex(runs).matters, print, on_polling=said.append)
    watch.start()
    watch.stop()
    assert said == ["$XRAY_TUI_WATCH is poll"]


def test_after_an_error_of_its_listener_the_watch_reports_everything_as_changed(
    board: Board, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()
    apply = board.index.apply

    def fail_once(paths: frozenset[str]) -> object:
        if not failed.is_set():
            failed.set()
            raise KeyError("x")
        return apply(paths)

    monkeypatch.setattr(board.index, "apply", fail_once)
    put(runs / "a/test_metrics.json", OK)
    board.comes_to({"a": 0.3})
    assert failed.is_set()
    assert "" in board.batches[-1]


MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:26 / /mnt/big\\040disk rw - nfs4 server:/export rw
31 22 0:27 / /home/me/remote rw - fuse.sshfs me@host: rw
32 30 0:28 / /mnt/big\\040disk/scratch rw - xfs /dev/sdb rw
garbage
"""


@pytest.mark.parametrize(
    ("folder", "kind", "shared_by_machines"),
    [
        ("/data/runs", "ext4", False),
        ("/mnt/big disk/runs", "nfs4", True),
        ("/mnt/big disk", "nfs4", True),
        ("/mnt/big disk/scratch/runs", "xfs", False),
        ("/mnt/big disks/runs", "ext4", False),
        ("/home/me/remote/runs", "fuse.sshfs", True),
    ],
)
def test_the_file_system_of_a_folder_is_read_from_the_mounts(folder: str, kind: str, shared_by_machines: bool) -> None:
    assert file_system_of(Path(folder), MOUNTS) == kind
    assert is_shared(kind) is shared_by_machines


@pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="needs /proc")
def test_the_mounts_of_this_machine_are_read() -> None:
    assert file_system_of(Path("/proc/self"), read_mountinfo()) == "proc"
    assert not is_shared(file_system_of(Path("/"), ""))
