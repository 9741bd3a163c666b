"""The dashboard's parts together: what is asked, what is written, and what fits on which screen."""

from __future__ import annotations

import os
import subprocess
import threading
from dataclasses import replace

import pytest

from engine.contract.events import format_event
from tests.app.piloting import MakeApp, board_of, dashboard, notes, opened, screen_text, until
from tests.app.samples import GIB, NOW, make_job, make_log, write_artifact
from tests.conftest import calls_of
from xray_tui.app.messages import BoardChanged, FollowedChanged, GpuSampled, JobsChanged
from xray_tui.feeds.gpu_feed import Gpus
from xray_tui.feeds.job_files import Follow, Followed
from xray_tui.gpu.snapshot import GpuProcess, GpuSample, GpuSnapshot
from xray_tui.jobs.model.job import State
from xray_tui.screens.confirm import ConfirmScreen
from xray_tui.system.process import RUN_MARK


async def test_export_writes_the_board_beside_the_runs_folder_and_says_where(make_app: MakeApp, gpus: object) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        app.post_message(GpuSampled(gpus))
        await pilot.press("x")
        written = app.runs.parent / "LEADERBOARD.md"
        await until(pilot, written.exists)
        await until(pilot, lambda: any("Exported 12 runs" in note for note in notes(app)))
        text = written.read_text()
        assert "| 1 | `blend_dual_presence_valjoint` | 0.3837 |" in text
        assert "- GPU 0 (NVIDIA A100-SXM4-80GB): " in text


async def test_the_export_names_the_run_of_every_process_that_carries_its_mark(make_app: MakeApp) -> None:
    app = make_app()
    with subprocess.Popen(["sleep", "30"], env={**os.environ, RUN_MARK: "unet_r34"}) as worker:
        processes = (GpuProcess(worker.pid, "C", 20 * GIB, "python"),)
        gpu = GpuSample(0, "GPU-0", "NVIDIA A100", 87, 21 * GIB, 80 * GIB, processes=processes)
        async with app.run_test(size=(120, 40)) as pilot:
            await opened(pilot)
            app.post_message(GpuSampled(Gpus(GpuSnapshot((gpu,), time=NOW))))
            await pilot.press("x")
            written = app.runs.parent / "LEADERBOARD.md"
            await until(pilot, written.exists)
        worker.kill()
    assert "unet_r34" in written.read_text()


