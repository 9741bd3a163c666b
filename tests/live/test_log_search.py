"""Searching a log: the next line that shows some words, in both directions, around the ends, in time."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest

from engine.contract.names import LOG
from tests.live.test_log_file import counted, numbered
from xray_tui.feeds.job_files import Follow, Followed
from xray_tui.logs.line_index import BLOCK
from xray_tui.logs.log_search import Found, LogSearch, Search

PATIENCE = 30.0


def find(path: Path, words: str, start: int = 0, step: int = 1) -> int | None:
    """The line that is found."""
    told: list[Found] = []
    search = Search(words, start, step)
    thread = LogSearch(path, counted(path).index, search, start, lambda _, found: told.append(found))
    thread.run()
    assert told[-1].over
    assert told[-1].search == search
    return told[-1].line


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / LOG


def test_the_next_line_is_found_in_both_directions_and_around_the_ends(path: Path) -> None:
    lines = [f"line {number}" for number in range(5000)]
    for number in (10, 2500, 4999):
        lines[number] += " CUDA out of memory"
    path.write_text("\n".join(lines))
    assert [find(path, "out of MEMORY", start) for start in (0, 10, 11, 2501, 4999, 5000)] == [
        10, 10, 2500, 4999, 4999, 10,
    ]  # fmt: skip
    assert [find(path, "Cuda", start, -1) for start in (4999, 4998, 2499, 9, -1)] == [4999, 2500, 10, 4999, 4999]
    assert find(path, "cuda out of gas") is None
    assert find(path, "cuda out of gas", 4000, -1) is None


@pytest.mark.parametrize("step", [1, -1])
def test_a_word_across_a_border_of_blocks_is_found(path: Path, step: int) -> None:
    for place in (BLOCK - 3, 2 * BLOCK - 1, 3 * BLOCK):
        text = bytearray(b"." * (4 * BLOCK))
        text[99::100] = b"\n" * len(text[99::100])
        text[place - place % 100] = ord(".")
        text[place : place + 6] = b"needle"
        path.write_bytes(text)
        assert find(path, "needle", 1000, step) == bytes(text[:place]).count(b"\n")


def test_a_line_matches_as_it_is_shown(path: Path) -> None:
    states = b"".join(b"\r%d%% hidden" % state for state in range(100)) + b"\r100% done\n"
    coloured = b"\x1b[31mERR\x1b[0mOR\x1b[0m: here\n"
    path.write_bytes(states + coloured + "Größe\n".encode() + b"a.b\naxb\n")
    assert find(path, "hidden") is None
    assert find(path, "100% DONE") == 0
    assert find(path, "error: here") == 1
    assert find(path, "31m") is None
    assert find(path, "GRÖSSE") is None
    assert find(path, "grÖße") == 2
    assert find(path, "a.b") == 3
    assert find(path, "A.B", 4) == 3


def test_a_line_of_megabytes_is_looked_at_once_and_only_as_far_as_it_is_shown(path: Path) -> None:
    path.write_bytes(b"first\n" + b"x" * (5 << 20) + b" needle" * 1000 + b"\nneedle\n")
    assert find(path, "needle") == 2
    assert find(path, "needle", 2, -1) == 2
    assert find(path, "first", 1, -1) == 0


def test_an_empty_log_and_one_that_is_gone_have_no_match(path: Path) -> None:
    path.write_bytes(b"")
    assert find(path, "x") is None
    path.write_bytes(b"x\n")
    index = counted(path).index
    path.unlink()
    told: list[Found] = []
    LogSearch(path, index, Search("x", 0), 0, lambda _, found: told.append(found)).run()
    assert [(found.over, found.line) for found in told] == [(True, None)]


def test_a_cancelled_search_ends_and_says_nothing(path: Path) -> None:
    path.write_bytes(numbered(1000))
    told: list[Found] = []
    thread = LogSearch(path, counted(path).index, Search("nothing", 0), 0, lambda _, found: told.append(found))
    thread.cancel()
    thread.run()
    assert told == []


class Heard:
    """What a follower tells, waited for."""

    def __init__(self, folder: Path) -> None:
        self.last = Followed("none")
        self._told = Event()
        self.follow = Follow("j1", folder, None, self._hear)

    def _hear(self, followed: Followed) -> None:
        self.last = followed
        self._told.set()

    def until(self, search: Search) -> Found:
        """The outcome of this search."""
        while (found := self.last.found) is None or found.search != search or not found.over:
            assert self._told.wait(PATIENCE)
            self._told.clear()
        return found


def test_a_follower_searches_as_soon_as_all_lines_are_counted_and_the_newest_search_wins(path: Path) -> None:
    path.write_bytes(numbered(100_000))
    heard = Heard(path.parent)
    for number in range(20):
        heard.follow.search(Search(f"no such words {number}", 0))
    heard.follow.start()
    last = Search("line 77777 ", 0)
    heard.follow.search(last)
    try:
        assert heard.until(last).line == 77_777
        heard.follow.want(77_777)
        again = Search("LINE 77777 ", 99_000, -1)
        heard.follow.search(again)
        assert heard.until(again).line == 77_777
        assert heard.last.log.line(77_777).startswith("line 77777 ")
    finally:
        heard.follow.stop()
