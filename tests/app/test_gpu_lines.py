"""How GPUs and their processes read on lines. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from rich.cells import cell_len

from tests.app.samples import GIB, NOW, make_gpu, make_host
from xray_tui.feeds.gpu_feed import Gpus
from xray_tui.gpu.history import Reading
from xray_tui.gpu.snapshot import GpuProcess, GpuSample, GpuSnapshot
from xray_tui.jobs.supervise.process_owners import Owner
from xray_tui.widgets.gpu_layout import Row, gpu_rows
from xray_tui.widgets.host_line import host_line
from xray_tui.widgets.process_format import LABEL, VALUE, gpu_head, process_head, process_line, run_cells

WORKER = GpuProcess(4711, "C", 40 * GIB, "python3", "ana", "xray-engine train", NOW - 600, 81)
DESKTOP = GpuProcess(6557, "C+G", 120 << 20, "Xorg", "root", "/usr/lib/Xorg", NOW - 90000, 2)
UNSEEN = GpuProcess(4194301, "C", None)
BUSY = {"utilisation": 97, "memory_used": 60 * GIB, "temperature": 68, "power": 371.5, "processes": (WORKER,)}
"""Values of a GPU at work."""


def seen(*gpus: GpuSample, availability: Mapping[str, str | None] | None = None, **more: object) -> Gpus:
    """A look at these GPUs, without a history; free where nobody computes."""
    free = {gpu.uuid: "used by another job" if any(p.computes for p in gpu.processes or ()) else None for gpu in gpus}
    stalled = frozenset(more.pop("stalled", ()))  # type: ignore[call-overload]
    owners = more.pop("owners", {})
    snapshot = GpuSnapshot(gpus, time=NOW, **more)  # type: ignore[arg-type]
    return Gpus(snapshot, {}, owners, free if availability is None else availability, stalled)  # type: ignore[arg-type]


def text(row: Row) -> str:
    return "".join(part for cell in row for part, _ in cell.parts)


def lines(gpus: Gpus, width: int = 116, most: int = 4, detailed: bool = False, now: float = NOW) -> list[str]:
    return [text(row) for row in gpu_rows(gpus, width, most, detailed, now)]


def styles(gpus: Gpus, words: str) -> set[str]:
    """The styles of the parts that hold these words."""
    rows = gpu_rows(gpus, 196, 4, False, NOW)
    return {style for row in rows for cell in row for part, style in cell.parts if words in part}


def test_no_gpu_is_one_sentence_that_is_whole() -> None:
    problem = "No NVIDIA driver is visible in this container: where its host has GPUs, start it with `--gpus all`."
    gpus = Gpus(GpuSnapshot(problem=problem))
    assert " ".join(line[5:] for line in lines(gpus, 80)) == problem
    assert len(lines(gpus, 120)) == 1


def test_before_the_first_look_it_says_that_it_looks() -> None:
    assert text(gpu_rows(None, 80, 3, False, NOW)[0]) == "GPU  reading …"


@pytest.mark.parametrize("width", [78, 116, 196])
@pytest.mark.parametrize("detailed", [False, True])
def test_a_gpu_says_everything_in_any_width(width: int, detailed: bool, gpus: Gpus) -> None:
    said = lines(gpus, width, 4, detailed)
    for part in ("A100-SXM4-80GB", "87%", "41.0/80", "61°C", "312/400"):
        assert part in said[0]
    assert "█" in said[0]
    assert "free" in said[1 if not detailed else 3]
    assert all(cell_len(line) <= width for line in said)


@pytest.mark.parametrize("width", [78, 116])
def test_in_detail_a_gpu_has_its_clock_its_memory_as_a_bar_and_its_processes(width: int, gpus: Gpus) -> None:
    said = " ".join(lines(gpus, width, 4, detailed=True)[:2])
    assert "1410 MHz" in said
    assert "━" in said
    assert "40.0 GiB, 81% SM, 10m00s" in said


def test_detail_needs_room_for_every_gpu() -> None:
    eight = seen(*(make_gpu(index) for index in range(8)))
    assert len(lines(eight, most=16, detailed=True)) == 16
    assert len(lines(eight, most=15, detailed=True)) == 8


@pytest.mark.parametrize(("count", "most"), [(1, 4), (4, 4), (8, 4), (16, 4)])
def test_any_number_of_gpus_fits_a_small_terminal_with_index_utilisation_and_memory(count: int, most: int) -> None:
    busy = seen(*(make_gpu(index, utilisation=50 + index, memory_used=(10 + index) * GIB) for index in range(count)))
    rows = gpu_rows(busy, 78, most, False, NOW)
    assert len(rows) <= most
    cells = {cell.gpu: "".join(part for part, _ in cell.parts) for row in rows for cell in row}
    assert sorted(cells) == list(range(count))
    for index, said in cells.items():
        assert f"{index}" in said
        assert f"{50 + index}%" in said
        assert f"{10 + index}" in said
    assert all(cell_len(text(row)) <= 78 for row in rows)


def test_more_gpus_than_fit_are_counted() -> None:
    many = seen(*(make_gpu(index) for index in range(40)))
    said = lines(many, 78, 2)
    assert len(said) == 2
    assert "+29 more" in said[1]


def test_a_fan_is_in_the_detail_of_a_gpu_that_has_one() -> None:
    assert "fan" not in lines(seen(make_gpu(0)), detailed=True)[1]
    assert "fan  62%" in lines(seen(make_gpu(0, fan=62)), detailed=True)[1]


def test_what_the_driver_does_not_say_is_a_dash() -> None:
    said = lines(seen(GpuSample(0, "GPU-0", "T4")), 78)[0]
    assert "-%" in said
    assert "-/-G" in said


def test_a_gpu_that_is_split_says_so_in_place_of_its_utilisation() -> None:
    assert " MIG " in lines(seen(make_gpu(0, utilisation=None, mig=True)))[0]


def test_a_broken_gpu_says_why_and_since_when_and_its_text_is_clean() -> None:
    broken = make_gpu(1, problem="GPU is lost: reset it\x1b[31m", since=NOW - 190)
    first, second = lines(seen(make_gpu(0), broken))
    assert "58/400W" in first
    assert "! GPU is lost for 3m10s: reset it␛[31m" in second


def test_heat_is_said_in_words_and_colour_and_a_power_cap_is_not() -> None:
    hot = seen(make_gpu(0, **{**BUSY, "temperature": 91, "throttle": ("hardware thermal slowdown",)}))
    assert "! hardware thermal slowdown" in lines(hot, 196)[0]
    assert styles(hot, "slowdown") == {"hot"}
    assert styles(hot, "91°C") == {"hot"}


def test_at_80_columns_a_warning_is_read_beside_the_run() -> None:
    for values, stalled, said in (
        ({"throttle": ("thermal slowdown",)}, (), "! thermal slowdown "),
        ({"throttle": ("hardware thermal slowdown",)}, (), "! hardware thermal slow"),
        ({}, ("GPU-0",), "stalled?"),
    ):
        busy = make_gpu(0, **{**BUSY, **values})
        (line,) = lines(seen(busy, owners={4711: Owner("seeds/s1337", "j")}, stalled=stalled), 76)
        assert said in line
        assert line.endswith("seeds/s1337")
        (plain,) = lines(seen(make_gpu(0, **BUSY)), 76)
        assert line.index("97%") == plain.index("97%"), "the figures stay in their columns"


def test_runs_stand_first_then_strangers_then_what_the_queue_says() -> None:
    other = replace(WORKER, pid=4712, user="bo", name="jupyter")
    gpus = seen(make_gpu(0, **{**BUSY, "processes": (other, WORKER, UNSEEN)}), owners={4711: Owner("seeds/s1", "j")})
    assert lines(gpus)[0].endswith("seeds/s1  bo: jupyter +1")
    assert lines(seen(make_gpu(0, **{**BUSY, "processes": (UNSEEN,)})))[0].endswith("pid 4194301")
    assert lines(seen(make_gpu(0, processes=(DESKTOP,))))[0].endswith("free")


def test_a_gpu_that_is_not_free_says_why_and_one_that_is_not_judged_says_nothing() -> None:
    said = lines(seen(make_gpu(0), availability={"GPU-0": "leased by another job"}))[0]
    assert said.endswith("leased by another job")
    assert lines(seen(make_gpu(0), availability={}))[0].rstrip().endswith("58/400W")


def test_an_unreadable_list_is_unavailable_never_none() -> None:
    unread = make_gpu(0, processes=None, processes_problem="no permission")
    said = lines(seen(unread, availability={"GPU-0": "seems used"}), 196)
    assert "processes unavailable (no permission)" in said[0]


def test_a_gpu_whose_run_does_not_get_on_is_asked_about() -> None:
    said = lines(seen(make_gpu(0, **BUSY), owners={4711: Owner("s1", "j")}, stalled=["GPU-0"]))[0]
    assert "stalled?  s1" in said


def test_memory_that_the_driver_does_not_tell_has_no_bar() -> None:
    for unknown, bars in ((None, False), (0, True)):
        said = lines(seen(make_gpu(0, memory_used=unknown)), 116, 4, detailed=True)
        assert ("╌" in said[1]) is bars


def test_old_figures_are_faint_and_say_how_old_they_are() -> None:
    gpus = seen(make_gpu(0, **BUSY), stale="The NVIDIA driver has not answered for 5 s.")
    said = lines(gpus, now=NOW + 12)
    assert said[0] == "? 12 s old · The NVIDIA driver has not answered for 5 s."
    assert "97%" in said[1]
    rows = gpu_rows(gpus, 116, 4, False, NOW + 12)
    assert {style for cell in rows[1] for _, style in cell.parts} == {"faint"}
    assert lines(seen(make_gpu(0)), now=NOW + 4)[0] == "? 4 s old"
    assert "old" not in lines(seen(make_gpu(0)), now=NOW + 2)[0]


def test_control_codes_from_outside_reach_no_line() -> None:
    evil = replace(WORKER, user="a\x1b]0;x\x07", name="\u202epy", command="\x9b31m")
    gpus = seen(make_gpu(0, name="A\x1b[1m", **{key: value for key, value in BUSY.items() if key != "processes"},
                         processes=(evil,), throttle=("x\x1b",)), availability={"GPU-0": "by\x1b"})  # fmt: skip
    said = [*lines(gpus, 196), *lines(gpus, 196, 4, detailed=True)]
    said += [text_of(line) for line in gpu_head(gpus.snapshot.gpus[0], gpus, 120, NOW)]
    said.append(text_of(process_line(0, evil, gpus, 120, 20, NOW)))
    assert all(line.isprintable() for line in said)


# One GPU and its processes


def text_of(parts: list[tuple[str, str]]) -> str:
    return "".join(part for part, _ in parts)


@pytest.mark.parametrize("width", [76, 116, 196])
def test_a_gpu_in_full_has_all_figures_its_standing_and_a_minute_as_a_chart(width: int, gpus: Gpus) -> None:
    head = [text_of(line) for line in gpu_head(gpus.snapshot.gpus[0], gpus, width, NOW)]
    said = "\n".join(head)
    for part in (
        "87%",
        "41.0 of 80.0 GiB",
        "61°C",
        "312 W of 400 W",
        "1410 MHz",
        "▁▁▂▂",
        "▅▅▅▅",
        "▆▆▆▆",
        "1 min ago",
        "GPU-0",
    ):
        assert part in said
    assert "not free: used by another job" in said
    assert all(cell_len(line) <= width for line in head)


def test_a_time_in_which_nobody_looked_is_a_gap_in_the_chart() -> None:
    gpu = make_gpu(0, **BUSY)
    whole = tuple(Reading(NOW - second, 100) for second in range(59, -1, -1))
    for readings, blank in ((whole, 0), (whole[:20] + whole[40:], 14)):
        head = gpu_head(gpu, replace(seen(gpu), history={gpu.uuid: readings}), 110, NOW)
        drawn = text_of(head[0])[LABEL + VALUE :]
        assert drawn.count(" ") == blank


def test_a_lost_gpu_in_full_is_its_reason() -> None:
    broken = make_gpu(1, problem="GPU is lost: look for Xid in `sudo dmesg`", since=NOW - 70)
    said = " ".join(text_of(line) for line in gpu_head(broken, seen(broken), 76, NOW))
    assert said == "! GPU is lost: look for Xid in `sudo dmesg`. For 1m10s."


@pytest.mark.parametrize("width", [60, 78, 118, 198])
def test_a_process_has_its_columns_in_any_width(width: int) -> None:
    gpus = seen(make_gpu(0, **BUSY), owners={4711: Owner("dg_aug_seeds/seed_1337", "j")})
    run = run_cells(["dg_aug_seeds/seed_1337"], width)
    line, head = text_of(process_line(0, WORKER, gpus, width, run, NOW)), process_head(width, run)
    for part in ("4711", "ana", " C ", "40.0", "81%", "10m00s", "37"):
        assert part in line
    assert cell_len(line) <= width
    assert cell_len(head) <= width
    assert line.index("ana") == head.index("USER")
    assert line[head.index("COMMAND") :].startswith("xra")


def test_a_table_without_a_run_leaves_the_room_to_the_commands() -> None:
    assert run_cells([], 118) == 4


def test_a_process_that_cannot_be_seen_keeps_its_row_with_what_is_known() -> None:
    line = text_of(process_line(3, replace(UNSEEN, memory=GIB), seen(), 100, 4, NOW))
    assert line.split() == ["3", "4194301", "-", "C", "1.0", "-", "-", "-", *["not", "visible", "to", "this", "user"]]
    assert "n/a" in text_of(process_line(3, UNSEEN, seen(), 100, 4, NOW))


# The host


def test_the_host_is_one_line_of_a_small_terminal() -> None:
    said = host_line(make_host(), 78)
    assert text_of(said) == "CPU  43%, load  35.2 on 64 cores  RAM 120/512G  shm   1/256G  disk 812G free"
    assert {style for _, style in said} == {""}


def test_what_is_short_has_a_sign_and_a_colour() -> None:
    said = host_line(make_host(disk_free=int(1.5 * GIB), memory_used=505 * GIB), 78)
    assert ("! disk 1.5G free", "warm") in said
    assert ("! RAM 505/512G", "warm") in said
    assert ("shm   1/256G", "") in said


def test_where_not_all_of_the_host_fits_what_is_short_comes_first() -> None:
    gone = make_host(disk_free=None, disk_problem="No such file or directory", memory_used=505 * GIB)
    assert text_of(host_line(gone, 78)).startswith("! RAM 505/512G  ! disk No such file or directory  CPU")
    assert text_of(host_line(gone, 118)).startswith("CPU")


def test_a_limit_of_memory_and_cores_is_named_and_a_disk_that_does_not_answer_too() -> None:
    limited = replace(make_host(memory_limited=True, disk_free=None, disk_problem="no answer"), cores=8)
    assert text_of(host_line(limited, 78)) == (
        "CPU  43% of 8 cores   RAM 120/512G limit   shm   1/256G   ! disk no answer"
    )


def test_what_is_not_known_of_the_host_is_left_out() -> None:
    unknown = make_host(cpu=None, load=None, shm_total=None, disk_free=None)
    assert text_of(host_line(unknown, 78)) == "CPU   -% of 64 cores   RAM 120/512G"
