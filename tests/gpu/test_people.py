"""Who holds a GPU: real processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from xray_tui.gpu.process_info import UNSEEN, ProcessInfoCache


def test_a_process_is_known_by_name_user_command_and_start():
    command = [sys.executable, "-c", "input(print('ready', flush=True))", "a\nb"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()  # its command line is empty for a moment
        info = ProcessInfoCache().of(process.pid)
        process.kill()
    assert "python" in info["name"]
    assert info["command"].endswith(" a␊b")
    assert info["user"]
    assert info["started"] > 0


def test_a_process_that_has_ended_is_not_known_by_its_old_name():
    process_info = ProcessInfoCache()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert process_info.of(process.pid) is not UNSEEN
        process.kill()
    assert process_info.of(process.pid) is UNSEEN


REUSED = """
import os, sys, time
from xray_tui.gpu.process_info import ProcessInfoCache

def born(pid, name):
    open("/proc/sys/kernel/ns_last_pid", "w").write(str(pid - 1))
    r, w = os.pipe()
    child = os.fork()
    if not child:
        open("/proc/self/comm", "w").write(name)
        os.close(w)
        time.sleep(60)
    os.close(w)
    os.read(r, 1)
    os.close(r)
    return child

process_info, seen = ProcessInfoCache(), []
for name in ("first", "second"):
    pid = born(4711, name)
    assert pid == 4711, pid
    seen.append(process_info.of(pid))
    assert process_info.of(pid) is seen[-1]
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    assert not process_info.of(pid)
    time.sleep(0.03)  # the kernel tells start times in steps of 10 ms
print(*[info["name"] for info in seen], seen[1]["started"] > seen[0]["started"])
"""


def test_a_pid_that_is_used_again_is_somebody_else():
    unshare = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("needs `unshare` with a process numbering of its own, in which a pid can be used twice")
    said = subprocess.run([*unshare, sys.executable, "-c", REUSED], capture_output=True, text=True)
    assert said.stdout.split() == ["first", "second", "True"], said.stderr


def test_a_pid_of_another_container_is_unseen():
    for pid in (4194303, 2**31, 2**40):
        assert ProcessInfoCache().of(pid) is UNSEEN


def test_who_no_longer_holds_a_gpu_is_forgotten():
    process_info = ProcessInfoCache()
    process_info.of(os.getpid())
    process_info.keep_only(set())
    assert process_info._cached == {}
