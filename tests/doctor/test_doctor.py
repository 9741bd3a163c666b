"""`xray-tui doctor`: what is told of this server, from its real files, from pretended ones, and in which words."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import resource
import subprocess
import sys
import threading
import time
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from tests.conftest import write
from tests.gpu.conftest import built  # noqa: F401 - a fixture
from tests.gpu.fake import gpu
from xray_tui.cli.main import main
from xray_tui.doctor.checks.engine import engine, needed
from xray_tui.doctor.checks.file_watching import judge_limits as judge_watches
from xray_tui.doctor.checks.file_watching import judge_refusal, watching
from xray_tui.doctor.checks.folders import judge_leases, judge_runs, lease_place, next_place, runs_place
from xray_tui.doctor.checks.gpus import gpus, judge_gpus
from xray_tui.doctor.checks.resources import (
    GIB,
    disk,
    judge_disk,
    judge_limits,
    judge_quota,
    judge_shared_memory,
    quota,
    shared_memory,
)
from xray_tui.doctor.checks.session_end import what_happens
from xray_tui.doctor.checks.settings import export, judge_settings, on_end
from xray_tui.doctor.checks.torch_build import judge_torch, torch_build
from xray_tui.doctor.findings import Context, Finding, Mark, as_json, as_lines, ask, bad, ok, unknown, warn
from xray_tui.doctor.run_checks import run_checks
from xray_tui.gpu.snapshot import GpuSample, GpuSnapshot
from xray_tui.jobs.locks.lock_dir import LOCK_DIR_ENV, find_lock_dir
from xray_tui.jobs.preflight.disk_space import parse_quota
from xray_tui.settings import Settings
from xray_tui.system.login_session import Place, Session
from xray_tui.system.logind import Kills

A100 = GpuSample(0, "GPU-0", "A100", processes=())


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the user's settings nor the machine's leases."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv(LOCK_DIR_ENV, str(tmp_path / "leases"))
    monkeypatch.delenv("XRAY_TUI_WATCH", raising=False)


@pytest.fixture
def context(runs: Path) -> Context:
    return Context(runs)


# The command


def test_every_line_has_a_sign_and_the_status_says_if_anything_is_bad(runs: Path) -> None:
    found = doctor("--runs", str(runs), "--json")
    findings = json.loads(found.stdout)
    names = [finding["name"] for finding in findings]
    expected = ["settings", "xray-tui", "driver", "torch", "engine", "runs", "disk", "quota", "watching", "leases"]
    expected += ["session", "shared memory", "open files"]
    assert [name for name in names if name in expected] == expected
    assert found.returncode == any(finding["mark"] == "bad" for finding in findings)
    assert all(finding["remedy"] for finding in findings if finding["mark"] in ("warn", "bad"))


def test_a_runs_folder_that_is_not_there_is_bad_and_the_rest_is_looked_at(tmp_path: Path) -> None:
    found = doctor("--runs", str(tmp_path / "none\x1b"))
    assert found.returncode == 1
    assert "✗ bad  runs" in found.stdout
    assert "none␛: no such folder" in " ".join(found.stdout.split()), "however long the path makes the line"
    assert "open files" in found.stdout


def doctor(*words: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, in which torch is not there: its import takes seconds."""
    code = (
        "import sys; import xray_tui.doctor.checks.torch_build as build; from xray_tui.cli.main import main;"
        'build._QUESTION = \'print("{\\\\"import\\\\": \\\\"no\\\\"}")\'; sys.exit(main(sys.argv[1:]))'
    )
    return subprocess.run(
        [sys.executable, "-c", code, "doctor", *words],
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
        env={**os.environ, "LANG": "C"},
    )


def test_doctor_is_named_among_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "doctor" in capsys.readouterr().out


def test_findings_read_as_sign_mark_name_and_remedy() -> None:
    lines = as_lines([ok("disk", "65 GiB free"), bad("leases", "closed", "open it"), unknown("quota", "no command")])
    assert lines == [
        "✓ ok   disk           65 GiB free",
        "✗ bad  leases         closed",
        "                      → open it",
        "?      quota          not known: no command",
    ]
    assert as_json(warn("a", "b", "c")) == {"name": "a", "mark": "warn", "found": "b", "remedy": "c"}


# Checks that hang or fail