async def test_a_stop_is_asked_for_and_only_y_stops(
    make_app: MakeApp, jobs: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[str] = []
    monkeypatch.setattr("xray_tui.jobs.actions.stop.stop", lambda store, identity: stopped.append(identity))
    app = make_app()
    async with app.run_test() as pilot:
        await opened(pilot)
        app.post_message(JobsChanged(jobs))
        await pilot.pause()
        for answer in ("enter", "escape", "n", "q"):
            await pilot.press("3", "K")
            assert isinstance(app.screen, ConfirmScreen)
            await pilot.press(answer)
            assert not isinstance(app.screen, ConfirmScreen)
        await app.workers.wait_for_complete()
        assert stopped == []
        await pilot.press("3", "K", "y")
        await until(pilot, lambda: stopped == ["j4"])


async def test_the_form_is_filled_from_the_panel_that_has_the_focus(make_app: MakeApp, jobs: tuple) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await opened(pilot)
        app.post_message(JobsChanged(jobs))
        await pilot.pause()
        await pilot.press("j", "space", "e")
        assert (app.screen.context.kind, app.screen.context.current) == ("evaluate", "dg_aug_seeds/seed_1337")
        assert app.screen.context.marked == ["dg_aug_seeds/seed_42"]
        await pilot.press("escape", "tab", "e")
        assert app.screen.context.current == "baseline_posmetric_s2"


async def test_a_log_stays_at_its_end_until_one_scrolls_up_and_again_after_G(make_app: MakeApp, jobs: tuple) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await opened(pilot)
        app.post_message(JobsChanged(jobs))
        await pilot.pause()

        async def say(count: int, seen: str) -> None:
            lines = tuple(f"line {number}" for number in range(count))
            app.post_message(FollowedChanged(Followed("j4", make_log(lines))))
            await until(pilot, lambda: seen in screen_text(app))

        await say(30, "line 29 ")
        await say(40, "line 39 ")
        await pilot.press("tab", "tab", "k", "k")
        await say(50, "of 50 ")
        assert "line 37 " in screen_text(app)
        assert "line 38 " not in screen_text(app)
        await pilot.press("G")
        await say(60, "line 59 ")


async def test_an_ended_job_is_not_asked_about(make_app: MakeApp, jobs: tuple) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await opened(pilot)
        app.post_message(JobsChanged(jobs[2:]))
        await pilot.pause()
        await pilot.press("3", "K")
        assert not isinstance(app.screen, ConfirmScreen)


async def test_a_new_job_that_runs_is_selected_if_the_newest_was_and_a_waiting_one_leaves_the_cursor_on_it(
    make_app: MakeApp, jobs: tuple
) -> None:
    runs = make_job("j6", "unet", State.RUNNING)
    app = make_app()
    async with app.run_test() as pilot:
        await opened(pilot)
        app.post_message(JobsChanged(jobs[1:]))
        await pilot.pause()
        assert dashboard(app).jobs.job.id == "j4"
        app.post_message(JobsChanged((runs, *jobs[1:])))
        await pilot.pause()
        assert dashboard(app).jobs.job.id == "j6"
        app.post_message(JobsChanged((jobs[0], runs, *jobs[1:])))
        await pilot.pause()
        assert dashboard(app).jobs.job.id == "j6", "the first job that runs"
        app.post_message(JobsChanged((replace(runs, id="j7"), jobs[0], runs, *jobs[1:])))
        await pilot.pause()
        assert dashboard(app).jobs.job.id == "j6", "it is not the newest any more"


async def test_enter_goes_to_the_jobs_log_and_its_run_is_found_on_the_board(make_app: MakeApp, jobs: tuple) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        board = await opened(pilot)
        app.post_message(JobsChanged(jobs))
        await pilot.press("tab", "c", "enter")
        assert dashboard(app).log_view.has_focus
        dashboard(app).jobs.focus()
        await pilot.press("G", "J")
        assert board.has_focus
        assert board.row.run == "swin3d_adapter_v1"
        await pilot.press("tab", "g", "J")
        assert notes(app)[-1] == "The board shows no result of baseline_posmetric_s2"


async def test_after_a_launch_the_cursor_is_on_the_first_job_that_runs(make_app: MakeApp, jobs: tuple) -> None:
    queued = [make_job(f"j{n}", f"fold_{n}", State.QUEUED, ticket=f"50.00000000000{n}.j{n}") for n in (8, 7, 6)]
    app = make_app()
    async with app.run_test() as pilot:
        await opened(pilot)
        app.post_message(JobsChanged(jobs[2:]))
        await pilot.pause()
        app.post_message(JobsChanged((*queued, *jobs[2:])))
        await pilot.pause()
        assert dashboard(app).jobs.job.id == "j6"
        await pilot.press("tab", "G")
        running = [replace(job, id=f"k{job.id}", state=State.RUNNING) for job in queued[:2]]
        app.post_message(JobsChanged((make_job("k9", "late", State.QUEUED), *running, *queued, *jobs[2:])))
        await pilot.pause()
        assert dashboard(app).jobs.job.id == "kj7"


async def test_times_go_on_in_a_job_list_that_is_scrolled(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    held = [make_job(f"h{n}", f"held_{n}", State.HELD, created=NOW - 90 * 3600, started=None) for n in range(50)]
    ended = [make_job(f"e{n}", f"ended_{n}", State.FAILED) for n in range(20)]
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        app.post_message(JobsChanged((*ended, *held)))
        await pilot.press("tab", "G")
        shown = dashboard(app).jobs
        await until(pilot, lambda: " 2m " in screen_text(app) and "held_" not in screen_text(app))
        shown.refresh_times()  # as every second
        drawn = calls_of(monkeypatch, shown, "refresh")
        shown.refresh_times()
        assert drawn == [], "nothing reads differently yet"
        monkeypatch.setattr("time.time", lambda: NOW + 60)
        await until(pilot, lambda: bool(drawn))


async def test_only_the_job_on_which_the_cursor_rests_is_followed(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed: list[str] = []
    start = Follow.start

    def started(follow: Follow) -> None:
        followed.append(follow._name)
        start(follow)

    monkeypatch.setattr(Follow, "start", started)
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        app.post_message(JobsChanged(tuple(make_job(f"j{n}", f"run_{n}", State.FAILED) for n in range(200))))
        await pilot.press("tab")
        await until(pilot, lambda: bool(followed))
        monkeypatch.setattr("xray_tui.app.app.REST_DELAY", 3.0)  # a test's keys come as slowly as the machine is busy
        for _ in range(10):
            await pilot.press(*"jjjjjjjjjj")
        await until(pilot, lambda: followed[-1] == "j100")
        assert len(followed) <= 3
        assert sum(thread.name == "follow" and thread.is_alive() for thread in threading.enumerate()) <= 2


async def test_a_problem_of_the_boards_files_is_named_in_its_title_and_listed(make_app: MakeApp) -> None:
    app = make_app()
    (app.runs / "board.yaml").write_text("best_by: tset\n")
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        assert "! 1 problem (p)" in screen_text(app)
        await pilot.press("p")
        assert "! board.yaml: best_by" in screen_text(app)


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (120, 40), (200, 60)])
async def test_every_size_shows_all_parts_and_none_over_another(
    make_app: MakeApp, jobs: tuple, gpus: object, size: tuple[int, int]
) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        app.post_message(JobsChanged(jobs))
        app.post_message(GpuSampled(gpus))
        await pilot.pause()
        await pilot.pause()
        shown = [
            widget for widget in app.screen.query("#title, #gpus, #board, #run, #jobs, #log, #keys") if widget.display
        ]
        assert len(shown) == (7 if size[0] >= 160 else 6)
        covered = set()
        for widget in shown:
            cells = {(x, y) for x in range(*widget.region.column_span) for y in range(*widget.region.line_span)}
            assert not covered & cells
            covered |= cells
        assert len(covered) == size[0] * size[1]
        assert dashboard(app).board.page_rows >= 5
        text = screen_text(app)
        assert "quit" in text.splitlines()[-1]
        if size[0] >= 120:
            assert " a_run_whose_name_has_30_letters "[:31] in text


async def test_after_a_resize_the_gpus_take_the_lines_that_they_need(make_app: MakeApp) -> None:
    app = make_app()
    problem = "No NVIDIA driver is visible in this container: where its host has GPUs, start it with `--gpus all`."
    async with app.run_test(size=(60, 15)) as pilot:
        await opened(pilot)
        app.post_message(GpuSampled(Gpus(GpuSnapshot(problem=problem))))
        await until(pilot, lambda: dashboard(app).gpus.size.height == 2)
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: dashboard(app).gpus.size == (116, 1))


