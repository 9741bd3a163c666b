"""The command that is run when a job has ended: what it is told, what it may cost, whose it may be."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from xray_tui.jobs.model.job import Job, JobSpec, State, write_job
from xray_tui.jobs.supervise import end_hook
from xray_tui.system import process

from .conftest import Place, eventually, is_alive

PYTHON = (sys.executable, "-S", "-c")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of an ended job."""
    folder = tmp_path / "runs" / ".jobs" / "250101-000000-abcd"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    return folder


def ended(folder: Path, **more: object) -> Job:
    values: dict[str, object] = {
        "cause": "out of memory",
        "started": 100.0,
        "ended": 160.4,
        "exit_code": 4,
        "gpus": ("GPU-1", "GPU-2"),
        "user": "ana",
        "host": "gpu1",
        **more,
    }
    job = Job(folder.name, JobSpec("train", "seeds/seed_42", ()), State.FAILED, **values)  # type: ignore[arg-type]
    write_job(folder, job)
    return job


def said(folder: Path) -> str:
    path = folder / end_hook.OUTPUT
    return path.read_text() if path.exists() else ""


def test_the_command_finds_the_jobs_facts_in_its_environment(folder: Path) -> None:
    ask = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('XRAY_JOB_')}))"
    end_hook.keep(folder, (*PYTHON, ask))
    end_hook.run(ended(folder), folder)
    first, last = said(folder).splitlines()
    assert json.loads(first) == {
        "XRAY_JOB_ID": folder.name,
        "XRAY_JOB_RUN": "seeds/seed_42",
        "XRAY_JOB_KIND": "train",
        "XRAY_JOB_STATE": "failed",
        "XRAY_JOB_CAUSE": "out of memory",
        "XRAY_JOB_EXIT_CODE": "4",
        "XRAY_JOB_SECONDS": "60",
        "XRAY_JOB_GPUS": "GPU-1,GPU-2",
        "XRAY_JOB_USER": "ana",
        "XRAY_JOB_HOST": "gpu1",
        "XRAY_JOB_FOLDER": str(folder),
        "XRAY_JOB_LOG": str(folder / "log.txt"),
        "XRAY_JOB_RUN_FOLDER": str(folder.parents[1] / "seeds" / "seed_42"),
    }
    assert last.endswith(f" on_end: {Path(sys.executable).name}: done")


def test_it_is_run_without_a_shell_in_the_folder_of_the_launch(folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "tell"
    script.write_text('#!/bin/sh\npwd\nprintf "%s\\n" "$@"\n')
    script.chmod(0o755)
    end_hook.keep(folder, (str(script), "$HOME; rm *", "two words"))
    end_hook.run(ended(folder, cwd=str(tmp_path)), folder)
    assert said(folder).splitlines()[:-1] == [str(tmp_path), "$HOME; rm *", "two words"]


def test_started_it_is_a_process_of_its_own_and_the_job_is_as_it_was(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "told"
    end_hook.keep(
        folder, (*PYTHON, "import os; open(os.sys.argv[1], 'w').write(os.environ['XRAY_JOB_CAUSE'])", str(mark))
    )
    ended(folder)
    before = (folder / "job.json").read_bytes()
    end_hook.start(folder)
    eventually(lambda: said(folder).endswith("done\n"), "the command's end")
    assert mark.read_text() == "out of memory"
    assert (folder / "job.json").read_bytes() == before


@pytest.mark.parametrize(
    ("command", "how"),
    [
        ((*PYTHON, "raise SystemExit(7)"), "exit code 7"),
        ((*PYTHON, "import os; os.kill(os.getpid(), 9)"), "killed by signal 9"),
        (("/no/such/program",), "could not be started: No such file or directory"),
        (("nul\0",), "could not be started: embedded null byte"),
    ],
)
def test_a_command_that_fails_is_noted_beside_the_job(folder: Path, command: tuple[str, ...], how: str) -> None:
    end_hook.keep(folder, command)
    end_hook.run(ended(folder), folder)
    assert said(folder).splitlines()[-1].endswith(f": {how}")


def test_one_that_does_not_end_is_killed_with_its_children(folder: Path, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    end_hook.keep(folder, ("/bin/sh", "-c", f"sleep 600 & echo $! $$ > {pids}; sleep 600"))
    end_hook.run(ended(folder), folder, limit=0.5)
    assert said(folder).endswith(": took longer than 0.5 s and was killed\n")
    eventually(lambda: not any(is_alive(int(pid)) for pid in pids.read_text().split()), "their end")


def test_what_it_says_is_appended_to_what_was_said_before(folder: Path) -> None:
    job = ended(folder)
    for word in ("first", "second"):
        end_hook.keep(folder, ("/bin/echo", word))
        end_hook.run(job, folder)
    assert [line for line in said(folder).splitlines() if "on_end" not in line] == ["first", "second"]


def test_the_command_is_for_its_owners_eyes_and_nobody_elses_counts(folder: Path) -> None:
    end_hook.keep(folder, ("/bin/echo", "https://chat/secret"))
    path = folder / end_hook.COMMAND
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o666)
    end_hook.run(ended(folder), folder)
    end_hook.start(folder)
    assert (end_hook.kept(folder), said(folder)) == ((), "")


@pytest.mark.parametrize("content", ["", "[]", '{"command": "rm -r /"}', '{"command": [1]}', '{"command": ['])
def test_a_damaged_wish_is_none(folder: Path, content: str) -> None:
    path = folder / end_hook.COMMAND
    path.write_text(content)
    path.chmod(0o600)
    assert end_hook.kept(folder) == ()


def test_no_wish_keeps_nothing_and_starts_nothing(folder: Path) -> None:
    end_hook.keep(folder, ())
    end_hook.start(folder)
    assert not list(folder.iterdir())


def test_a_job_that_goes_on_tells_nobody_yet(folder: Path) -> None:
    write_job(folder, Job(folder.name, JobSpec("train", "a", ()), State.RUNNING))
    end_hook.keep(folder, ("/bin/echo", "too early"))
    done = subprocess.run(
        [sys.executable, "-m", "xray_tui.jobs.supervise.end_hook", str(folder)], check=False, env=os.environ
    )
    assert (done.returncode, said(folder)) == (0, "")


def test_whoever_finds_a_job_lost_starts_the_command_once(place: Place) -> None:
    ask = ("/bin/sh", "-c", "echo $XRAY_JOB_STATE: $XRAY_JOB_CAUSE")
    job = place.until_working(place.launch("until", place.folder / "never", on_end=ask))
    place.kill_supervisor(job)
    assert job.process is not None
    process.send(job.process, signal.SIGKILL)
    eventually(lambda: place.look()[0].state is State.LOST, "the job's loss")
    folder = place.store.folder(job.id)
    eventually(lambda: said(folder).endswith("done\n"), "the command's end")
    place.look()
    assert said(folder).splitlines()[0].startswith("lost: its supervisor and its engine died")
    assert len(said(folder).splitlines()) == 2


def test_the_marks_of_a_job_that_launched_this_one_are_not_handed_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop of that job would kill the command with its members."""
    monkeypatch.setenv(process.JOB_MARK, "another")
    end_hook.keep(folder, (*PYTHON, f"import os; print(os.environ.get({process.JOB_MARK!r}))"))
    end_hook.run(ended(folder), folder)
    assert said(folder).splitlines()[0] == "None"
