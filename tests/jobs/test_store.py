"""runs/.jobs read again and again: cheaply, and whatever stands in it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from engine.contract.errors import BadInput
from tests.conftest import calls_of
from xray_tui.jobs.actions.queue_actions import hold
from xray_tui.jobs.actions.resume import resume
from xray_tui.jobs.actions.stop import stop
from xray_tui.jobs.model.job import Job, JobSpec, State, parse_job, write_job
from xray_tui.jobs.storage import job_store as store_module
from xray_tui.jobs.storage.job_store import JobStore, read_stop
from xray_tui.system.process import Process

JOB = Job(
    "261124-054107-k3fz",
    JobSpec("train", "unet", ("train", "--set", "a=\n"), "0"),
    State.RUNNING,
    created=5.5,
    started=6.0,
    gpus=("GPU-1",),
    user="alice",
    host="server",
    boot="b",
    lease_dir="/run/lock/xray-tui",
    ticket="50.000000000001.261124-054107-k3fz",
    wants="GPU-1",
    engine=("python",),
    cwd="/",
    process=Process(17, 4),
)


def write(runs: Path, job: Job) -> Path:
    folder = runs / ".jobs" / job.id
    folder.mkdir(parents=True, exist_ok=True)
    write_job(folder, job)
    return folder


def test_a_job_comes_back_from_its_file_as_it_was_written(tmp_path: Path) -> None:
    folder = write(tmp_path, JOB)
    assert parse_job((folder / "job.json").read_bytes(), JOB.id) == JOB


def test_jobs_are_listed_newest_first(tmp_path: Path) -> None:
    for name, created in (("a", 1.0), ("c", 3.0), ("b", 2.0)):
        write(tmp_path, replace(JOB, id=name, created=created))
    assert [job.id for job in JobStore(tmp_path).jobs()] == ["c", "b", "a"]


def test_only_what_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = JobStore(tmp_path)
    for name in "abc":
        write(tmp_path, replace(JOB, id=name))
    first = store.jobs()
    opened = calls_of(monkeypatch, store_module, "read_small")
    assert store.jobs() == first
    assert opened == []
    write(tmp_path, replace(JOB, id="b", state=State.SUCCEEDED))
    assert {job.id: job.state for job in store.jobs()}["b"] is State.SUCCEEDED
    assert [Path(path).parent.name for (path,) in opened] == ["b"]


def test_a_removed_job_is_forgotten(tmp_path: Path) -> None:
    folder = write(tmp_path, JOB)
    store = JobStore(tmp_path)
    assert len(store.jobs()) == 1
    (folder / "job.json").unlink()
    folder.rmdir()
    assert store.jobs() == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a JSON object; the file may be truncated"),
        (b'{"id": "a", "kind": "tr', "not a JSON object"),
        (b"\xff\xfe\x00", "not a JSON object"),
        (b"[" * 100_000, "not a JSON object"),
        (b" " * (1 << 21), "larger than 1 MiB"),
        (json.dumps({"state": "\x1b[2Jx"}).encode(), "state: expected one of queued"),
        ({"created": float("nan")}, "created: expected a finite number, got nan"),
        ({"created": 10**400}, "expected a finite number"),
        ({"exit_code": 10**40}, "expected an integer"),
        ({"argv": "rm -rf"}, "argv: expected a list of texts, got 'rm -rf'"),
        ({"run": None}, "run: expected text, got None"),
        ({"process": {"pid": 1, "start": 0}}, "expected a process"),
    ],
)
def test_a_damaged_job_is_listed_as_lost_with_the_reason(
    tmp_path: Path, content: bytes | dict[str, object], reason: str
) -> None:
    file = write(tmp_path, JOB) / "job.json"
    file.write_bytes(
        content if isinstance(content, bytes) else json.dumps({**json.loads(file.read_text()), **content}).encode()
    )
    (job,) = JobStore(tmp_path).jobs()
    assert (job.id, job.state, job.readable) == (JOB.id, State.LOST, False)
    assert job.cause is not None
    assert job.cause.startswith("job.json: ")
    assert reason in job.cause
    assert job.cause.isprintable()


def test_a_job_of_a_newer_version_is_listed_with_that_reason_and_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path, replace(JOB, state=State.STOPPED)) / "job.json"
    path.write_text(path.read_text().replace("xray-job/1", "xray-job/2"))
    before = path.read_bytes()
    store = JobStore(tmp_path)
    (job,) = store.jobs()
    says = "job.json: written by a newer version (xray-job/2); this version reads xray-job/1"
    assert (job.readable, job.state, job.cause) == (False, State.LOST, says)
    for order in (stop, resume, hold):
        with pytest.raises(BadInput, match="written by a newer version"):
            order(store, JOB.id)
    assert path.read_bytes() == before


def test_names_and_texts_of_a_hostile_job_are_safe_to_print(tmp_path: Path) -> None:
    spec = replace(JOB.spec, run="a\x1b[2J\n", gpu="\u202e")
    write(tmp_path, replace(JOB, spec=spec, cause="x\x07", user="\x9b"))
    (job,) = JobStore(tmp_path).jobs()
    assert all(text.isprintable() for text in (job.spec.run, job.spec.gpu, job.cause or "", job.user))


def test_a_folder_without_a_job_is_no_job(tmp_path: Path) -> None:
    (tmp_path / ".jobs" / "empty").mkdir(parents=True)
    (tmp_path / ".jobs" / "file").touch()
    assert JobStore(tmp_path).jobs() == []
    assert JobStore(tmp_path / "missing").jobs() == []


def test_progress_with_nonsense_in_it_is_left_out(tmp_path: Path) -> None:
    folder = write(tmp_path, JOB)
    store = JobStore(tmp_path)
    for text in ('{"done": 1', '{"done": NaN, "total": 2, "unit": "x", "phase": "y"}', '{"done": -1, "total": 2}'):
        (folder / "progress.json").write_text(text)
        assert store.jobs()[0].progress is None


@pytest.mark.parametrize("name", ["../x", "", ".hidden", "nothing\x1b"])
def test_an_unknown_id_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="no such job") as error:
        JobStore(tmp_path).get(name)
    assert str(error.value).isprintable()


def test_a_job_that_cannot_be_opened_is_listed_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / ".jobs" / "a" / "job.json").mkdir(parents=True)
    (job,) = JobStore(tmp_path).jobs()
    assert (job.state, job.cause) == (State.LOST, "job.json: not a regular file")


@pytest.mark.parametrize("name", ["job.json", "progress.json", "stop.json"])
def test_a_pipe_in_place_of_a_file_keeps_nobody_waiting(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path, JOB)
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    (job,) = JobStore(tmp_path).jobs()
    assert (job.readable, job.cause) == (
        (False, "job.json: not a regular file") if name == "job.json" else (True, None)
    )
    assert read_stop(folder) is None
