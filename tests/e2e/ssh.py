"""A real sshd on loopback, for this user alone, and logins to it."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
PermitUserEnvironment no
"""

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")


class Server:
    """The daemon; used in a `with`, which ends it and every login."""

    def __init__(self, folder: Path) -> None:
        assert SSHD is not None
        folder.mkdir()
        for name in ("host_key", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        self._folder = folder
        self._port = _free_port()
        (folder / "config").write_text(CONFIG.format(port=self._port, folder=folder))
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # without it sshd refuses to give up root before a login
        self._process = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", folder / "config"], stderr=(folder / "log").open("wb")
        )

    def __enter__(self) -> Server:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
                return self
            except OSError:
                said = (self._folder / "log").read_text()
                assert self._process.poll() is None, f"sshd has ended: {said}"
                assert time.monotonic() < deadline, f"sshd does not listen: {said}"
                time.sleep(0.05)

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()

    def login(self, command: str, cwd: Path, env: Mapping[str, str]) -> list[str]:
        """The words of an `ssh` that runs the command in a terminal there, with only these variables besides."""
        words = " ".join(f"{name}={_quoted(value)}" for name, value in env.items())
        remote = f"cd {_quoted(str(cwd))} && exec env {words} {command}"
        known = ["-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={self._folder / 'known'}"]
        user = pwd.getpwuid(os.getuid()).pw_name
        return ["ssh", "-tt", "-q", "-i", str(self._folder / "key"), *known, "-p", str(self._port),
                f"{user}@127.0.0.1", remote]  # fmt: skip


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
