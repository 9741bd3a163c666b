"""The GPUs on the dashboard, and a GPU's own screen: the cursor, and what is said of one that hangs or is gone."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from textual.strip import Strip

from tests.app.piloting import MakeApp, dashboard, notes, opened, screen_text, until
from tests.app.samples import GIB, NOW, make_gpu
from tests.conftest import calls_of
from xray_tui.app.messages import GpuSampled, JobsChanged
from xray_tui.feeds.gpu_feed import GpuFeed, Gpus
from xray_tui.gpu.snapshot import GpuProcess, GpuSnapshot
from xray_tui.jobs.supervise.process_owners import Owner
from xray_tui.widgets.gpu_strip import GpuStrip
from xray_tui.widgets.process_list import ProcessList


async def test_the_gpus_are_a_panel_with_a_cursor_that_stays_on_them(make_app: MakeApp, gpus: Gpus) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        app.post_message(GpuSampled(gpus))
        await pilot.press("shift+tab")
        strip = dashboard(app).gpus
        assert strip.has_focus
        assert strip.gpu.index == 0
        for keys, index in (("j", 1), ("j", 1), ("k", 0), ("right", 1), ("left", 0), ("G", 1), ("g", 0)):
            await pilot.press(keys)
            assert strip.gpu.index == index


async def test_the_cursor_row_is_seen_in_every_panel_with_and_without_the_focus(
    make_app: MakeApp, gpus: Gpus, jobs: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    for no_color in ("", "1"):
        monkeypatch.setenv("NO_COLOR", no_color)
        app = make_app()
        async with app.run_test(size=(120, 40)) as pilot:
            await opened(pilot)
            app.post_message(GpuSampled(gpus))
            app.post_message(JobsChanged(jobs))
            await pilot.pause()
            for key in ("1", "2", "3"):
                await pilot.press(key)
                for panel, cursor in ((app.screen.query_one(f"#{name}"), name) for name in ("gpus", "board", "jobs")):
                    row = panel.cursor + getattr(panel, "HEAD_ROWS", 0)
                    at_cursor, below = (shape(panel.render_line(y)) for y in (row, row + 1))
                    assert at_cursor.isdisjoint(below), (key, cursor, no_color)


def shape(line: Strip) -> set[object]:
    """How the blanks and letters of a line are marked apart from the colour of their text."""
    return {(part.style.bgcolor, part.style.reverse, part.style.underline) for part in line if part.style}


async def test_the_cursor_stays_on_its_gpu_while_others_come_and_go(make_app: MakeApp) -> None:
    four = tuple(make_gpu(index) for index in range(4))
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        app.post_message(GpuSampled(Gpus(GpuSnapshot(four, time=NOW))))
        await pilot.press("shift+tab", "G")
        strip = dashboard(app).gpus
        for left, uuid, place in ((four[1:], "GPU-3", 2), (four, "GPU-3", 3), (four[:2], "GPU-1", 1)):
            app.post_message(GpuSampled(Gpus(GpuSnapshot(left, time=NOW))))
            await pilot.pause()
            assert (strip.gpu.uuid, strip.cursor) == (uuid, place)
        await pilot.press("k")
        assert strip.gpu.uuid == "GPU-0", "one key moves it, however many GPUs there were before"


async def test_in_several_columns_the_cursor_goes_down_a_column_and_along_a_row_and_where_one_clicks(
    make_app: MakeApp,
) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        app.post_message(GpuSampled(Gpus(GpuSnapshot(tuple(make_gpu(index) for index in range(8)), time=NOW))))
        await pilot.press("shift+tab")
        strip = dashboard(app).gpus
        for keys, place in (("j", 2), ("right", 3), ("k", 1), ("k", 1), ("left", 0), ("G", 7), ("j", 7), ("g", 0)):
            await pilot.press(keys)
            assert strip.cursor == place, keys
        await pilot.click(strip, offset=(60, 3))
        assert strip.cursor == 7
        await pilot.click(strip, offset=(4, 1))
        assert strip.cursor == 2


async def test_the_gpus_do_not_wait_for_a_runs_folder_that_takes_long_to_read(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = threading.Event()
    monkeypatch.setattr("xray_tui.board.index.RunIndex.scan", lambda index: finish.wait(60))
    app = make_app()
    try:
        async with app.run_test() as pilot:
            await until(pilot, lambda: app.services.gpus is not None)
            assert dashboard(app).board.row_count == 0
    finally:
        finish.set()


async def test_without_a_gpu_the_focus_passes_the_panel_over(make_app: MakeApp, jobs: tuple) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        app.post_message(GpuSampled(Gpus(GpuSnapshot(problem="No NVIDIA driver."))))
        app.post_message(JobsChanged(jobs))
        await pilot.pause()
        for _ in range(6):
            await pilot.press("tab")
            assert not dashboard(app).gpus.has_focus


async def test_more_of_each_gpu_is_shown_and_less_again_and_the_settings_say_how_it_begins(
    make_app: MakeApp, gpus: Gpus
) -> None:
    app = make_app(gpu_detail=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        app.post_message(GpuSampled(gpus))
        await until(pilot, lambda: dashboard(app).gpus.size.height == 4)
        await pilot.press("d")
        await until(pilot, lambda: dashboard(app).gpus.size.height == 2)
        await pilot.press("d")
        await until(pilot, lambda: dashboard(app).gpus.size.height == 4)


async def test_gpus_that_nobody_sees_are_looked_at_more_rarely(
    make_app: MakeApp, gpus: Gpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = calls_of(monkeypatch, GpuFeed, "show")
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        app.post_message(GpuSampled(gpus))
        await pilot.press("question_mark")
        app.post_message(GpuSampled(gpus))
        await pilot.pause()
        assert shown[-1][1] is False
        await pilot.press("escape")
        assert shown[-1][1] is True, "at once, not only with the next look"
        await pilot.press("shift+tab", "enter")
        app.post_message(GpuSampled(gpus))
        await pilot.pause()
        assert shown[-1][1] is True, "one GPU's own screen shows it"


async def test_the_cursor_of_the_processes_stays_on_its_process(make_app: MakeApp, gpus: Gpus) -> None:
    worker = gpus.snapshot.gpus[0].processes[0]
    smaller = replace(worker, pid=4800, memory=GIB, command="other")
    app = make_app()

    def look(*processes: GpuProcess) -> GpuSampled:
        gpu = replace(gpus.snapshot.gpus[0], processes=processes)
        return GpuSampled(replace(gpus, snapshot=replace(gpus.snapshot, gpus=(gpu,))))

    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        app.post_message(look(worker, smaller))
        await pilot.press("shift+tab", "enter", "j")
        processes = app.screen.query_one(ProcessList)
        assert processes.process == smaller
        app.post_message(look(smaller, worker))
        await pilot.pause()
        assert processes.process.pid == 4800
        app.post_message(look(replace(smaller, started=NOW - 3), worker))
        await pilot.pause()
        assert processes.cursor == 0, "a pid that is used again is another process; the cursor stays where it was"
        app.post_message(look())
        await pilot.pause()
        assert processes.process is None
        assert "No process uses a GPU." in screen_text(app)


async def test_the_processes_of_all_gpus_are_one_table_and_the_head_follows_the_cursor(
    make_app: MakeApp, gpus: Gpus
) -> None:
    worker = gpus.snapshot.gpus[0].processes[0]
    second = replace(gpus.snapshot.gpus[1], processes=(replace(worker, pid=4800, user="bo"),))
    unlisted = make_gpu(2, processes=None, processes_problem="no permission")
    snapshot = replace(gpus.snapshot, gpus=(gpus.snapshot.gpus[0], second, unlisted))
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        app.post_message(GpuSampled(replace(gpus, snapshot=snapshot)))
        await pilot.press("shift+tab", "j", "enter")
        text, processes = screen_text(app), app.screen.query_one(ProcessList)
        assert "4711" in text
        assert "GPU 1  A100" in text
        assert "2 · not listed for GPU 2" in text
        assert processes.process.pid == 4800, "the first process of the opened GPU"
        await pilot.press("k")
        await until(pilot, lambda: "GPU 0  A100" in screen_text(app))
        await pilot.press("right")
        assert processes.process.pid == 4800
        await pilot.press("right")
        await until(pilot, lambda: "cannot be listed: no permission" in screen_text(app))
        assert "GPU 2  A100" in screen_text(app)


async def test_a_look_that_comes_while_the_gpus_screen_is_being_made_is_shown(make_app: MakeApp, gpus: Gpus) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        app.post_message(GpuSampled(gpus))
        await pilot.pause()
        app.on_gpu_strip_opened(GpuStrip.Opened(gpus.snapshot.gpus[0]))
        hotter = replace(gpus.snapshot, gpus=(replace(gpus.snapshot.gpus[0], temperature=77),))
        app.take(GpuSampled(replace(gpus, snapshot=hotter)))
        await until(pilot, lambda: "77°C" in screen_text(app))


async def test_on_its_own_screen_too_a_gpu_says_how_old_its_figures_are_and_grows_older(
    make_app: MakeApp, gpus: Gpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        app.post_message(GpuSampled(gpus))
        await pilot.press("shift+tab", "enter")
        assert "old" not in screen_text(app)
        hangs = replace(gpus.snapshot, stale="The NVIDIA driver has not answered for 5 s.")
        app.post_message(GpuSampled(replace(gpus, snapshot=hangs)))
        monkeypatch.setattr("time.time", lambda: NOW + 12)
        await until(pilot, lambda: "? 12 s old · The NVIDIA driver has not answered for 5 s." in screen_text(app))
        assert "87%" in screen_text(app)


async def test_a_process_whose_job_has_ended_is_not_called_a_strangers(make_app: MakeApp, gpus: Gpus) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        for owners, said in (
            ({4711: Owner("seeds/s1", None)}, "pid 4711 of ana belongs to seeds/s1, but its job has ended"),
            ({}, "pid 4711 of ana belongs to no job of this runs folder"),
        ):
            app.post_message(GpuSampled(replace(gpus, owners=owners)))
            await pilot.press("shift+tab", "enter", "K")
            assert any(said in note for note in notes(app))
            await pilot.press("escape", "tab")


async def test_a_gpu_that_is_gone_stays_on_its_screen_as_it_was(make_app: MakeApp, gpus: Gpus) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        app.post_message(GpuSampled(gpus))
        await pilot.press("shift+tab", "j", "enter")
        fewer = replace(gpus.snapshot, gpus=gpus.snapshot.gpus[:1])
        app.post_message(GpuSampled(replace(gpus, snapshot=fewer)))
        await pilot.pause()
        assert "the GPU is gone" in screen_text(app)
        unloaded = GpuSnapshot(problem="The NVIDIA driver is not loaded.")
        app.post_message(GpuSampled(replace(gpus, snapshot=unloaded)))
        await pilot.pause()
        assert "these are its last figures. The NVIDIA driver is not loaded." in screen_text(app)
        app.post_message(GpuSampled(replace(gpus, snapshot=fewer)))
        await pilot.press("l")
        assert "GPU 0" in screen_text(app)
        assert "the GPU is gone" not in screen_text(app)
