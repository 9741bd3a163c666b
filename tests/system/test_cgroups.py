"""Memory limits of containers, from folders as the kernel shows them."""

from __future__ import annotations

from pathlib import Path

from xray_tui.system.cgroups import Memory, limited_memory

GIB = 1 << 30


def group(folder: Path, limit: object, used: int, cache: int = 0) -> None:
    """A group of version 2."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {cache}\nactive_file 7\n")


def test_the_limit_of_the_own_group_counts_without_the_cache_that_can_be_dropped(tmp_path: Path) -> None:
    group(tmp_path / "docker" / "abc", 8 * GIB, 7 * GIB, cache=3 * GIB)
    assert limited_memory("0::/docker/abc\n", tmp_path) == Memory(4 * GIB, 8 * GIB)


def test_the_group_above_that_leaves_least_counts(tmp_path: Path) -> None:
    group(tmp_path / "user.slice", 64 * GIB, 63 * GIB)
    group(tmp_path / "user.slice" / "session", 32 * GIB, 2 * GIB)
    group(tmp_path / "user.slice" / "session" / "job", "max", GIB)
    assert limited_memory("0::/user.slice/session/job\n", tmp_path) == Memory(63 * GIB, 64 * GIB)


def test_a_container_that_is_told_its_path_on_the_host_finds_its_limit_at_the_root(tmp_path: Path) -> None:
    group(tmp_path, 4 * GIB, GIB)
    for path in ("/system.slice/docker-abc.scope", "/../../other", "/"):
        assert limited_memory(f"0::{path}\n", tmp_path) == Memory(GIB, 4 * GIB)


def test_without_a_limit_there_is_none(tmp_path: Path) -> None:
    group(tmp_path / "user.slice", "max", GIB)
    assert limited_memory("0::/user.slice\n", tmp_path) is None
    assert limited_memory("", tmp_path) is None
    assert limited_memory("nonsense\n::\n0::/elsewhere\n", tmp_path) is None
    (tmp_path / "user.slice" / "memory.max").write_text("much\n")
    assert limited_memory("0::/user.slice\n", tmp_path) is None


def test_version_1_is_read_as_well(tmp_path: Path) -> None:
    folder = tmp_path / "memory" / "slurm" / "job_7"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text(f"{16 * GIB}\n")
    (folder / "memory.usage_in_bytes").write_text(f"{9 * GIB}\n")
    (folder / "memory.stat").write_text(f"cache 1\ninactive_file 5\ntotal_inactive_file {GIB}\n")
    own = "5:devices:/x\n4:memory:/slurm/job_7\n3:cpu,cpuacct:/y\n0::/\n"
    assert limited_memory(own, tmp_path) == Memory(8 * GIB, 16 * GIB)
