"""How jobs end, in words."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from xray_tui.jobs.model.job import State
from xray_tui.jobs.supervise.outcome import EndRecord, judge, last_log_line, read_end

DONE = EndRecord(0, "done")


@pytest.mark.parametrize(
    ("status", "end", "stopped_by", "state", "cause"),
    [
        (0, DONE, None, State.SUCCEEDED, None),
        (0, DONE, "alice", State.SUCCEEDED, None),
        (0, None, None, State.FAILED, "ended without its end record"),
        (0, EndRecord(2, "x.yaml: no such file"), None, State.FAILED, "bad input: x.yaml: no such file"),
        (2, None, None, State.FAILED, "bad input: the last line"),
        (3, EndRecord(3, "stopped"), "alice", State.STOPPED, "stopped by alice"),
        (3, EndRecord(3, "stopped"), None, State.STOPPED, "stopped"),
        (4, EndRecord(4, "a tensor was too large"), None, State.FAILED, "out of memory"),
        (4, EndRecord(4, "out of memory: smaller batch"), None, State.FAILED, "out of memory: smaller batch"),
        (1, EndRecord(1, "disk: no space left"), None, State.FAILED, "disk: no space left"),
        (1, None, None, State.FAILED, "exit code 1: the last line"),
        (1, None, "alice", State.FAILED, "exit code 1: the last line"),
        (-9, None, None, State.FAILED, "killed by SIGKILL"),
        (-11, None, None, State.FAILED, "killed by SIGSEGV"),
        (-15, None, "alice", State.STOPPED, "stopped by alice"),
        (-9, None, "alice", State.STOPPED, "stopped by alice; it had to be killed"),
        (-9, DONE, None, State.FAILED, "killed by SIGKILL"),
        (None, DONE, None, State.SUCCEEDED, None),
        (None, EndRecord(3, "stopped"), "alice", State.STOPPED, "stopped by alice"),
        (None, None, "alice", State.STOPPED, "stopped by alice, without an end record"),
        (None, None, None, State.LOST, "its supervisor and its engine died without an end record"),
    ],
)
def test_every_end_has_a_state_and_a_cause(
    status: int | None, end: EndRecord | None, stopped_by: str | None, state: State, cause: str | None
) -> None:
    assert judge(status, end, stopped_by, "the last line")[:2] == (state, cause)


def test_the_last_line_is_found_behind_a_progress_bar_and_made_safe(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_bytes(b"x" * 20_000 + b"\n10 %\r20 %\rbad \x1b[31mred\x1b[0m \x07end\n\n  \n")
    assert last_log_line(tmp_path) == "bad red \N{SYMBOL FOR BELL}end"
    (tmp_path / "log.txt").write_bytes(b"2026-02-15 00:38:52 no such file\n")
    assert last_log_line(tmp_path) == "no such file"


def test_a_damaged_end_record_counts_as_none(tmp_path: Path) -> None:
    for text in ("", "[]", '{"code": "0"}', '{"code": 1e3}', '{"code": -9}', "{" * 9999):
        (tmp_path / "end.json").write_text(text)
        assert read_end(tmp_path) is None


def test_an_end_record_is_read_with_its_memory(tmp_path: Path) -> None:
    record = {"code": 1, "cause": "a\nb", "time": 1.0, "peak_rss": 7, "peak_gpu": None}
    (tmp_path / "end.json").write_text(json.dumps(record))
    assert read_end(tmp_path) == EndRecord(1, "a\N{SYMBOL FOR LINE FEED}b", 7, None)


@pytest.mark.parametrize("peak", [10**30, -1, True, 1.5, "1"])
def test_an_impossible_peak_of_memory_leaves_the_rest_of_the_record(tmp_path: Path, peak: object) -> None:
    (tmp_path / "end.json").write_text(json.dumps({"code": 0, "cause": "done", "peak_rss": peak, "peak_gpu": peak}))
    assert read_end(tmp_path) == EndRecord(0, "done")


def test_pipes_in_place_of_the_record_and_the_log_keep_nobody_waiting(tmp_path: Path) -> None:
    for name in ("end.json", "log.txt"):
        os.mkfifo(tmp_path / name)
    assert read_end(tmp_path) is None
    assert last_log_line(tmp_path) == ""


def test_a_full_disk_is_a_cause_though_there_was_no_room_for_the_end_record() -> None:
    assert judge(5, None, None, "no space left: runs/a/events.jsonl: …")[1] == "no space left: runs/a/events.jsonl: …"
    assert judge(5, None, None, "epoch 3/20")[1] == "no space left: epoch 3/20"
    assert judge(5, None, None, "")[1] == "no space left"
