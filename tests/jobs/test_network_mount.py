"""A lock folder on a real network file system (sshfs, of which no server is needed): refused, and rightly so."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.contract.errors import BadInput
from xray_tui.doctor.checks.folders import judge_leases
from xray_tui.doctor.findings import Mark
from xray_tui.jobs.locks import file_lock
from xray_tui.jobs.locks.lock_dir import file_system, find_lock_dir

SFTP_SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server")


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """One folder, mounted twice, as by two machines."""
    server = next((path for path in SFTP_SERVERS if os.path.exists(path)), None)
    if server is None or shutil.which("sshfs") is None:
        pytest.skip("needs sshfs and sftp-server (Debian: sshfs, openssh-sftp-server)")
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\nexec {server}\n")  # where ssh would start it on another machine
    ssh.chmod(0o755)
    served = tmp_path / "served"
    served.mkdir()
    made: list[Path] = []
    try:
        for name in ("one", "two"):
            point = tmp_path / name
            point.mkdir()
            words = ["sshfs", "-o", f"ssh_command={ssh}", f"host:{served}", str(point)]
            done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                pytest.skip(f"sshfs cannot mount here: {done.stderr.strip()}")
            made.append(point)
        yield made[0], made[1]
    finally:
        for point in made:
            subprocess.run(["fusermount3" if shutil.which("fusermount3") else "fusermount", "-uz", point], check=True)


def test_a_lease_folder_on_a_network_mount_is_refused_and_nothing_is_made(mounts: tuple[Path, Path]) -> None:
    one, _ = mounts
    assert file_system(one) == "fuse.sshfs"
    with pytest.raises(BadInput, match=r"fuse\.sshfs is a network file system, or may be one"):
        find_lock_dir(str(one / "leases"))
    assert list(one.iterdir()) == []
    assert judge_leases(one, file_system(one), True, False, False).mark is Mark.BAD


def test_a_lock_that_is_held_through_one_mount_is_had_through_another(mounts: tuple[Path, Path]) -> None:
    one, two = mounts
    file_lock.place(one / "x.lock", b"", 0o666)
    held = file_lock.try_lock(one / "x.lock")
    again = file_lock.try_lock(two / "x.lock")
    assert held is not None
    assert again is not None  # which is why such a folder is refused
    os.close(held)
    os.close(again)
