"""The last lines of logs of every size and kind, and what happens to a file meanwhile."""

from __future__ import annotations

import os
import random
import tracemalloc
from pathlib import Path

import pytest

from xray_tui.logs import log_file
from xray_tui.logs.log_file import KEPT, LONGEST_LINE, TAIL, Log, LogFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.txt"


def read(path: Path) -> Log:
    log = LogFile(path)
    assert log.read()
    return log.log


def add(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def numbered(first: int, last: int) -> bytes:
    return b"".join(b"line %d\n" % number for number in range(first, last))


def test_a_short_log_is_read_whole_and_of_a_long_one_the_last_20_000_lines(path: Path) -> None:
    path.write_bytes(numbered(0, KEPT))
    log = read(path)
    assert (len(log.lines), log.lines[0], log.dropped, log.cut) == (KEPT, "line 0", 0, False)
    path.write_bytes(numbered(0, KEPT + 1))
    log = read(path)
    assert (len(log.lines), log.lines[0], log.dropped, log.cut) == (KEPT, "line 1", 1, True)


def test_a_log_that_grows_by_a_few_or_by_many_lines_keeps_the_last_ones(path: Path) -> None:
    path.write_bytes(numbered(0, KEPT) + b"line ")
    log = LogFile(path)
    total = KEPT
    for more in (1, 3, KEPT - 1, KEPT, KEPT + 1, 5 * KEPT):
        log.read()
        assert (len(log.log.lines), log.log.lines[-1], log.log.dropped) == (KEPT, "line ", total + 1 - KEPT)
        add(path, numbered(total, total + more)[5:] + b"line ")
        total += more
    assert log.read()
    assert log.log.lines == (*(f"line {number}" for number in range(total + 1 - KEPT, total)), "line ")
    assert log.log.edition == 1


@pytest.mark.parametrize("piece", [1, 7, 100, 4096])
def test_the_pieces_in_which_a_log_is_written_do_not_matter(
    path: Path, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_file, "KEPT", 50)
    chance = random.Random(7)
    data = bytes(chance.choices(b"ab \xc3\xa4\r\n\n", k=3000))
    log = LogFile(path)
    for at in range(0, len(data), piece):
        add(path, data[at : at + piece])
        if chance.random() < 0.5:
            log.read()
    log.read()
    *ended, last = data.split(b"\n")
    expected = [line.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace") for line in ended]
    assert log.log.lines[:-1] == tuple(expected)[-len(log.log.lines) + 1 :]
    assert len(log.log.lines) >= 50 - 1
    assert log.log.lines[-1] == (last.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace") or expected[-1])


def test_of_a_log_of_200_mb_only_the_end_is_read(path: Path) -> None:
    with path.open("wb") as file:  # full of nothing: no room is needed for it on the disk
        file.truncate(200 << 20)
    add(path, b"\nthe end\n")
    tracemalloc.start()
    try:
        log = read(path)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert log.lines[-1] == "the end"
    assert log.cut
    assert most < 5 * TAIL


def test_the_first_line_of_a_large_log_s_end_is_a_whole_one(path: Path) -> None:
    path.write_bytes(b"%s\n" % (b"x" * 999) * (TAIL // 1000 + 100))
    log = read(path)
    assert log.lines[0] == "x" * 999
    assert len(log.lines) == TAIL // 1000
    assert log.cut


def test_the_width_is_that_of_the_longest_line_and_of_a_new_log_its_own(path: Path) -> None:
    path.write_bytes("short\nlöng line\n".encode())
    log = LogFile(path)
    log.read()
    assert log.log.width == 9
    add(path, "骨".encode() * 5)
    log.read()
    assert log.log.width == 10
    path.write_bytes(b"cut\n")
    log.read()
    assert log.log.width == 3


def test_a_line_is_shown_before_its_newline_comes_and_a_progress_bar_by_its_last_state(path: Path) -> None:
    path.write_bytes(b"begun\n 10%|#  |\r 20%|## |\r")
    log = LogFile(path)
    log.read()
    assert log.log.lines == ("begun", " 20%|## |")
    add(path, b" 30%|###|\ndone \x1b[31mred\x1b[0m \x9b2J \xff\r\n")
    assert log.read()
    assert log.log.lines == ("begun", " 30%|###|", "done red �2J �")
    assert not log.read()


def test_a_progress_bar_of_megabytes_is_one_line_with_its_last_state(path: Path) -> None:
    path.write_bytes(b"begun\n")
    log = LogFile(path)
    for state in range(5):
        add(path, b"".join(b"\r%3d%% %7d |%s|" % (state, n, b"#" * 60) for n in range(50_000)))
        log.read()
        assert log.log.lines == ("begun", f"{state:3d}%   49999 |{'#' * 60}|")
    add(path, b"\nval 0.25\n")
    log.read()
    assert log.log.lines == ("begun", f"  4%   49999 |{'#' * 60}|", "val 0.25")


def test_a_progress_bar_longer_than_what_is_read_has_its_last_state(path: Path) -> None:
    path.write_bytes(b"first\n" + b"x" * (2 * TAIL) + b"\r" + b"state of a bar")
    log = read(path)
    assert (log.lines, log.cut) == (("state of a bar",), True)


def test_binary_garbage_is_shown_and_harmless(path: Path) -> None:
    path.write_bytes(random.Random(5).randbytes(2 << 20))
    assert all(line.isprintable() and len(line) <= LONGEST_LINE for line in read(path).lines)


def test_a_log_that_was_cut_replaced_or_written_anew_is_another_edition(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"a first attempt\n" * 10)
    log = LogFile(path)
    log.read()
    editions = [log.log.edition]

    def next_lines() -> tuple[str, ...]:
        assert log.read()
        editions.append(log.log.edition)
        return log.log.lines

    path.write_bytes(b"cut\n")
    assert next_lines() == ("cut",)
    other = tmp_path / "other"
    other.write_bytes(b"rep\n")
    os.replace(other, path)
    assert next_lines() == ("rep",)
    path.write_bytes(b"written anew, and longer than before\n")
    assert next_lines() == ("written anew, and longer than before",)
    path.write_bytes(b"")
    assert next_lines() == ()
    assert len(set(editions)) == len(editions)


def test_a_log_that_is_not_there_gone_or_no_file_has_nothing_new(path: Path) -> None:
    log = LogFile(path)
    assert not log.read()
    assert log.log.lines == ()
    path.write_bytes(b"hello\n")
    assert log.read()
    path.unlink()
    assert not log.read()
    assert log.log.lines == ("hello",)
    os.mkfifo(path)
    assert not log.read()


def test_time_stamps_are_kept_apart_and_a_progress_line_gives_way_to_the_next_line(path: Path) -> None:
    first, second = "2026-02-15 00:38:52 ", "2026-02-15 00:38:57 "
    path.write_text(f"plain: 1/3 files\n{first}loading\n{first}train a: 4/20 steps\n{second}train a: 9/20 steps\n")
    log = LogFile(path)
    assert log.read()
    assert log.log.lines == ("plain: 1/3 files", "loading", "train a: 9/20 steps")
    assert log.log.stamps == ("", first, second)
    add(path, f"{second}epoch 1/2\n".encode())
    assert log.read()
    assert log.log.lines == ("plain: 1/3 files", "loading", "epoch 1/2")
    assert (log.log.dropped, log.log.cut) == (0, False)