def test_a_check_that_hangs_delays_no_other_and_is_not_known(context: Context) -> None:
    release = threading.Event()

    def hangs(context: Context) -> list[Finding]:
        release.wait(30)
        return []

    def fails(context: Context) -> list[Finding]:
        raise ValueError("odd\x1b")

    began = time.monotonic()
    checks = [("first", hangs), ("second", fails), ("third", lambda context: [ok("third", "well")])]
    found = list(run_checks(context, checks, timeout=0.2))
    release.set()
    assert time.monotonic() - began < 10
    assert [(finding.name, finding.mark, finding.found) for finding in found] == [
        ("first", Mark.UNKNOWN, "not known: no answer within 0.2 s"),
        ("second", Mark.UNKNOWN, "not known: ValueError: odd␛"),
        ("third", Mark.OK, "well"),
    ]


def test_a_program_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    began = time.monotonic()
    assert ask(["sleep", "60"], 0.2) is None
    assert time.monotonic() - began < 10
    assert ask([str(tmp_path / "none")], 5) is None
    assert ask(["false"], 5) is None
    assert ask(["echo", "yes"], 5) == "yes\n"


# GPUs and torch


def test_gpus_are_told_by_the_driver_and_a_lost_one_is_bad() -> None:
    both = GpuSnapshot((A100, replace(A100, index=1, problem="is lost")), driver="550.54")
    first, second = judge_gpus(both, 2)
    assert first == ok("driver", "NVIDIA 550.54, NVML answers: 2 × A100")
    assert (second.name, second.mark, second.found) == ("GPU 1", Mark.BAD, "is lost")


def test_a_gpu_that_works_without_a_listed_process_is_sampled_again_and_said_to_be_in_use(
    context: Context,
    built: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scenario = write(tmp_path / "scenario.txt", f"{gpu(0, 'mem_used = 14GiB', 'util = 97')}\n{gpu(1)}\n")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(built / "lib"))
    monkeypatch.setenv("FAKENVML_SCENARIO", str(scenario))
    found = [finding for finding in gpus(context) if finding.name == "GPU 0"]
    assert [(finding.mark, finding.found) for finding in found] == [
        (Mark.WARN, "in use: 14.0 GiB and 97 % utilisation of no listed process")
    ]


def test_a_gpu_that_is_plugged_in_without_a_driver_is_bad_and_none_at_all_is_not() -> None:
    (here,) = judge_gpus(GpuSnapshot(problem="No driver."), 1)
    assert (here.mark, here.found) == (Mark.BAD, "1 NVIDIA GPU is installed, but: No driver.")
    assert judge_gpus(GpuSnapshot(problem="No driver."), 0)[0].mark is Mark.WARN


@pytest.mark.parametrize(
    ("build", "installed", "visible", "mark", "words"),
    [
        ({"import": "ModuleNotFoundError: No module named 'torch'"}, 0, None, Mark.BAD, "not installed"),
        ({"import": "ImportError: libcudart.so.12"}, 0, None, Mark.BAD, "cannot be imported: ImportError: libcudart"),
        ({"version": "2.9.0", "cuda": None}, 2, None, Mark.BAD, "built without CUDA: a training would run on the"),
        ({"version": "2.9.0", "cuda": None}, 0, None, Mark.OK, "2.9.0, built without CUDA"),
        ({"version": "2.9.0", "cuda": None, "hip": "6.2"}, 0, None, Mark.OK, "built for ROCm"),
        ({"version": "2.9.0", "cuda": "12.8", "problem": "driver is too old"}, 1, None, Mark.BAD,
         "built for CUDA 12.8, finds no GPU: driver is too old"),
        ({"version": "2.9.0", "cuda": "12.8", "gpus": []}, 1, "", Mark.BAD, "(CUDA_VISIBLE_DEVICES='' hides GPUs)"),
        ({"version": "2.9.0", "cuda": "12.8", "gpus": []}, 0, None, Mark.OK, "finds no GPU"),
        ({"version": "2.9.0", "cuda": "12.8", "gpus": ["A100 sm_80", "H100 sm_90"], "archs": ["sm_80", "sm_90"]}, 2,
         None, Mark.OK, "built for CUDA 12.8, finds 2 GPUs"),
        ({"version": "2.9.0", "cuda": "12.8", "gpus": ["RTX sm_86"], "archs": ["sm_80", "sm_90"]}, 1, None, Mark.OK,
         "finds 1 GPU"),
        ({"version": "2.9.0", "cuda": "12.8", "gpus": ["GTX 1080 sm_61"], "archs": ["sm_75", "compute_90"]}, 1, None,
         Mark.BAD, "no kernels for GTX 1080 sm_61"),
        ({"version": "2.9.0", "cuda": "12.8", "gpus": ["B200 sm_100"], "archs": ["sm_90", "compute_90"]}, 1, "0",
         Mark.WARN, "CUDA_VISIBLE_DEVICES='0' may hide other GPUs"),
    ],
)  # fmt: skip
def test_what_torch_says_of_itself(
    build: dict[str, object], installed: int, visible: str | None, mark: Mark, words: str
) -> None:
    (found,) = judge_torch(build, installed, visible)
    assert found.mark is mark
    assert words in found.found
    assert mark is Mark.OK or found.remedy


