"""Real users for tests that run as root: two uids that nobody has, each with a process in which they work."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
_COMMAND = "import sys; from xray_tui.cli.main import main; sys.exit(main())"


def unused_uids(count: int) -> list[int]:
    """So many uids that neither a name nor a process has; other ones for tests that run beside these."""
    taken = {entry.pw_uid for entry in pwd.getpwall()}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                taken.update(process.uids())
    first = 60100 + count * (os.getpid() % 1000)
    return [uid for uid in range(first, first + len(taken) + count) if uid not in taken][:count]


def become(uid: int, group: int) -> list[str]:
    """The words before a command that is to run as this user, of this group."""
    return ["setpriv", f"--reuid={uid}", f"--regid={group}", "--clear-groups", "--"]


def environment(home: Path) -> dict[str, str]:
    """The environment of a user whose home that is; other Pythons find the packages of this one."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join((str(PROJECT), str(HERE / "others_site"))),
        "XRAY_TEST_PACKAGES": sysconfig.get_path("purelib"),
    }


@cache
def python_for_others() -> str | None:
    """A Python of this version that a user who is not root can run the jobs with: this one may lie in root's home."""
    named = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, shutil.which(named, path=os.defpath)):
        if candidate is None:
            continue
        tried = subprocess.run(
            # Through a shell: setpriv itself may still reach what the user may not.
            [
                *become(60100, 60100),
                "sh",
                "-c",
                '"$@"',
                "sh",
                candidate,
                "-c",
                "import xray_tui.jobs.launch.launcher, psutil",
            ],
            env=environment(Path("/")),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if tried.returncode == 0:
            return candidate
    return None


def need_users() -> str:
    """The Python for other users; skips the test where there can be none."""
    if os.getuid() != 0:
        pytest.skip("needs root, to run as two other users")
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv (util-linux), to run as two other users")
    if (python := python_for_others()) is None:
        pytest.skip("needs a Python, and this project, that users other than root can read")
    return python


@dataclass
class User:
    """Works in a process of theirs, with a home of their own."""

    uid: int
    group: int
    home: Path
    umask: int
    environment: dict[str, str]
    process: subprocess.Popen[str]

    @classmethod
    def come(cls, uid: int, group: int, home: Path, gpus: Path, umask: int, **more: str) -> User:
        """At work, once their process is ready. `more` goes into the environment."""
        home.mkdir()
        os.chown(home, uid, group)
        home.chmod(0o700)
        own = environment(home) | more
        process = subprocess.Popen(
            [*become(uid, group), need_users(), "-P", str(HERE / "at_work.py"), str(gpus)],
            env=own,
            cwd="/",
            umask=umask,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return cls(uid, group, home, umask, own, process)

    @property
    def name(self) -> str:
        """As jobs call them."""
        return f"uid {self.uid}"

    def send(self, given: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(given) + "\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def command(self, *words: object) -> subprocess.CompletedProcess[str]:
        """The real command line, with these words."""
        return self._runs([need_users(), "-P", "-c", _COMMAND, *map(str, words)])

    def does(self, script: str, *words: object) -> subprocess.CompletedProcess[str]:
        """A shell script of theirs, with $1 and so on."""
        return self._runs(["sh", "-c", script, "sh", *map(str, words)])

    def _runs(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*become(self.uid, self.group), *words],
            env=self.environment, umask=self.umask, cwd="/",
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def leave(self) -> None:
        """End all that this user has running."""
        self.process.kill()
        self.process.wait()
        while left := [each for each in psutil.process_iter() if _belongs(each, self.uid)]:
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGKILL)
            time.sleep(0.01)


def _belongs(process: psutil.Process, uid: int) -> bool:
    try:
        return process.uids().real == uid and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def all_ready(users: Sequence[User]) -> None:
    for user in users:
        assert user.hear() == "here"
