"""Whether a job outlives the session that launched it, told from files as servers have them."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import write
from xray_tui.cli.main import main
from xray_tui.jobs.locks.lock_dir import LOCK_DIR_ENV
from xray_tui.system.login_session import Place, Session, this_session, why_it_would_end
from xray_tui.system.logind import Kills, read_kills
from xray_tui.system.process import user_name

from .conftest import Place as Ground

ME = user_name(os.getuid())
UID = os.getuid()
SSH = f"0::/user.slice/user-{UID}.slice/session-7.scope\n"
MANAGER = f"0::/user.slice/user-{UID}.slice/user@{UID}.service/app.slice/run-u12.scope\n"
DEBIAN = "[Login]\n#NAutoVTs=6\n#KillUserProcesses=no\n#KillOnlyUsers=\n#KillExcludeUsers=root\n"


def server(root: Path, cgroup: str = SSH, logind: str = DEBIAN, **more: str) -> Path:
    """The files of a server with systemd on which this process lies in that control group."""
    (root / "run/systemd/system").mkdir(parents=True)
    write(root / "proc/self/cgroup", cgroup)
    write(root / "etc/systemd/logind.conf", logind)
    for path, text in more.items():
        write(root / path.replace("__", "/"), text)
    return root


def session(root: Path) -> Session:
    """As this_session finds it, but for somebody who is neither root nor the container's first process."""
    return replace(this_session(root), is_first=False, user="ana")


def test_where_logind_kills_nothing_a_job_survives_the_session(tmp_path: Path) -> None:
    found = session(server(tmp_path))
    assert (found.place, found.name, found.lingers) == (Place.SESSION, "session-7.scope", False)
    assert found.kills.of("ana") is False
    assert why_it_would_end(found) is None


def test_where_logind_kills_with_the_session_it_says_what_to_do(tmp_path: Path) -> None:
    root = server(tmp_path, logind="[Login]\nKillUserProcesses=yes\n")
    reason = why_it_would_end(session(root))
    assert reason is not None
    assert reason.startswith("logind kills jobs at logout (KillUserProcesses=yes)")
    assert "`loginctl enable-linger ana` once, then start with `systemd-run --user --scope xray-tui`" in reason
    lingering = why_it_would_end(replace(session(root), lingers=True))
    assert lingering is not None
    assert "enable-linger" not in lingering


def test_a_scope_of_the_user_manager_lives_as_long_as_that_lingers(tmp_path: Path) -> None:
    root = server(tmp_path, MANAGER, logind="[Login]\nKillUserProcesses=yes\n")
    found = session(root)
    assert (found.place, found.name) == (Place.MANAGER, f"user@{UID}.service")
    reason = why_it_would_end(found)
    assert reason is not None
    assert "ends with your last session: `loginctl enable-linger ana`" in reason
    write(root / f"var/lib/systemd/linger/{ME}", "")
    assert this_session(root).lingers is True
    assert why_it_would_end(session(root)) is None


def test_after_su_it_is_the_sessions_user_who_counts(tmp_path: Path) -> None:
    root = server(tmp_path, cgroup=SSH.replace(f"user-{UID}", "user-4321"))
    assert this_session(root).user == user_name(4321)


@pytest.mark.parametrize(
    ("cgroup", "place", "name"),
    [
        ("12:pids:/user.slice\n1:name=systemd:/user.slice/user-1000.slice/session-c2.scope\n0::/\n",
         Place.SESSION, "session-c2.scope"),
        ("0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0\n", Place.SLURM, "4711"),
        ("9:cpuset:/slurm/uid_1000/job_812/step_batch\n0::/system.slice/slurmd.service\n", Place.SLURM, "812"),
        ("0::/system.slice/jupyterhub.service\n", Place.SERVICE, "jupyterhub.service"),
        ("0::/system.slice/system-xrdp.slice/xrdp@1.service\n", Place.SERVICE, "xrdp@1.service"),
        ("0::/\n", Place.NONE, ""),
        ("", Place.NONE, ""),
    ],
)  # fmt: skip
def test_what_the_control_group_says(tmp_path: Path, cgroup: str, place: Place, name: str) -> None:
    found = this_session(server(tmp_path, cgroup))
    assert (found.place, found.name) == (place, name)


