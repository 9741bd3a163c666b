"""Who holds a GPU: real processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from xray_tui.gpu.process_info import UNSEEN, People


def test_a_process_is_known_by_name_user_command_and_start():
    command = [sys.executable, "-c", "input(print('ready', flush=True))", "a\nb"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()  # its command line is empty for a moment
        person = People().of(process.pid)
        process.kill()
    assert "python" in person.name
    assert person.command.endswith(" a␊b")
    assert person.user
    assert person.started > 0


def test_a_process_that_has_ended_is_not_known_by_its_old_name():
    people = People()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert people.of(process.pid) is not UNSEEN
        process.kill()
    assert people.of(process.pid) is UNSEEN


REUSED = """
import os, sys, time
from xray_tui.gpu.process_info import People

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

people, seen = People(), []
for name in ("first", "second"):
    pid = born(4711, name)
    assert pid == 4711, pid
    seen.append(people.of(pid))
    assert people.of(pid) is seen[-1]
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    assert people.of(pid).name is None
    time.sleep(0.03)  # the kernel tells start times in steps of 10 ms
print(*[person.name for person in seen], seen[1].started > seen[0].started)
"""


def test_a_pid_that_is_used_again_is_somebody_else():
    unshare = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("needs `unshare` with a process numbering of its own, in which a pid can be used twice")
    said = subprocess.run([*unshare, sys.executable, "-c", REUSED], capture_output=True, text=True)
    assert said.stdout.split() == ["first", "second", "True"], said.stderr


def test_a_pid_of_another_container_is_unseen():
    for pid in (4194303, 2**31, 2**40):
        assert People().of(pid) is UNSEEN


def test_who_no_longer_holds_a_gpu_is_forgotten():
    people = People()
    people.of(os.getpid())
    people.forget_all_but(set())
    assert people._known == {}
