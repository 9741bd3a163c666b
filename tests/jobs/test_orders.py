"""Another place in the queue, and jobs that begin again in place: real jobs on pretended GPUs."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engine.contract.errors import BadInput
from engine.contract.names import CONFIG
from xray_tui.gpu.snapshot import GpuProcess
from xray_tui.jobs.actions import resume as module
from xray_tui.jobs.actions.queue_actions import hold, move, prioritise, release
from xray_tui.jobs.actions.resume import resume, revive
from xray_tui.jobs.actions.stop import stop
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import LockDir
from xray_tui.jobs.model.gpu_policy import GpuPolicy
from xray_tui.jobs.model.job import Job, JobSpec, State, write_job
from xray_tui.jobs.queue.tickets import Queue
from xray_tui.jobs.storage.job_store import read_job
from xray_tui.jobs.storage.saved_environment import Filter
from xray_tui.system import process

from .conftest import Place, eventually, gpu


def queue_of(place: Place) -> list[str]:
    return [ticket.job for ticket in Queue(LockDir(place.leases)).waiting()]


def served(place: Place, tmp_path: Path) -> list[str]:
    path = tmp_path / "served"
    return path.read_text().split() if path.exists() else []


@pytest.fixture
def three_wait(place: Place, tmp_path: Path) -> tuple[Job, list[Job]]:
    """One job on the only GPU, and three that wait and note their names when they are served."""
    place.have(gpu(0))
    first = place.launch("until", tmp_path / "go", gpu="auto")
    place.until_working(first)
    waiting = [place.launch("note", tmp_path / "served", name, gpu="auto", run=name) for name in "abc"]
    return first, waiting


def test_a_job_is_moved_up_and_down_among_its_owners_jobs(place: Place, tmp_path: Path, three_wait) -> None:
    _, (a, b, c) = three_wait
    move(place.store, c.id, -1)
    move(place.store, a.id, 1)
    assert queue_of(place) == [c.id, a.id, b.id]
    with pytest.raises(BadInput, match="first of your waiting jobs"):
        move(place.store, c.id, -1)
    with pytest.raises(BadInput, match="last of your waiting jobs"):
        move(place.store, b.id, 1)
    (tmp_path / "go").touch()
    for job in (a, b, c):
        assert place.until(job).state is State.SUCCEEDED
    assert served(place, tmp_path) == ["c", "a", "b"]


def test_a_moved_job_keeps_its_place_though_its_supervisor_is_killed(place: Place, three_wait) -> None:
    _, (a, b, c) = three_wait
    move(place.store, c.id, -1)
    eventually(lambda: place.job(c).ticket != c.ticket, "the place in job.json")
    place.kill_supervisor(c)
    place.look()
    assert queue_of(place) == [a.id, c.id, b.id]


def test_a_priority_comes_before_the_number_at_launch_and_later(place: Place, tmp_path: Path, three_wait) -> None:
    _, (a, b, c) = three_wait
    urgent = place.launcher().launch(
        JobSpec("evaluate", "u", ("note", str(tmp_path / "served"), "u"), "auto", priority=10)
    )
    prioritise(place.store, c.id, 20)
    assert queue_of(place) == [urgent.id, c.id, a.id, b.id]
    eventually(lambda: place.job(c).spec.priority == 20, "the priority in job.json")
    with pytest.raises(BadInput, match="0 \\(served first\\) to 99"):
        prioritise(place.store, c.id, 100)


def test_a_job_that_runs_cannot_be_moved(place: Place, three_wait) -> None:
    first, _ = three_wait
    for order in (lambda: move(place.store, first.id, -1), lambda: prioritise(place.store, first.id, 1)):
        with pytest.raises(BadInput, match="is running; move expects a waiting job"):
            order()


def supervisor_of(place: Place, job: Job) -> int:
    eventually(lambda: place.job(job).supervisor, "the supervisor's pid")
    supervisor = place.job(job).supervisor
    assert supervisor is not None
    return supervisor.pid


def in_order(place: Place, *jobs: Job) -> str:
    """The runs of the jobs in the order of the places that their job.json files give them."""
    return "".join(job.spec.run for job in sorted(map(place.job, jobs), key=lambda job: job.ticket))


def kept_out(place: Place, tmp_path: Path, by: str) -> tuple[Job, ...]:
    """Jobs a, b and c of one GPU each, which note their names when they are served, all kept out of the queue."""
    settings: dict[str, object] = {}
    if by == "max_gpus":
        settings["terms"] = GpuPolicy(max_gpus=1)
        place.until_working(place.launch("until", tmp_path / "go", gpu="auto", **settings))
    elif by == "hours":
        soon = time.localtime(time.time() + 2 * 3600)
        settings["terms"] = GpuPolicy(hours=f"{soon.tm_hour:02d}:00-{soon.tm_hour:02d}:01")
    launcher = place.launcher(**settings)
    specs = (JobSpec("evaluate", name, ("note", str(tmp_path / "served"), name), "auto") for name in "abc")
    jobs = tuple(launcher.launch(spec, hold=by == "a hold") for spec in specs)
    eventually(lambda: queue_of(place) == [], "the jobs to leave the queue")
    return jobs


@pytest.mark.parametrize("by", ["max_gpus", "hours", "a hold"])
def test_jobs_that_are_kept_out_of_the_queue_are_moved_as_those_in_it(place: Place, tmp_path: Path, by: str) -> None:
    place.have(*map(gpu, range(2)))
    a, b, c = kept_out(place, tmp_path, by)
    move(place.store, c.id, -1)
    move(place.store, c.id, -1)
    with pytest.raises(BadInput, match="first of your waiting jobs"):
        move(place.store, c.id, -1)
    move(place.store, a.id, 1)
    eventually(lambda: in_order(place, a, b, c) == "cba", "the new order in job.json")
    prioritise(place.store, b.id, 7)
    eventually(lambda: place.job(b).spec.priority == 7, "the priority in job.json")
    assert in_order(place, a, b, c) == "bca"
    if by == "max_gpus":
        (tmp_path / "go").touch()
        for job in (a, b, c):
            place.until(job)
        assert served(place, tmp_path) == ["b", "c", "a"]


def test_a_stopped_supervisor_does_not_keep_the_jobs_after_it_out_of_the_queue(place: Place, tmp_path: Path) -> None:
    place.have(*map(gpu, range(2)))
    a, b, _ = kept_out(place, tmp_path, "max_gpus")
    os.kill(supervisor_of(place, a), signal.SIGSTOP)
    (tmp_path / "go").touch()
    assert place.until(b).state is State.SUCCEEDED
    assert place.job(a).state is State.QUEUED


def test_a_job_in_the_queue_changes_places_with_one_that_is_held(place: Place, three_wait) -> None:
    _, (a, b, c) = three_wait
    hold(place.store, b.id)
    place.until(b, State.HELD)
    eventually(lambda: queue_of(place) == [a.id, c.id], "the held job to leave the queue")
    move(place.store, c.id, -1)
    move(place.store, c.id, -1)
    assert queue_of(place) == [c.id, a.id]
    eventually(lambda: in_order(place, a, b, c) == "cab", "the new order in job.json")
    release(place.store, b.id)
    eventually(lambda: queue_of(place) == [c.id, a.id, b.id], "the released job to come back to its place")


def test_a_job_behind_one_that_waits_by_max_gpus_is_moved_before_it(place: Place, tmp_path: Path) -> None:
    place.have(*map(gpu, range(3)))
    launcher = place.launcher(terms=GpuPolicy(max_gpus=2))
    place.until_working(launcher.launch(JobSpec("evaluate", "first", ("until", str(tmp_path / "go")), "auto")))
    wide = launcher.launch(JobSpec("command", "wide", ("true",), "auto", 2))
    small = launcher.launch(JobSpec("evaluate", "small", ("succeed",), "auto"))
    place.until_waiting(small, "after command wide, which waits because of max_gpus")
    move(place.store, small.id, -1)
    assert place.until(small).state is State.SUCCEEDED
    assert place.job(wide).state is State.QUEUED


def test_a_moved_job_that_is_kept_out_keeps_its_place_though_its_supervisor_is_killed(
    place: Place, tmp_path: Path
) -> None:
    a, b, c = kept_out(place, tmp_path, "a hold")
    os.kill(supervisor_of(place, c), signal.SIGSTOP)
    move(place.store, c.id, -1)
    place.kill_supervisor(c)
    place.look()
    eventually(lambda: in_order(place, a, b, c) == "acb", "the place in job.json")


def test_a_released_job_has_its_place_again_though_it_cannot_begin_yet(place: Place, three_wait) -> None:
    _, (a, b, c) = three_wait
    place.until_waiting(b, "1 job before it")
    hold(place.store, b.id)
    eventually(lambda: queue_of(place) == [a.id, c.id], "the held job to leave the queue")
    release(place.store, b.id)
    eventually(lambda: queue_of(place) == [a.id, b.id, c.id], "the released job to come back")
    move(place.store, b.id, -1)
    assert queue_of(place) == [b.id, a.id, c.id]


# Again, in place


def training(place: Place, *argv: object) -> Job:
    """A training that has come to its config.yaml."""
    job = place.launch(*argv, kind="train", run="unet_a")
    (place.runs / "unet_a").mkdir(exist_ok=True)
    (place.runs / "unet_a" / CONFIG).write_text("seed: 42\n")
    return job


def test_a_stopped_training_is_resumed_in_place_with_its_log_and_its_dependants(place: Place, tmp_path: Path) -> None:
    job = training(place, "until", tmp_path / "never")
    child = place.launcher().launch(JobSpec("evaluate", "unet_a", ("succeed",), "none", after=(job.id,)))
    place.until_working(job)
    stop(place.store, job.id)
    assert place.until(job).state is State.STOPPED
    place.until(child, State.BLOCKED)
    anew = resume(place.store, job.id, place.supervisor)
    assert (anew.id, anew.attempt, anew.cause, anew.exit_code) == (job.id, 2, None, None)
    assert anew.spec.argv == ("train", "--run", str(place.runs / "unet_a"), "--resume")
    assert "resumed" in place.log(job)
    assert place.log(job).startswith("working")
    ended = place.until(job)  # the small program does not know `train`
    assert ended.state is State.FAILED
    eventually(lambda: (place.job(child).waits or "").startswith("train unet_a failed"), "the child's new reason")


def test_a_training_that_never_came_to_its_config_begins_anew(place: Place, tmp_path: Path) -> None:
    job = place.launch("tell", "XRAY_TUI_RUN", kind="train", run="b")
    place.until(job)
    write_job(place.store.folder(job.id), replace(read_job(place.store.folder(job.id)), state=State.FAILED))
    resume(place.store, job.id, place.supervisor)
    assert place.until(job).state is State.SUCCEEDED
    assert place.log(job).count("b\n") == 2


def test_what_cannot_be_resumed_says_why(place: Place, tmp_path: Path) -> None:
    evaluation = place.launch("succeed")
    with pytest.raises(BadInput, match="only a training can be resumed"):
        resume(place.store, evaluation.id)
    job = training(place, "until", tmp_path / "go")
    place.until_working(job)
    with pytest.raises(BadInput, match="is running; there is nothing to resume"):
        resume(place.store, job.id)
    (tmp_path / "go").touch()
    place.until(job)
    with pytest.raises(BadInput, match="has succeeded"):
        resume(place.store, job.id)


def test_a_run_that_another_training_claims_is_not_resumed(place: Place, tmp_path: Path) -> None:
    job = place.launch("without_record", kind="train", run="b")
    place.until(job)
    other = place.launch("until", tmp_path / "go", kind="train", run="b")
    with pytest.raises(BadInput, match=f"claimed by job {other.id}"):
        resume(place.store, job.id, place.supervisor)


def test_after_a_restart_what_waited_waits_again_and_trainings_are_resumed_in_their_order(
    place: Place, tmp_path: Path
) -> None:
    place.have(gpu(0))
    lost_before = place.launch("killed", kind="train", run="k")
    place.until(lost_before)
    ran = training(place, "until", tmp_path / "never")
    evaluated = place.launch("until", tmp_path / "never", run="e")
    place.until_working(ran)
    place.until_working(evaluated)
    blocker = place.launch("until", tmp_path / "never", gpu="auto", run="x")
    place.until_working(blocker)
    waited = [place.launch("succeed", gpu="auto", run=f"w{number}") for number in range(2)]
    jobs = [ran, evaluated, *waited]
    restart(place, *jobs, blocker)
    told = revive(place.store, place.supervisor)
    assert {job.id: problem is None for job, problem in told} == {
        ran.id: True, waited[0].id: True, waited[1].id: True, evaluated.id: False, blocker.id: False,
    }  # fmt: skip
    assert place.job(ran).spec.argv[-1] == "--resume"
    for job in waited:
        assert place.until(job).state is State.SUCCEEDED
    assert place.job(waited[0]).started <= place.job(waited[1]).started
    assert revive(place.store, place.supervisor) == [
        (place.job(job), problem) for job, problem in told if problem is not None
    ]


def restart(place: Place, *jobs: Job) -> None:
    """All processes are gone, and the machine has started anew since."""
    for job in jobs:
        eventually(lambda job=job: place.job(job).supervisor)
    place.clear()
    found = LockDir(place.leases)
    for job in jobs:
        for lock in (found.supervised(job.id), found.runs(job.id)):
            eventually(lambda lock=lock: not file_lock.is_held(lock))
        folder = place.store.folder(job.id)
        write_job(folder, replace(read_job(folder), boot="the boot before"))


def test_after_a_restart_a_job_has_one_place_and_what_was_held_is_held_again(place: Place, three_wait) -> None:
    first, (a, b, c) = three_wait
    hold(place.store, b.id)
    place.until(b, State.HELD)
    restart(place, first, a, b, c)
    place.have(gpu(0, GpuProcess(1, "C", user="eve")))
    assert [state.state for state in place.look()] == [State.LOST] * 4
    assert queue_of(place) == [], "no dead tickets are left behind"
    revive(place.store, place.supervisor)
    assert queue_of(place) == [a.id, c.id]
    eventually(lambda: place.job(b).waits == f"held by {process.user()}", "that it is held")
    assert place.job(b).state is State.HELD


def test_a_ticket_that_was_left_behind_is_no_second_place(place: Place) -> None:
    job = place.launch("without_record", kind="train", run="b")
    place.until(job)
    queue = Queue(LockDir(place.leases))
    queue.put(queue.ticket_for(job, place.store.folder(job.id)))
    resume(place.store, job.id, ("true",))
    assert [ticket.name for ticket in queue.waiting()] == [place.job(job).ticket]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another user")
def test_a_ticket_that_another_user_made_in_the_name_of_a_job_says_nothing(place: Place, three_wait) -> None:
    _, (a, _, _) = three_wait
    queue = Queue(LockDir(place.leases))
    mine = queue.ticket_for(a, place.store.folder(a.id))
    forged = replace(mine, priority=0)
    queue.put(forged)
    os.chown(place.leases / "queue" / forged.name, 65534, 65534)
    assert queue.ticket_for(a, place.store.folder(a.id)) == mine
    queue.withdraw(a.id)
    assert (place.leases / "queue" / forged.name).exists()
    assert not any(ticket.job == a.id for ticket in Queue(LockDir(place.leases)).waiting())


def test_a_resumed_training_whose_supervisor_is_killed_before_it_begins_waits_again(place: Place) -> None:
    job = place.launch("without_record", kind="train", run="b")
    place.until(job)
    resume(place.store, job.id, ("true",))  # a supervisor that is gone at once
    folder = place.store.folder(job.id)
    write_job(folder, replace(read_job(folder), state=State.STARTING))
    eventually(lambda: any(found.state.ended for found in place.look()), "a look once that supervisor is gone")
    ended = place.job(job)
    assert (ended.state, ended.cause) == (State.FAILED, "ended without its end record")
    assert place.log(job).count("all is well") == 2, "what the first attempt said was no sign of the second"


def test_a_log_that_broke_off_amid_a_line_goes_on_in_a_new_one(place: Place) -> None:
    job = place.launch("without_record", kind="train", run="b")
    place.until(job)
    with place.store.log(job.id).open("a") as log:
        log.write("epoch 3: 40 %")
    resume(place.store, job.id, place.supervisor)
    place.until(job)
    assert place.log(job).splitlines()[1] == "epoch 3: 40 %"


def test_what_was_released_once_is_not_blocked_again_when_it_is_resumed(place: Place) -> None:
    parent = place.launch("without_record", kind="train", run="a")
    child = place.launcher().launch(JobSpec("train", "b", ("without_record",), "none", after=(parent.id,)))
    place.until(child, State.BLOCKED)
    release(place.store, child.id)
    place.until(child)
    resume(place.store, child.id, place.supervisor)
    assert place.until(child).attempt == 2


def test_the_cause_of_a_second_end_is_not_taken_from_the_first_ones_log(place: Place) -> None:
    job = place.launch("exit", 1, kind="train", run="b")
    place.until(job)
    resume(place.store, job.id, place.supervisor)
    assert "resumed" not in place.until(job).cause


def test_a_training_whose_lease_folder_is_gone_is_resumed_in_that_of_the_settings(place: Place, tmp_path: Path) -> None:
    job = place.launch("without_record", kind="train", run="b")
    place.until(job)
    place.leases.rename(tmp_path / "old")
    anew = resume(place.store, job.id, place.supervisor, lease_dir=str(tmp_path / "new"))
    assert anew.lease_dir == str(tmp_path / "new")
    assert place.until(job).attempt == 2


def test_a_copy_of_a_job_claims_no_run(place: Place, tmp_path: Path) -> None:
    job = place.launch("without_record", kind="train", run="b")
    place.until(job)
    other = place.launch("until", tmp_path / "go", kind="train", run="b")
    place.until_working(other)
    elsewhere = place.runs / ".jobs" / "a-copy"
    elsewhere.mkdir()
    write_job(elsewhere, replace(read_job(place.store.folder(other.id)), id="a-copy"))
    (tmp_path / "go").touch()
    place.until(other)
    resume(place.store, job.id, place.supervisor)
    assert place.until(job).attempt == 2


def test_two_who_resume_one_training_at_once_begin_it_once(place: Place, tmp_path: Path) -> None:
    job = place.launch("without_record", kind="train", run="b")
    ended = place.until(job)
    resume(place.store, job.id, place.supervisor)
    place.until(job)
    with pytest.raises(BadInput, match="was resumed by another process"):
        module._requeue(place.store, ended, place.supervisor, None, Filter())
    assert place.job(job).attempt == 2
    third = place.job(job)
    job = resume(place.store, third.id, ("sh", "-c", "sleep 5"))
    with pytest.raises(BadInput, match="was resumed by another process"):
        module._requeue(place.store, third, place.supervisor, None, Filter())


# A command


def test_of_a_command_the_exit_status_decides(place: Place) -> None:
    good = place.launcher().launch(JobSpec("command", "script", ("true",), "none"))
    bad = place.launcher().launch(JobSpec("command", "script", ("sh", "-c", "echo no data; exit 3"), "none"))
    assert place.until(good).state is State.SUCCEEDED
    ended = place.until(bad)
    assert (ended.state, ended.exit_code, ended.cause) == (State.FAILED, 3, "exit code 3: no data")


def test_a_command_has_the_same_lease_stop_and_log(place: Place, tmp_path: Path) -> None:
    place.have(gpu(0))
    spec = JobSpec("command", "script", ("sh", "-c", "echo gpu $CUDA_VISIBLE_DEVICES; exec sleep 600"), "auto")
    job = place.launcher().launch(spec)
    place.until_working(job)
    assert place.log(job) == "gpu GPU-0\n"
    stop(place.store, job.id)
    ended = place.until(job)
    assert (ended.state, ended.cause) == (State.STOPPED, f"stopped by {process.user()}")


def test_several_gpus_are_leased_at_once(place: Place, tmp_path: Path) -> None:
    place.have(gpu(0), gpu(1), gpu(2))
    show = ("sh", "-c", "echo $CUDA_VISIBLE_DEVICES; exec sleep 600")
    job = place.launcher().launch(JobSpec("command", "two", show, "auto", gpu_count=2))
    place.until_working(job)
    assert place.log(job) == "GPU-0,GPU-1\n"
    second = place.launcher().launch(JobSpec("command", "two", show, "auto", gpu_count=2))
    place.until_waiting(second, "needs 2 GPUs at once, 1 free")
    third = place.launch("succeed", gpu="auto")
    place.until_waiting(third, "1 job before it")
    stop(place.store, job.id)
    place.until_working(second)
    assert place.until(third).state is State.SUCCEEDED
    with pytest.raises(BadInput, match="there are only 3"):
        place.launcher().launch(JobSpec("command", "two", show, "auto", gpu_count=4))


def test_the_time_of_a_wide_job_runs_also_behind_one_that_waits_for_its_own_gpu(place: Place, tmp_path: Path) -> None:
    place.have(gpu(0), gpu(1))
    first = place.launch("until", tmp_path / "never", gpu="0")
    place.until_working(first)
    place.until_waiting(place.launch("succeed", gpu="0"), "GPU 0 is used by a job")
    wide = place.launcher().launch(JobSpec("command", "wide", ("true",), "auto", gpu_count=2))
    queue = Queue(LockDir(place.leases))
    eventually(lambda: next(ticket for ticket in queue.waiting() if ticket.job == wide.id).since, "since when it waits")
