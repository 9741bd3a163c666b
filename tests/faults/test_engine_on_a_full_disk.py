"""A disk, a quota or a file-size limit that is full: one line with the path, nothing half written, and a way on."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.contract.errors import Exit

from .conftest import WarmEngine
from .test_resume import STEPS_PER_EPOCH, Reference, leftovers, outcome, reference, training

__all__ = ["reference"]  # the fixture

Mount = Callable[[int], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Mount]:
    """Gives a disk of that many KiB in memory, or makes the one there is as large."""
    place = tmp_path / "disk"
    place.mkdir()

    def give(kib: int) -> Path:
        how = ["-o", f"{'remount,' if place.is_mount() else ''}size={kib}k"]
        done = subprocess.run(["mount", "-t", "tmpfs", *how, "tmpfs", str(place)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"may not mount a tmpfs here: {done.stderr.strip()}")
        return place

    yield give
    if place.is_mount():
        subprocess.run(["umount", str(place)], check=True)


def fill(place: Path) -> None:
    """Until not a page is left."""
    with contextlib.suppress(OSError), (place / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))


def begun(engine: WarmEngine, project: Path, radiographs: Path, run: Path) -> bytes:
    """A run killed behind its first epoch; its last.pt."""
    engine.run(training(project, radiographs, run, 0), ("behind last.pt", 1, 0.0))
    return (run / "checkpoints" / "last.pt").read_bytes()


def test_a_disk_that_fills_up_ends_a_training_which_goes_on_where_there_is_room_again(
    disk: Mount, warm_engine: WarmEngine, reference: Reference, project: Path, radiographs: Path
) -> None:
    import torch

    run = disk(5_000) / "run"  # room for both checkpoints, not for writing the next ones beside them
    best, last = (run / "checkpoints" / name for name in ("best.pt", "last.pt"))
    assert warm_engine.run(training(project, radiographs, run, 0)) == Exit.NO_SPACE
    assert warm_engine.said()[-1] in [f"no space left: {path}: No space left on device" for path in (best, last)]
    assert torch.load(last, weights_only=True)["state"]["step"] == STEPS_PER_EPOCH
    assert leftovers(run) == []
    disk(20_000)
    assert warm_engine.run(training(project, radiographs, run, 0)) == 0
    assert outcome(run) == reference.outcome


def test_a_disk_without_a_byte_left_for_events_is_told_with_their_path(
    disk: Mount, warm_engine: WarmEngine, project: Path, radiographs: Path
) -> None:
    place = disk(20_000)
    last = begun(warm_engine, project, radiographs, place / "run")
    events = place / "run" / "events.jsonl"
    events.write_text("")  # its first byte needs a page
    fill(place)
    assert warm_engine.run(training(project, radiographs, place / "run", 0)) == Exit.NO_SPACE
    assert warm_engine.said()[-1] == f"no space left: {events}: No space left on device"
    assert (place / "run" / "checkpoints" / "last.pt").read_bytes() == last


def test_a_limit_on_the_size_of_files_is_told_with_the_path(
    warm_engine: WarmEngine, project: Path, radiographs: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    last = begun(warm_engine, project, radiographs, run)
    for largest, file in ((300_000, "checkpoints/best.pt"), (1_000_000, "checkpoints/last.pt"), (700, "events.jsonl")):
        (run / "checkpoints" / "best.pt").unlink(missing_ok=True)
        assert warm_engine.run(training(project, radiographs, run, 0), largest_file=largest) == Exit.NO_SPACE
        assert warm_engine.said()[-1] in (
            f"no space left: {run / file}: File too large",
            f"no space left: {run / 'checkpoints/last.pt'}: File too large",  # where no epoch was the best
        )
        assert (run / "checkpoints" / "last.pt").read_bytes() == last
        assert leftovers(run) == []


def test_an_artifact_without_room_is_told_with_its_path_and_leaves_nothing(
    warm_engine: WarmEngine, project: Path, radiographs: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    begun(warm_engine, project, radiographs, run)
    evaluate = ["evaluate", "--run", str(run), "--tta", "none", "--bootstrap", "0"]
    assert warm_engine.run(evaluate, largest_file=20_000) == Exit.NO_SPACE
    assert warm_engine.said()[-1].startswith(f"no space left: {run}/predictions/")
    assert warm_engine.said()[-1].endswith("/probabilities.npy: File too large")
    assert sorted(path.name for path in run.glob("predictions/*")) == []
    assert warm_engine.run(evaluate) == 0
    assert warm_engine.run([*evaluate, "--threshold", "0.3"], largest_file=1500) == Exit.NO_SPACE
    assert warm_engine.said()[-1] == f"no space left: {run}/test_metrics_thr030.json: File too large"
    assert [path.name for path in run.glob("*.json")] == ["test_metrics_tuned.json"]
    assert leftovers(run) == []
