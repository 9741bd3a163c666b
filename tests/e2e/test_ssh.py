"""Over a real SSH connection that is cut: the app goes, the job stays, the next login sees it."""

from __future__ import annotations

import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import XRAY_TUI, Desk
from tests.e2e.keys import job_line, launch_by_keys
from tests.e2e.ssh import SSHD, Server
from tests.e2e.terminal import Terminal
from xray_tui.jobs.actions.stop import stop
from xray_tui.jobs.model.job import State
from xray_tui.jobs.storage.job_store import JobStore
from xray_tui.system import process

SECONDS = 20.0
"""In which the app has to be gone."""


@pytest.fixture
def server(desk: Desk) -> Iterator[Server]:
    if SSHD is None or shutil.which("ssh") is None:
        pytest.skip("needs sshd and ssh (Debian: openssh-server, openssh-client)")
    with Server(desk.folder / "sshd") as server:
        yield server


def log_in(server: Server, desk: Desk) -> Terminal:
    """`xray-tui runs` in a login of its own."""
    names = ("TERM", "HF_HUB_OFFLINE", "OMP_NUM_THREADS", "XRAY_TUI_LEASE_DIR")
    env = {name: value for name, value in desk.env.items() if name in names or name.startswith("XDG_")}
    words = server.login(f"{XRAY_TUI} {desk.runs.name}", desk.folder, env)
    return Terminal(words, columns=150, lines=40, env=desk.env)


def apps_on(desk: Desk) -> list[psutil.Process]:
    """The apps that are open on the desk's runs, over whatever way."""
    found = []
    for each in psutil.process_iter(["cmdline", "cwd", "status"]):
        words = each.info["cmdline"] or []
        is_app = any(word.endswith("/xray-tui") for word in words) and words[-1] == desk.runs.name
        if is_app and each.info["cwd"] == str(desk.folder) and each.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(each)
    return [each for each in found if each.name() != "ssh"]


def test_a_cut_connection_ends_the_app_and_not_the_job(desk: Desk, radiographs: Path, server: Server) -> None:
    with log_in(server, desk) as app:
        launch_by_keys(app, "night", 10_000)
        app.wait(re.compile(r"epoch [1-9]\d*/10000"))
        (remote,) = apps_on(desk)
        app.kill()  # the client; nothing says goodbye

    spent = _gone(remote)
    assert spent < SECONDS / 4, f"it span: {spent:.1f} s of CPU after the cut"
    job = desk.job("train")
    assert job.state is State.RUNNING
    assert job.process is not None
    assert process.is_alive(job.process)
    assert job.supervisor is not None
    assert process.is_alive(job.supervisor)

    with log_in(server, desk) as app:
        app.wait(job_line("▶", "running", "train", "night"))
        steps = desk.job("train").progress
        assert steps is not None
        deadline = time.monotonic() + 60
        while desk.job("train").progress.done <= steps.done:
            assert time.monotonic() < deadline, "the job does not go on"
            time.sleep(0.1)
        app.press("q")
        assert app.exit_status() == 0
    stop(JobStore(desk.runs), job.id)


def _gone(app: psutil.Process) -> float:
    """Wait until the app is gone; how much CPU it spent meanwhile, in seconds."""
    before = sum(app.cpu_times()[:2])
    spent, deadline = 0.0, time.monotonic() + SECONDS
    while app.is_running() and app.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, f"the app is still there; it has spent {spent:.1f} s of CPU"
        try:
            spent = sum(app.cpu_times()[:2]) - before
        except psutil.NoSuchProcess:
            break
        time.sleep(0.05)
    return spent


def test_a_login_that_the_server_drops_leaves_no_app(desk: Desk, server: Server) -> None:
    with log_in(server, desk) as app:
        app.wait("No jobs yet")
        (remote,) = apps_on(desk)
        session = remote.parents()[0]
        while "sshd" not in session.name():
            session = session.parents()[0]
        session.send_signal(signal.SIGKILL)
        _gone(remote)
    assert apps_on(desk) == []
