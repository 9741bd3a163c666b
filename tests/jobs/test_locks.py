"""Lock files and the folder they lie in."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.contract.errors import BadInput
from xray_tui.jobs.locks import file_lock, lock_dir
from xray_tui.jobs.locks.lock_dir import LockDir, existing_lock_dir, find_lock_dir
from xray_tui.jobs.queue.tickets import Queue, Ticket


@pytest.fixture
def leases(tmp_path: Path) -> LockDir:
    return find_lock_dir(str(tmp_path / "leases"))


def test_a_lock_is_held_once_and_free_after_its_close(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    first = file_lock.try_lock(path)
    assert first is not None
    assert file_lock.try_lock(path) is None
    assert file_lock.is_held(path)
    os.close(first)
    assert not file_lock.is_held(path)


def test_a_look_at_the_wrong_moment_keeps_nobody_from_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_lock, "READERS_PASS", 30.0)  # the machine may be slow
    path = tmp_path / "x.lock"
    file_lock.place(path, b"", 0o666)
    looks = path.open("rb")
    fcntl.flock(looks, fcntl.LOCK_SH)
    over = threading.Timer(0.005, looks.close)
    over.start()
    held = file_lock.try_lock(path)
    over.join()
    assert held is not None
    assert file_lock.is_held(path)
    os.close(held)


def test_a_look_that_never_ends_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    file_lock.place(path, b"", 0o666)
    with path.open("rb") as looks:  # of an app that was stopped in this very moment
        fcntl.flock(looks, fcntl.LOCK_SH)
        assert file_lock.try_lock(path) is None
    held = file_lock.try_lock(path)
    assert held is not None
    os.close(held)


def test_a_lock_outlives_its_taker_in_a_process_that_inherited_it(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    held = file_lock.try_lock(path)
    assert held is not None
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(held,))
    os.close(held)
    assert file_lock.is_held(path)
    child.communicate(b"\n")
    assert not file_lock.is_held(path)


def test_a_lock_on_a_file_that_was_replaced_is_worth_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.lock"
    file_lock.place(path, b"", 0o666)
    open_file = file_lock._open
    others: list[int | None] = []

    def open_then_replace(at: Path) -> int:
        descriptor = open_file(at)
        if not others:  # between our opening and our locking somebody deletes the file, and another locks a new one
            path.unlink()
            others.append(None)
            others[0] = file_lock.try_lock(path)
        return descriptor

    monkeypatch.setattr(file_lock, "_open", open_then_replace)
    assert file_lock.try_lock(path) is None
    assert others[0] is not None


def test_lock_files_are_open_to_all_whatever_the_umask(leases: LockDir) -> None:
    before = os.umask(0o077)
    try:
        held = file_lock.try_lock(leases.gpu("GPU-1"))
    finally:
        os.umask(before)
    assert held is not None
    assert leases.gpu("GPU-1").stat().st_mode & 0o777 == 0o666


def test_a_lock_that_is_no_regular_file_is_refused_with_its_path_and_the_reason(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/etc/passwd")
    for name, reason in (("fifo", "not a regular file"), ("link", os.strerror(errno.ELOOP))):
        with pytest.raises(OSError, match=f"{tmp_path / name}: {reason}"):
            file_lock.try_lock(tmp_path / name)


def test_who_waits_too_long_for_the_mutex_is_told(leases: LockDir) -> None:
    by = f"now by (pid {os.getpid()}|another process)$"
    with leases.mutex(), pytest.raises(file_lock.Busy, match=by), leases.mutex(patience=0.05):
        pass


def test_the_lease_folder_is_open_to_all_users(leases: LockDir) -> None:
    assert {path.stat().st_mode & 0o7777 for path in (leases.path, *leases.path.iterdir()) if path.is_dir()} == {0o1777}


def test_the_setting_comes_before_the_environment_and_that_before_the_shared_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_dir, "SHARED", (tmp_path / "no" / "such", tmp_path / "shared"))
    environ = {"XRAY_TUI_LEASE_DIR": str(tmp_path / "environment")}
    assert find_lock_dir(str(tmp_path / "setting"), environ).path == tmp_path / "setting"
    assert find_lock_dir(None, environ).path == tmp_path / "environment"
    assert find_lock_dir(None, {}) == LockDir(tmp_path / "shared")


def test_who_only_looks_finds_the_folder_that_jobs_would_find_and_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_dir, "SHARED", (tmp_path / "no" / "such", tmp_path / "shared"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    setting, environ = str(tmp_path / "setting"), {"XRAY_TUI_LEASE_DIR": str(tmp_path / "environment")}
    asked: list[tuple[str | None, dict[str, str]]] = [(setting, environ), (None, environ), (None, {})]
    assert [existing_lock_dir(*each) for each in asked] == [None] * 3
    assert list(tmp_path.iterdir()) == []
    for each in asked:
        assert find_lock_dir(*each) == existing_lock_dir(*each)
    monkeypatch.setattr(lock_dir, "SHARED", ())
    assert existing_lock_dir(None, {}) is None
    assert find_lock_dir(None, {}) == existing_lock_dir(None, {})


def test_a_lease_folder_that_cannot_be_looked_into_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(lock_dir, "SHARED", (tmp_path / "file", tmp_path / "never"))
    for setting in ("~nobody-of-that-name/leases", str(tmp_path / "file" / "below"), None):
        assert existing_lock_dir(setting, {}) is None
    with pytest.raises(BadInput, match="lease_dir: ~nobody-of-that-name/leases: no such user"):
        find_lock_dir("~nobody-of-that-name/leases", {})


def test_a_shared_folder_that_is_there_is_never_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    monkeypatch.setattr(lock_dir, "SHARED", (tmp_path / "no" / "such", second))
    assert find_lock_dir(None, {}).path == second
    monkeypatch.setattr(lock_dir, "SHARED", (first, second))
    assert find_lock_dir(None, {}).path == second  # its users are there already

    def full(path: Path, data: bytes, mode: int) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(file_lock, "place", full)
    assert find_lock_dir(None, {}).path == second  # all that it needs is there
    (second / "seq").unlink()
    with pytest.raises(BadInput, match=r"second: No space left on device; fix this") as error:
        find_lock_dir(None, {})
    assert len(error.value.lines) == 1


def test_a_lease_folder_is_there_as_a_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes, mode: int) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(file_lock, "place", full)
    with pytest.raises(BadInput, match="No space left on device"):
        find_lock_dir(str(tmp_path / "leases"))
    assert list(tmp_path.iterdir()) == []


def test_launchers_that_make_the_lease_folder_at_once_find_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(find_lock_dir, [str(tmp_path / "leases")] * 16))
    assert len(set(found)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["leases"]


def test_without_a_shared_folder_a_private_one_serves_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_dir, "SHARED", ())
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    found = find_lock_dir(None, {})
    assert found.path.is_relative_to(tmp_path)
    assert found.is_private


def test_a_folder_whose_locks_do_not_hold_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="lease_dir: /dev/shm/x: /dev/shm is emptied at logout"):
        find_lock_dir("/dev/shm/x")
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"XRAY_TUI_LEASE_DIR: .*file: not a folder"):
        find_lock_dir(None, {"XRAY_TUI_LEASE_DIR": str(tmp_path / "file")})
    monkeypatch.setattr(lock_dir, "file_system", lambda path: "nfs4")
    with pytest.raises(BadInput, match="nfs4 is a network file system"):
        find_lock_dir(str(tmp_path / "nfs"))


def test_the_type_of_a_file_system_is_known() -> None:
    assert lock_dir.file_system(Path("/proc")) == "proc"


def test_numbers_go_up_though_the_counter_is_damaged(leases: LockDir) -> None:
    queue = Queue(leases)
    assert [queue.new_number(), queue.new_number()] == [1, 2]
    queue.put(Ticket(50, 7, "a", "auto", "alice"))
    leases.seq.write_bytes(b"\xff\x00 nonsense and more than it should be")
    assert queue.new_number() == 8


@pytest.mark.parametrize("seq", [b"999999999999", b"9" * 30])
def test_a_number_that_no_ticket_can_follow_is_passed_over(leases: LockDir, seq: bytes) -> None:
    queue = Queue(leases)
    queue.put(Ticket(50, 7, "a", "auto", "alice"))
    queue.put(Ticket(50, 10**12 - 1, "b", "auto", "mallory"))
    leases.seq.write_bytes(seq + b"\n")
    assert queue.new_number() == 8
    assert queue.new_number() == 9


def test_tickets_come_in_order_and_foreign_files_among_them_are_passed_over(leases: LockDir) -> None:
    queue = Queue(leases)
    tickets = [Ticket(50, 10, "a", "auto", "x"), Ticket(50, 9, "b", "none", "x"), Ticket(10, 11, "c", "GPU-1", "x")]
    for ticket in tickets:
        queue.put(ticket)
    (leases.queue / "README").touch()
    (leases.queue / "50.000000000001.broken").write_bytes(b"{")
    (leases.queue / "50.000000000002.nan").write_bytes(b'{"gpu": NaN, "user": 1}')
    assert [ticket.job for ticket in queue.waiting()] == ["c", "b", "a"]
    queue.withdraw("b")
    queue.withdraw("b")
    assert [ticket.job for ticket in queue.waiting()] == ["c", "a"]
