"""Logs of every size and kind: the end at once, any line by its number, and what happens to a file meanwhile."""

from __future__ import annotations

import os
import random
import tracemalloc
from pathlib import Path

import pytest

from xray_tui.logs.line_index import BLOCK, LineIndex
from xray_tui.logs.line_reader import LONGEST_LINE, LineReader
from xray_tui.logs.log_file import AROUND, TAIL, LogFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.txt"


def counted(path: Path) -> LogFile:
    """The log with all its lines counted."""
    log = LogFile(path)
    while log.step():
        pass
    return log


def line(log: LogFile, number: int) -> str | None:
    return log.page(number).line(number)


def add(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def numbered(count: int) -> bytes:
    """Lines of about 90 bytes."""
    return b"".join(b"line %d %s\n" % (number, b"." * 80) for number in range(count))


def test_every_line_is_found_by_its_number_wherever_blocks_and_pieces_end(path: Path) -> None:
    chance = random.Random(7)
    lines = [bytes(chance.choices(b"abc \xc3", k=chance.choice((0, 3, 60, 500, BLOCK - 1, BLOCK)))) for _ in range(300)]
    data = b"\n".join(lines)  # the last one is open
    path.write_bytes(data)
    index, at = LineIndex(), 0
    while at < len(data):
        size = chance.choice((1, 7, 4096, BLOCK, 3 * BLOCK))
        index.add(data[at : at + size])
        at += size
    assert (index.lines, index.end) == (len(lines), len(data))
    with path.open("rb") as file:
        reader = LineReader(file.fileno(), index)
        for number in chance.sample(range(300), 300):
            assert reader.line(number) == lines[number].decode("utf-8", "replace")[:LONGEST_LINE]


def test_the_end_of_a_large_log_is_there_before_its_lines_are_counted(path: Path) -> None:
    path.write_bytes(numbered(100_000))
    log = LogFile(path)
    assert log.step()
    page = log.page(None)
    assert 0 < page.counted < 1
    assert page.lines[-1].startswith("line 99999 ")
    assert page.total < 100_000
    local = page.total - 40
    assert line(log, local).startswith("line 99960 ")
    while log.step():
        pass
    page = log.page(local + log.shift)
    assert (page.counted, page.total) == (1.0, 100_000)
    assert page.line(99_960).startswith("line 99960 ")
    assert line(log, 0).startswith("line 0 ")
    assert line(log, 54_321).startswith("line 54321 ")


def test_a_page_holds_some_screens_of_lines_and_no_more(path: Path) -> None:
    path.write_bytes(numbered(20_000))
    log = counted(path)
    for around in (None, 0, 10_000, 19_999, 10**9, -5):
        page = log.page(around)
        assert page.total == 20_000
        assert AROUND <= len(page.lines) <= 3 * AROUND
        assert page.lines[0].startswith(f"line {page.first} ")


def test_a_log_of_200_mb_costs_no_memory(path: Path) -> None:
    with path.open("wb") as file:  # full of nothing: no room is needed for it on the disk
        file.truncate(200 << 20)
    add(path, b"\nthe end\n")
    tracemalloc.start()
    try:
        log = counted(path)
        page = log.page(None)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert page.lines[-1] == "the end"
    assert len(page.lines[0]) == LONGEST_LINE
    assert most < 16 << 20


def test_a_line_is_shown_before_its_newline_comes_and_a_progress_bar_by_its_last_state(path: Path) -> None:
    path.write_bytes(b"begun\n 10%|#  |\r 20%|## |")
    log = counted(path)
    assert log.page(None).lines == ("begun", " 20%|## |")
    add(path, b"\r 30%|###|\ndone \x1b[31mred\x1b[0m \x9b2J \xff\n")
    assert log.step()
    assert log.page(None).lines == ("begun", " 30%|###|", "done red �2J �")
    assert not log.step()


def test_a_progress_bar_of_megabytes_is_one_line_with_its_last_state(path: Path) -> None:
    states = b"".join(b"\r%7d/50000 |%s|" % (state, b"#" * 60) for state in range(50_000))
    path.write_bytes(b"begun\n" + states + b"\nval 0.25\n")
    page = counted(path).page(None)
    assert page.lines == ("begun", f"  49999/50000 |{'#' * 60}|", "val 0.25")


def test_binary_garbage_is_shown_and_harmless(path: Path) -> None:
    path.write_bytes(random.Random(5).randbytes(2 << 20))
    log = counted(path)
    for around in (0, log.index.lines // 2, None):
        assert all(line.isprintable() and len(line) <= LONGEST_LINE for line in log.page(around).lines)


def test_a_log_that_grows_keeps_its_numbers(path: Path) -> None:
    path.write_bytes(b"one\ntw")
    log = counted(path)
    edition = log.page(None).edition
    add(path, b"o\nthree\n")
    assert log.step()
    page = log.page(None)
    assert (page.lines, page.edition, page.total) == (("one", "two", "three"), edition, 3)


def test_a_log_that_was_cut_replaced_or_written_anew_is_another_edition(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"a first attempt\n" * 10)
    log = counted(path)
    editions = [log.page(None).edition]

    def next_page() -> tuple[str, ...]:
        assert log.step()
        editions.append(log.page(None).edition)
        return log.page(None).lines

    path.write_bytes(b"cut\n")
    assert next_page() == ("cut",)
    other = tmp_path / "other"
    other.write_bytes(b"rep\n")
    os.replace(other, path)
    assert next_page() == ("rep",)
    path.write_bytes(b"written anew, and longer than before\n")
    assert next_page() == ("written anew, and longer than before",)
    path.write_bytes(b"")
    assert next_page() == ()
    assert len(set(editions)) == len(editions)


def test_a_log_that_is_not_there_gone_or_no_file_has_nothing_new(path: Path) -> None:
    log = LogFile(path)
    assert not log.step()
    assert log.page(None).total == 0
    path.write_bytes(b"hello\n")
    assert log.step()
    assert log.page(None).lines == ("hello",)
    path.unlink()
    assert not log.step()
    assert log.page(0).lines == ("hello",)
    os.mkfifo(path)
    assert not log.step()


def test_a_tail_without_a_newline_begins_where_it_can(path: Path) -> None:
    path.write_bytes(b"first\n" + b"x" * (2 * TAIL) + b"\r" + b"state of a bar")
    log = LogFile(path)
    assert log.step()
    assert log.page(None).lines[-1] == "state of a bar"