def test_the_real_torch_is_asked_in_a_process_of_its_own(context: Context) -> None:
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    (found,) = torch_build(context)
    assert found.found.startswith(metadata.version("torch"))


def test_the_engines_packages_are_named_with_their_versions(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"torch", "numpy", "segmentation-models-pytorch"} <= set(needed())
    assert not {"pytest", "textual"} & set(needed())
    monkeypatch.setattr("xray_tui.doctor.checks.engine.needed", lambda: ["numpy", "not-there-at-all"])
    (found,) = engine(context)
    assert found.mark is Mark.BAD
    assert found.found.startswith("missing: not-there-at-all; installed: numpy ")
    assert "pip install 'xray-tui[engine]'" in found.remedy


# Watching


def test_inotify_is_tried_and_its_folders_are_counted(runs: Path, context: Context) -> None:
    for name in ("a", "b/c", "a/checkpoints"):
        (runs / name).mkdir(parents=True)
    (found,) = watching(context)
    if found.mark is Mark.OK:
        assert found.found.startswith("inotify, 4 folders to watch of ")
    else:  # the machine's own limits, or a file system that is deaf
        assert found.remedy


def test_more_folders_than_the_kernel_watches_is_bad_and_many_are_a_warning() -> None:
    full = judge_refusal(OSError(errno.ENOSPC, "no space"), 9000, 8192, 128)
    assert (full.mark, full.found.split(":")[0]) == (
        Mark.BAD,
        "9,000 folders, and the 8,192 inotify watches of this user are used up",
    )
    assert "fs.inotify.max_user_watches=524288" in full.remedy
    taken = judge_refusal(OSError(errno.EMFILE, "too many"), 9, 8192, 128)
    assert "all 128 inotify instances" in taken.found
    assert "max_user_instances=512" in taken.remedy
    assert judge_refusal(OSError(errno.ENOSYS, "no inotify"), 9, None, None).mark is Mark.WARN
    assert [judge_watches(count, 8192, 128).mark for count in (4000, 5000)] == [Mark.OK, Mark.WARN]
    assert judge_watches(10, None, None).mark is Mark.UNKNOWN


