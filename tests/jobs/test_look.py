"""What whoever looks makes of a job whose supervisor is gone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from dataclasses import replace

import pytest

from engine.contract.errors import BadInput
from xray_tui.jobs.actions.stop import stop
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import LockDir, find_lock_dir
from xray_tui.jobs.model.job import Job, JobSpec, State, write_job
from xray_tui.jobs.storage.job_store import JobStore
from xray_tui.jobs.storage.saved_environment import kept_or_own, own_environment
from xray_tui.jobs.supervise.recovery import recover_orphans

from .conftest import Place, eventually, is_alive


def left_behind(place: Place, **changes: object) -> Job:
    """A waiting job that nobody supervises, changed as one death or another would have left it."""
    job = place.launch("succeed", run="b")
    place.until(job)
    eventually(lambda: not file_lock.is_held(LockDir(place.leases).supervised(job.id)))
    fresh = replace(place.job(job), state=State.QUEUED, cause=None, started=None, ended=None, exit_code=None, **changes)
    folder = place.store.folder(job.id)
    for name in ("end.json", "log.txt"):
        (folder / name).unlink()
    write_job(folder, fresh)
    return fresh


def test_a_waiting_job_gets_a_new_supervisor(place: Place) -> None:
    job = left_behind(place)
    place.look()
    assert place.until(job).state is State.SUCCEEDED


def test_a_job_that_was_about_to_start_waits_again(place: Place) -> None:
    job = left_behind(place)
    write_job(place.store.folder(job.id), replace(job, state=State.STARTING, gpus=("GPU-0",), started=1.0))
    place.look()
    job = place.until(job)
    assert (job.state, job.gpus) == (State.SUCCEEDED, ())


def test_a_sign_of_the_engine_forbids_a_second_start(place: Place) -> None:
    job = left_behind(place)
    write_job(place.store.folder(job.id), replace(job, state=State.STARTING))
    place.store.log(job.id).write_text("it began\n")
    place.look()
    assert place.job(job).state is State.LOST


def test_another_boot_loses_what_ran_and_what_waited(place: Place) -> None:
    job = left_behind(place, boot="an earlier one")
    place.look()
    assert (place.job(job).state, place.job(job).cause) == (State.LOST, "the machine was restarted before it began")
    write_job(place.store.folder(job.id), replace(job, state=State.RUNNING))
    place.look()
    assert place.job(job).cause == "the machine was restarted while it ran"


def test_a_job_of_another_host_is_shown_and_not_judged(place: Place) -> None:
    job = left_behind(place, host="elsewhere", boot="theirs")
    before = (place.store.folder(job.id) / "job.json").stat()
    place.look()
    assert (place.store.folder(job.id) / "job.json").stat() == before


def test_a_supervisor_that_failed_with_words_is_not_started_again(place: Place) -> None:
    job = left_behind(place)
    (place.store.folder(job.id) / "supervisor.txt").write_text("Traceback …\nMemoryError: \x1b[2J\n")
    place.look()
    job = place.job(job)
    assert job.state is State.FAILED
    assert job.cause == "its supervisor failed: MemoryError: \N{SYMBOL FOR ESCAPE}[2J"


def test_a_lease_folder_that_is_gone_loses_the_job(place: Place) -> None:
    job = left_behind(place, lease_dir="/no/such\x1bfolder", supervisor=None)
    place.look()
    assert place.job(job).state is State.LOST
    assert "is gone" in (place.job(job).cause or "")


def test_a_job_that_cannot_be_judged_keeps_no_other_from_it(place: Place) -> None:
    odd = left_behind(place)
    for name in ("live", "queue"):
        (place.folder / "odd" / name).mkdir(parents=True)
    (place.folder / "odd" / "live" / f"{odd.id}.sup").symlink_to("/etc/passwd")
    write_job(place.store.folder(odd.id), replace(odd, lease_dir=str(place.folder / "odd"), lease_id=""))
    job = left_behind(place)
    place.look()
    assert place.until(job).state is State.SUCCEEDED
    assert place.job(odd).state is State.QUEUED


def test_two_looks_at_once_start_one_supervisor(place: Place) -> None:
    job = left_behind(place)
    ran = place.folder / "ran"
    write_job(place.store.folder(job.id), replace(job, spec=replace(job.spec, request=("note", str(ran), "once"))))
    threads = [threading.Thread(target=place.look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert place.until(job).state is State.SUCCEEDED
    assert ran.read_text() == "once\n"


def test_what_a_killed_engine_left_behind_is_killed_with_the_verdict(place: Place) -> None:
    pids = place.folder / "pids"
    job = place.launch("stubborn", pids)
    eventually(pids.exists)
    job = place.until(job, State.RUNNING)
    place.kill_supervisor(job)
    engine, *children = json.loads(pids.read_text())
    os.kill(engine, signal.SIGKILL)
    eventually(lambda: place.look()[0].state.ended, "a verdict")
    assert place.job(job).state is State.LOST
    assert [pid for pid in children if is_alive(pid)] == []


@pytest.mark.parametrize("name", [".", "job.json"])
def test_a_job_that_others_could_have_changed_is_not_run_and_not_stopped(place: Place, name: str) -> None:
    job = left_behind(place)
    path = place.store.folder(job.id) / name
    path.chmod(path.stat().st_mode | 0o020)
    place.look()
    assert place.job(job).state is State.QUEUED
    assert not file_lock.is_held(LockDir(place.leases).supervised(job.id))
    with pytest.raises(BadInput, match=r"can be changed by others \(mode 0[67][67][45]\)"):
        stop(place.store, job.id, supervisor=place.supervisor)


def test_a_supervisor_refuses_a_job_that_others_could_have_changed(place: Place) -> None:
    job = left_behind(place)
    folder = place.store.folder(job.id)
    (folder / "job.json").chmod(0o666)
    assert subprocess.run([*place.supervisor, str(folder), "0"], check=False, stdin=subprocess.DEVNULL).returncode == 1
    assert "can be changed by others" in (folder / "supervisor.txt").read_text()
    assert place.job(job).state is State.QUEUED


def replace_leases(place: Place) -> None:
    """A cleaner takes the lock folder away, and somebody makes another there."""
    place.leases.rename(place.folder / "cleaned away")
    find_lock_dir(str(place.leases))


def test_another_lease_folder_in_the_place_of_the_first_is_not_taken_for_it(place: Place) -> None:
    job = left_behind(place, supervisor=None)
    replace_leases(place)
    place.look()
    assert place.job(job).state is State.LOST
    assert "is gone" in (place.job(job).cause or "")


def test_a_waiting_job_takes_no_turn_in_another_lease_folder(place: Place) -> None:
    place.until_working(place.launch("until", place.folder / "never", cpu_slots=1))
    job = place.launch("succeed", run="b", cpu_slots=1)
    place.until_waiting(job, "1 job runs on the CPU already")
    replace_leases(place)
    place.until_waiting(job, "its lock folder was replaced; stop the job and launch it again")
    place.look()
    assert place.job(job).state is State.QUEUED
    stop(place.store, job.id, supervisor=place.supervisor)
    assert place.until(job).state is State.STOPPED


def test_a_copied_runs_folder_runs_and_claims_nothing(place: Place) -> None:
    job = left_behind(place)
    write_job(place.store.folder(job.id), replace(job, spec=replace(job.spec, kind="train")))
    copy = JobStore(place.folder / "copy")
    shutil.copytree(place.runs, copy.runs)
    assert [job.state for job in recover_orphans(copy, place.supervisor)] == [State.QUEUED]
    assert not file_lock.is_held(LockDir(place.leases).supervised(job.id))
    with pytest.raises(BadInput, match=rf"is a copy of a job in {place.runs}; stop it there"):
        stop(copy, job.id, supervisor=place.supervisor)
    launcher = replace(place.launcher(), runs=copy.runs)
    launched = launcher.launch(JobSpec("train", job.spec.run, ("succeed",), "none"))
    eventually(lambda: copy.get(launched.id).state is State.SUCCEEDED)


def test_a_runs_folder_that_is_reached_by_another_path_is_no_copy(place: Place) -> None:
    job = left_behind(place)
    (place.folder / "link").symlink_to(place.runs)
    recover_orphans(JobStore(place.folder / "link"), place.supervisor)
    assert place.until(job).state is State.SUCCEEDED


def test_a_job_of_an_earlier_version_is_judged_without_what_it_did_not_record(place: Place) -> None:
    job = left_behind(place)
    path = place.store.folder(job.id) / "job.json"
    values = json.loads(path.read_text())
    del values["lease_id"], values["folder"]
    path.write_text(json.dumps(values))
    place.look()
    assert place.until(job).state is State.SUCCEEDED


def test_a_new_supervisor_starts_the_engine_in_the_environment_of_the_launch(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = place.folder / "done"
    place.until_working(place.launch("until", done, cpu_slots=1))
    monkeypatch.setitem(os.environb, b"SETTING", b'of the launch: "\\\n\xff')
    job = place.launch("tell", "SETTING", run="b", cpu_slots=1, kind="train")
    place.kill_supervisor(job)
    monkeypatch.setenv("SETTING", "of the looker")
    kept = place.store.folder(job.id) / "environment.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    place.look()
    done.touch()
    assert place.until(job).state is State.SUCCEEDED
    assert place.store.log(job.id).read_bytes() == b'of the launch: "\\\n\xff\n'
    assert not kept.exists()


def test_a_kept_environment_that_is_damaged_is_not_used(place: Place) -> None:
    job = left_behind(place)
    for content in ("{", "[]", '{"PATH": 1}'):
        (place.store.folder(job.id) / "environment.json").write_text(content)
        assert kept_or_own(place.store.folder(job.id)) == own_environment()
    place.look()
    assert place.until(job).state is State.SUCCEEDED