def test_a_slurm_job_takes_with_it_what_is_launched_inside() -> None:
    assert why_it_would_end(Session(Place.SLURM, "4711")) == (
        "this shell is in Slurm job 4711, and jobs end with it: launch from outside"
    )


def test_in_a_container_the_hosts_control_groups_say_nothing(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", MANAGER)
    write(tmp_path / ".dockerenv", "")
    found = session(tmp_path)
    assert (found.place, found.lingers) == (Place.CONTAINER, None)
    assert why_it_would_end(found) is None
    first = why_it_would_end(replace(found, is_first=True))
    assert first is not None
    assert "first process" in first


def test_without_systemd_nothing_is_killed(tmp_path: Path) -> None:
    found = session(tmp_path)
    assert (found.place, found.lingers, found.kills.of("ana")) == (Place.NONE, None, False)
    assert why_it_would_end(found) is None


def test_the_files_of_logind_are_read_as_logind_reads_them(tmp_path: Path) -> None:
    write(tmp_path / "usr/lib/systemd/logind.conf", "[Login]\n#KillUserProcesses=yes\n")
    assert read_kills(tmp_path) == Kills(True, str(tmp_path / "usr/lib/systemd/logind.conf"))
    write(tmp_path / "etc/systemd/logind.conf", "[Login]\nKillUserProcesses=on\n")  # the only one that counts now
    write(tmp_path / "usr/lib/systemd/logind.conf.d/50-site.conf", "[Login]\nKillUserProcesses = No\n")
    found = read_kills(tmp_path)
    assert (found.all_users, found.source) == (False, str(tmp_path / "usr/lib/systemd/logind.conf.d/50-site.conf"))
    override = write(tmp_path / "etc/systemd/logind.conf.d/50-site.conf", "[Login]\nKillUserProcesses=perhaps\n[X]\n"
                     "KillUserProcesses=no\n")  # fmt: skip
    assert read_kills(tmp_path).all_users is True
    override.unlink()
    override.symlink_to("/dev/null")
    assert read_kills(tmp_path).all_users is True
    write(tmp_path / "run/systemd/logind.conf.d/60.conf", "[Login]\nKillUserProcesses=yes\nKillUserProcesses=0\n")
    assert read_kills(tmp_path).all_users is False


def test_users_may_be_named_or_spared(tmp_path: Path) -> None:
    write(tmp_path / "etc/systemd/logind.conf", "[Login]\nKillUserProcesses=yes\nKillExcludeUsers=ana \\\n bob\n")
    kills = read_kills(tmp_path)
    assert [kills.of(name) for name in ("root", "ana", "bob", "eve")] == [False, False, False, True]
    write(
        tmp_path / "etc/systemd/logind.conf", "[Login]\nKillUserProcesses=yes\nKillOnlyUsers=eve\nKillExcludeUsers=\n"
    )
    kills = read_kills(tmp_path)
    assert [kills.of(name) for name in ("root", "ana", "eve")] == [False, False, True]


def test_what_nothing_says_is_not_known(tmp_path: Path) -> None:
    assert read_kills(tmp_path).of("ana") is None
    assert why_it_would_end(Session(Place.SESSION, user="ana")) is None


def test_a_launch_by_command_says_it_and_goes_on(
    place: Ground, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place.folder / "config"))
    monkeypatch.setenv(LOCK_DIR_ENV, str(place.leases))
    monkeypatch.setattr("xray_tui.system.login_session.this_session", lambda: Session(Place.SLURM, "4711"))
    launch = ["launch", "command", "--runs", str(place.runs), "--gpu", "none", "--run", "a", "--", "true"]
    assert main(launch) == 0
    told = capsys.readouterr()
    assert told.err == "xray-tui: this shell is in Slurm job 4711, and jobs end with it: launch from outside\n"
    place.until(place.store.get(told.out.strip()))


def test_it_is_cheap_enough_for_every_form() -> None:
    times = []
    for _ in range(5):
        began = time.perf_counter()
        why_it_would_end(this_session())
        times.append(time.perf_counter() - began)
    assert min(times) < 0.05