def test_polling_that_the_user_chose_is_a_warning(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XRAY_TUI_WATCH", "poll")
    (found,) = watching(context)
    assert (found.mark, found.remedy) == (Mark.WARN, "unset XRAY_TUI_WATCH")


# Places


@pytest.mark.parametrize(
    ("kind", "container", "mark", "words"),
    [
        ("ext4", False, Mark.OK, "on ext4"),
        ("nfs4", False, Mark.OK, "other machines may write there too"),
        ("tmpfs", False, Mark.WARN, "lost at the next restart"),
        ("vfat", False, Mark.BAD, "has no file owners"),
        ("overlay", True, Mark.WARN, "lost when the container is removed"),
        ("overlay", False, Mark.OK, "on overlay"),
        ("", False, Mark.UNKNOWN, "not known"),
    ],
)
def test_a_file_system_is_told_by_what_it_means_for_runs(kind: str, container: bool, mark: Mark, words: str) -> None:
    found = judge_runs("/data/runs", kind, container)
    assert found.mark is mark
    assert words in found.found


def test_the_runs_folders_own_file_system_is_named(context: Context) -> None:
    found = runs_place(context)[0]
    assert found.name == "runs"
    assert str(context.runs) in found.found


def test_a_network_file_system_shm_and_a_cleaned_folder_are_no_places_for_leases(tmp_path: Path) -> None:
    assert judge_leases(tmp_path, "nfs4", True, False, False).mark is Mark.BAD
    assert judge_leases(Path("/dev/shm/x"), "tmpfs", False, False, False).mark is Mark.BAD
    beside = tmp_path / "not" / "there"
    assert judge_leases(beside, "ext4", False, False, False).found.endswith("the first job creates it for all users")


def test_a_lease_folder_is_looked_at_and_never_made(tmp_path: Path, context: Context) -> None:
    (found,) = lease_place(context)
    assert "not created yet" in found.found
    assert not (tmp_path / "leases").exists()
    made = find_lock_dir(str(tmp_path / "leases"))
    (found,) = lease_place(context)
    assert str(made.path) in found.found
    assert "not created" not in found.found
    assert judge_leases(made.path, "ext4", True, True, False).found.endswith("jobs of other users cannot be seen")
    made.path.chmod(0o755)
    assert "is closed to others" in judge_leases(made.path, "ext4", True, False, False).found


def test_the_setting_comes_before_the_environment(tmp_path: Path) -> None:
    environ = {LOCK_DIR_ENV: "/b"}
    assert next_place("/a", environ) == Path("/a")
    assert next_place(None, environ) == Path("/b")


# Room


def test_little_room_is_a_warning_and_none_is_bad(context: Context) -> None:
    assert [judge_disk(size * GIB, 900 * GIB, None).mark for size in (800, 12, 1)] == [Mark.OK, Mark.WARN, Mark.BAD]
    assert judge_disk(800 * GIB, 900 * GIB, 0).mark is Mark.BAD
    assert judge_disk(800 * GIB, 900 * GIB, 7).found == "800 GiB free of 900 GiB"
    assert " free of " in disk(context)[0].found


QUOTA = """Disk quotas for user ana (uid 1000):
     Filesystem  blocks   quota   limit   grace   files   quota   limit   grace
server:/home {used} {soft} 524288000       0   81234  {files}       0       0
   /dev/sdb1       4       0       0       0       1       0       0       0
"""


@pytest.mark.parametrize(
    ("used", "soft", "files", "mark", "words"),
    [
        ("104857600", 419430400, 0, Mark.OK, "100 GiB used of 400 GiB on server:/home"),
        ("408944640", 419430400, 0, Mark.WARN, "390 GiB used of 400 GiB"),
        ("419430401*", 419430400, 0, Mark.BAD, "400 GiB used of 400 GiB"),
        ("104857600", 419430400, 81000, Mark.BAD, "81,234 of 81,000 files"),
    ],
)
def test_a_quota_is_read_as_the_command_prints_it(used: str, soft: int, files: int, mark: Mark, words: str) -> None:
    told = QUOTA.format(used=used, soft=soft, files=files)

    def judged(source: str) -> Finding:
        return judge_quota(parse_quota(told, source), source)

    assert judged("server:/home").mark is mark
    assert words in judged("server:/home").found
    assert judged("/dev/sdb1").found == "no quota for you on /dev/sdb1"
    assert judged("/dev/sdc1") == unknown("quota", "`quota` does not list /dev/sdc1")


def test_the_quota_command_is_asked_where_it_is_and_its_status_is_no_failure(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xray_tui.system.mounts import read_mountinfo, source_of

    source = source_of(context.runs, read_mountinfo())
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (found,) = quota(context)
    assert (found.mark, found.found) == (Mark.UNKNOWN, "not known: there is no `quota` command here")
    program = write(tmp_path / "bin" / "quota", f"#!/bin/sh\necho '{source} 900* 800 1000 9 1 0 0 0'\nexit 1\n")
    program.chmod(0o755)
    (found,) = quota(context)
    assert (found.mark, found.found.split(":")[0]) == (Mark.BAD, f"0 MiB used of 0 MiB on {source}")


def test_dockers_shared_memory_is_too_small_for_workers(context: Context) -> None:
    marks = [judge_shared_memory(size << 20, size << 20).mark for size in (64, 512, 8192)]
    assert marks == [Mark.BAD, Mark.WARN, Mark.OK]
    (found,) = shared_memory(replace(context, root=context.runs))
    assert found.mark is Mark.BAD
    assert "No such file" in found.found


# Limits


def test_limits_that_end_a_training_are_told() -> None:
    none = resource.RLIM_INFINITY
    assert [finding.mark for finding in judge_limits((20000, 20000), none, none)] == [Mark.OK]
    names = [(finding.name, finding.mark) for finding in judge_limits((256, 4096), 3600, 1 << 30)]
    assert names == [("open files", Mark.WARN), ("CPU time", Mark.WARN), ("file size", Mark.WARN)]
    assert judge_limits((256, 4096), none, none)[0].remedy.startswith("ulimit -n 4096")


# The session's end


@pytest.mark.parametrize(
    ("session", "mark", "words"),
    [
        (Session(Place.SESSION, "session-7.scope", "ana", Kills(False, "logind"), False), Mark.OK, "jobs continue"),
        (Session(Place.SESSION, "session-7.scope", "ana", Kills(True, "logind", spared=("ana",)), False), Mark.OK,
         "spares ana"),
        (Session(Place.SESSION, "session-7.scope", "ana", Kills(True, "logind"), False), Mark.BAD, "KillUserProcesses"),
        (Session(Place.SESSION, "session-7.scope", "ana", Kills(), False), Mark.UNKNOWN, "not known: no file"),
        (Session(Place.MANAGER, "user@7.service", "ana", Kills(True), False), Mark.BAD, "ends with your last session"),
        (Session(Place.MANAGER, "user@7.service", "ana", Kills(True), True), Mark.OK, "which lingers"),
        (Session(Place.SERVICE, "jupyter.service", "ana", Kills(False), False), Mark.WARN, "jupyter.service"),
        (Session(Place.SLURM, "81", "ana", Kills(False), False), Mark.BAD, "Slurm job 81"),
        (Session(Place.CONTAINER, user="ana"), Mark.WARN, "jobs end with the container"),
        (Session(user="ana"), Mark.OK, "jobs continue"),
    ],
)  # fmt: skip
def test_what_becomes_of_a_job_at_the_sessions_end(session: Session, mark: Mark, words: str) -> None:
    found = what_happens(session, {})
    assert found.mark is mark
    assert words in found.found
    assert mark is Mark.OK or found.remedy


def test_a_slurm_job_without_a_control_group_is_not_guessed_about() -> None:
    assert what_happens(Session(user="ana"), {"SLURM_JOB_ID": "12"}).mark is Mark.UNKNOWN


# Settings


def test_problems_of_the_settings_and_a_command_that_is_not_there_are_told(context: Context) -> None:
    (found,) = judge_settings(["settings.yaml: mouse: perhaps"])
    assert (found.mark, found.found) == (Mark.WARN, "settings.yaml: mouse: perhaps")
    assert judge_settings([])[0].found.endswith("no such file; all settings have their defaults")
    assert on_end(context) == []


def test_the_program_of_on_end_has_to_be_there_and_executable(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name, mode in (("tell", 0o755), ("plain", 0o644)):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(mode)
    for program, mark, said in (
        ("echo", Mark.OK, "runs after each job"),
        (f"{tmp_path}/tell", Mark.OK, "runs after each job"),
        ("~/tell", Mark.OK, "runs after each job"),
        ("./tell", Mark.WARN, "relative to the folder from which a job is launched"),
        ("~/plain", Mark.BAD, "not executable"),
        (str(tmp_path), Mark.BAD, "a folder"),
        ("/no/such", Mark.BAD, "no such file"),
        ("no-such", Mark.BAD, "no such program on the PATH"),
        ("mail -s done ana", Mark.BAD, "a command runs without a shell"),
    ):
        (found,) = on_end(replace(context, settings=Settings(on_end=(program, "x"))))
        assert (found.mark, said in found.found) == (mark, True), found


def test_files_and_folders_that_the_settings_name_are_looked_at(context: Context, tmp_path: Path) -> None:
    assert export(context) == []
    (tmp_path / "closed").mkdir(mode=0o555)
    for path, said in (
        (tmp_path / "BOARD.md", ""),
        (tmp_path, "a folder; expected a file"),
        (tmp_path / "no" / "BOARD.md", "its folder does not exist"),
        *([(tmp_path / "closed" / "BOARD.md", "you cannot write into its folder")] if os.getuid() else []),
    ):
        (found,) = export(replace(context, settings=Settings(export=path)))
        assert (found.mark, said in found.found) == (Mark.BAD if said else Mark.OK, True), found
