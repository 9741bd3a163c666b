"""Arrays that are kept: made once by however many ask, never taken half made, and done without where it must be."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from engine.data.arrays import Layout, cached

LAYOUT: Layout = {"numbers": (np.int32, (1000,)), "flags": (np.bool_, (10, 10))}


def fill(numbers: np.ndarray, flags: np.ndarray) -> None:
    assert not numbers.any()
    numbers[:] = np.arange(1000)
    flags[3] = True


def never(*arrays: np.ndarray) -> None:
    raise AssertionError("it is there already")


def test_arrays_are_filled_once_and_then_read(tmp_path: Path) -> None:
    made = cached(tmp_path / "a", LAYOUT, fill)
    read = cached(tmp_path / "a", LAYOUT, never)
    in_memory = cached(None, LAYOUT, fill)
    for one, other, third in zip(made, read, in_memory, strict=True):
        assert np.array_equal(one, other)
        assert np.array_equal(one, third)
        assert not other.flags.writeable


@pytest.mark.parametrize("damage", ["cut short", "one missing", "another layout", "no array"])
def test_what_is_damaged_is_made_anew(damage: str, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    cached(folder, LAYOUT, fill)
    path = folder / "numbers.npy"
    if damage == "cut short":
        os.truncate(path, path.stat().st_size - 100)
    elif damage == "one missing":
        path.unlink()
    elif damage == "another layout":
        np.save(path, np.arange(999, dtype=np.int32))
    else:
        path.write_text("nothing")
    assert np.array_equal(cached(folder, LAYOUT, fill)[0], np.arange(1000))
    assert np.array_equal(cached(folder, LAYOUT, never)[0], np.arange(1000))


def test_what_cannot_be_written_stays_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    numbers, _ = cached(tmp_path / "file" / "below", LAYOUT, fill)
    assert np.array_equal(numbers, np.arange(1000))


def test_a_disk_that_is_full_leaves_nothing_half_made(tmp_path: Path) -> None:
    """A limit on the size of files stands for it: both fail where the space is taken."""
    code = f"""
import signal, resource
import numpy as np
from engine.data.arrays import cached
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, {resource.RLIM_INFINITY}))
def fill(numbers):
    numbers[:] = 7
(numbers,) = cached(__import__("pathlib").Path({str(tmp_path / "a")!r}), {{"numbers": (np.int32, (1000,))}}, fill)
assert (numbers == 7).all()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    def fail(*arrays: np.ndarray) -> None:
        raise ValueError("a damaged image")

    with pytest.raises(ValueError, match="damaged"):
        cached(tmp_path / "a", LAYOUT, fail)
    assert list(tmp_path.iterdir()) == []


def test_processes_that_want_the_same_make_it_once(tmp_path: Path) -> None:
    code = f"""
import os, time
from pathlib import Path
import numpy as np
from engine.data.arrays import cached
folder = Path({str(tmp_path)!r})
def fill(numbers):
    (folder / f"made-{{os.getpid()}}").touch()
    while not (folder / "go").exists():
        time.sleep(0.01)
    numbers[:] = 7
(folder / f"here-{{os.getpid()}}").touch()
(numbers,) = cached(folder / "cache" / "a", {{"numbers": (np.int32, (1000,))}}, fill)
assert (numbers == 7).all()
"""
    processes = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(3)]
    deadline = time.monotonic() + 60
    while len([*tmp_path.glob("here-*")]) < 3 or not [*tmp_path.glob("made-*")]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (tmp_path / "go").touch()
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert len([*tmp_path.glob("made-*")]) == 1
