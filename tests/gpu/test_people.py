"""Who holds a GPU: real processes."""

from __future__ import annotations

import os
import subprocess
import sys

from xray_tui.gpu.people import UNSEEN, People


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


def test_a_pid_that_is_used_again_is_somebody_else():
    people = People()
    mine = people.of(os.getpid())
    people._known[os.getpid()] = type(mine)(name="who had this pid before", started=mine.started - 60)
    assert people.of(os.getpid()) == mine


def test_a_pid_of_another_container_is_unseen():
    for pid in (4194303, 2**31, 2**40):
        assert People().of(pid) is UNSEEN


def test_who_no_longer_holds_a_gpu_is_forgotten():
    people = People()
    people.of(os.getpid())
    people.forget_all_but(set())
    assert people._known == {}
