"""A feed that fails says so, is tried again with growing pauses, and leaves its traceback in the log file."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

from tests.conftest import write
from xray_tui.board.index import RunIndex
from xray_tui.feeds.board_feed import BoardFeed
from xray_tui.feeds.host_feed import HostFeed
from xray_tui.feeds.job_files import Follow, Followed
from xray_tui.feeds.jobs_feed import JobsFeed
from xray_tui.jobs.storage.job_store import JobStore
from xray_tui.system.disk_probe import DiskProbe
from xray_tui.system.error_log import error_log
from xray_tui.system.retry import Retry

PATIENCE = 30.0


@pytest.fixture(autouse=True)
def log_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return error_log()


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Fault:
    """Raises this error in the place of a method until it is mended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, error: Exception) -> None:
        self.mended = Event()
        method = getattr(owner, name)

        def call(*given: object) -> object:
            if not self.mended.is_set():
                raise error
            return method(*given)

        monkeypatch.setattr(owner, name, call)


def test_the_pauses_grow_to_a_minute_and_begin_again_after_a_success(log_file: Path) -> None:
    said: list[str] = []
    retry = Retry("reading the jobs", said.append)

    def fail() -> None:
        raise KeyError("x")

    assert [retry.attempt(fail) for _ in range(9)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert said[2] == "! reading the jobs failed: KeyError: 'x'; next try in 4 s"
    assert retry.attempt(lambda: None) == 0
    assert said[-1] == ""
    assert retry.attempt(fail) == 1
    assert log_file.read_text().count("Traceback") == 2, "an error that stays the same is logged once"


def test_a_success_after_no_failure_reports_nothing() -> None:
    assert Retry("reading the jobs", pytest.fail).attempt(lambda: None) == 0


def test_an_error_is_one_clean_line_in_the_report(log_file: Path) -> None:
    said: list[str] = []
    retry = Retry("reading", said.append)
    for error in (ValueError("two\nlines \x1b[31m" + "x" * 1000), PermissionError(13, "Permission denied", "/runs")):

        def fail(error: Exception = error) -> None:
            raise error

        retry.attempt(fail)
    assert all(line.isprintable() and len(line) < 260 for line in said)
    assert said[1] == "! reading failed: Permission denied: /runs; next try in 2 s"


def test_jobs_are_read_again_after_any_error(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_file: Path
) -> None:
    fault = Fault(monkeypatch, JobStore, "jobs", KeyError("x"))
    told, said = Event(), list[str]()
    feed = JobsFeed(runs, lambda *_: told.set(), said.append, str(tmp_path / "leases"))
    feed.start()
    try:
        until(lambda: said)
        assert said[0].startswith("! reading the jobs failed: KeyError: 'x'; next try in ")
        assert "raise error\nKeyError: 'x'" in log_file.read_text()
        fault.mended.set()
        assert told.wait(PATIENCE)
        until(lambda: said[-1] == "")
    finally:
        feed.stop()


def test_the_host_is_looked_at_again_after_any_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = Fault(monkeypatch, DiskProbe, "read", RuntimeError("no /proc"))
    told, said = Event(), list[str]()
    feed = HostFeed(tmp_path, lambda _: told.set(), said.append)
    feed.start()
    try:
        until(lambda: said)
        fault.mended.set()
        assert told.wait(PATIENCE)
    finally:
        feed.stop()


def test_a_disk_that_cannot_be_asked_is_named_as_the_problem(tmp_path: Path) -> None:
    looks = DiskProbe(Path(f"{tmp_path}\0"))
    until(lambda: looks.read().problem)
    assert looks.read().problem == "ValueError: embedded null byte"


def test_a_log_is_read_again_after_any_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "log.txt", "hello\n")
    fault = Fault(monkeypatch, Follow, "_read_events", KeyError("x"))
    told, said = list[Followed](), list[str]()
    follow = Follow("j1", tmp_path / "log.txt", [], told.append, said.append)
    follow.start()
    try:
        until(lambda: said)
        fault.mended.set()
        until(lambda: told)
        assert told[-1].log.lines == ("hello",)
    finally:
        follow.stop()


def test_a_board_that_cannot_be_read_at_first_is_read_later(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(runs / "a/test_metrics.json", {"dice_pos": 0.3})
    fault = Fault(monkeypatch, BoardFeed, "rescan", KeyError("x"))
    feed = BoardFeed(runs)
    feed.start()
    until(lambda: feed._latest.get("failure"))
    boards, said = list[int](), list[str]()
    feed.connect(lambda board: boards.append(len(board.rows)), said.append, pytest.fail)
    feed.watch()
    try:
        assert said[0].startswith("! reading the runs folder failed: KeyError: 'x'; next try in ")
        fault.mended.set()
        until(lambda: boards == [1])
        until(lambda: said[-1] == "")
        write(runs / "b/test_metrics.json", {"dice_pos": 0.2})
        until(lambda: boards[-1] == 2)
    finally:
        feed.stop()


def test_a_change_that_cannot_be_read_is_read_later(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = BoardFeed(runs)
    boards, said = list[int](), list[str]()
    feed.connect(lambda board: boards.append(len(board.rows)), said.append, lambda _: None)
    feed.start()
    feed.watch()
    try:
        until(lambda: feed._watch is not None and boards)
        fault = Fault(monkeypatch, RunIndex, "apply", KeyError("x"))
        write(runs / "a/test_metrics.json", {"dice_pos": 0.3})
        until(lambda: said)
        assert said[0] == "! watching the runs folder failed: KeyError: 'x'; next try in 1 s"
        fault.mended.set()
        until(lambda: boards[-1] == 1)
        until(lambda: said[-1] == "")
    finally:
        feed.stop()