async def test_problems_lists_what_does_not_rank_with_its_reason(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("p")
        assert "broken_run/test_metrics.json" in screen_text(app)
        assert "JSON" in screen_text(app)
        await pilot.press("escape")
        assert app.screen is dashboard(app)


async def test_a_text_names_the_keys_that_scroll_sideways_only_where_its_lines_are_cut(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("question_mark")
        await until(pilot, lambda: "j k move" in screen_text(app))
        await pilot.resize_terminal(60, 24)
        await until(pilot, lambda: "j k ← → move" in screen_text(app))


async def test_enter_shows_all_of_a_run(make_app: MakeApp) -> None:
    app = make_app()
    write_artifact(
        app.runs, "full", 0.5, intervals={"dice_pos": [0.45, 0.55]}, validation={"dice_pos": 0.61}, num_samples=613
    )
    async with app.run_test(size=(120, 40)) as pilot:
        board = await opened(pilot)
        assert board.row.run == "full"
        await pilot.press("enter")
        text = screen_text(app)
        assert "0.4500 to 0.5500" in text
        assert "0.6100" in text
        assert "613" in text


async def test_the_scroll_bar_of_the_jobs_hides_nothing_of_them(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        app.post_message(JobsChanged(tuple(make_job(f"j{at}", f"run_{at}", State.SUCCEEDED) for at in range(9))))
        await until(pilot, lambda: dashboard(app).jobs.show_vertical_scrollbar)
        await until(pilot, lambda: "run_0" in screen_text(app))
        assert "succeeded        2m" in screen_text(app)


async def test_a_terminal_that_is_too_small_shows_one_line_until_it_is_larger(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test(size=(50, 14)) as pilot:
        await until(pilot, lambda: "The terminal is too small: 50x14, not 60x15" in screen_text(app))
        assert len(screen_text(app).split()) == 8
        await pilot.resize_terminal(60, 15)
        await until(pilot, lambda: "xray-tui  ana@gpu7  ~/runs" in screen_text(app))
        await pilot.press("question_mark")
        await pilot.resize_terminal(100, 10)
        await until(pilot, lambda: "too small: 100x10" in screen_text(app))
        await pilot.resize_terminal(100, 30)
        await until(pilot, lambda: "Everywhere" in screen_text(app))


async def test_empty_and_idle_panels_take_three_lines_and_the_log_of_active_jobs_has_half(
    make_app: MakeApp, jobs: tuple
) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        board = await opened(pilot)
        screen = dashboard(app)
        assert screen.jobs.outer_size.height == 3
        assert not screen.log_view.display
        app.post_message(JobsChanged(jobs))
        await until(pilot, lambda: screen.log_view.outer_size.height > 15)
        assert abs(screen.log_view.outer_size.height - board.outer_size.height) <= 1
        app.post_message(JobsChanged(jobs[2:]))
        await until(pilot, lambda: screen.log_view.outer_size.height == 3)
        await pilot.press("3")
        await until(pilot, lambda: screen.jobs.outer_size.height > 15)
        await pilot.press("2")
        await until(pilot, lambda: screen.jobs.outer_size.height == 3)
        empty = replace(board_of(app).board, rows=())
        app.post_message(BoardChanged(empty))
        await until(pilot, lambda: board.outer_size.height == 3)
        assert "No test artifacts yet" in screen_text(app)
        assert screen.jobs.outer_size.height > 15


async def test_beside_a_wide_board_the_run_under_the_cursor_is_shown(make_app: MakeApp) -> None:
    app = make_app()
    write_artifact(app.runs, "leader", 0.95)
    write_artifact(app.runs, "other", 0.9, intervals={"dice_pos": [0.85, 0.94]})
    for run, rate in (("leader", 0.001), ("other", 0.5)):
        (app.runs / run / "config.yaml").write_text(f"training: {{lr: {rate}, epochs: 3}}\n")
    (app.runs / "other" / "events.jsonl").write_text(
        "".join(format_event("epoch", 1.0, epoch=epoch, epochs=3, val={"dice_pos": 0.3}) for epoch in (1, 2, 3))
    )
    async with app.run_test(size=(160, 60)) as pilot:
        await opened(pilot)
        await until(pilot, lambda: "rank 1" in screen_text(app))
        await pilot.press("j")
        await until(pilot, lambda: "training.lr: 0.5, not 0.001" in screen_text(app))
        assert "0.8500 to 0.9400" in screen_text(app)
        assert "training.epochs" not in screen_text(app)
        await until(pilot, lambda: "3 of 3 epochs" in screen_text(app))
        await pilot.press("j")
        await until(pilot, lambda: "training.lr" not in screen_text(app))
        await pilot.resize_terminal(159, 60)
        await until(pilot, lambda: "rank 3" not in screen_text(app))
