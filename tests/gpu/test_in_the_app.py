"""The GPUs in the running app while their machine changes: the real pynvml and helper process on the stand-in NVML."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.app.piloting import dashboard, notes, screen_text
from tests.jobs.conftest import ENGINE
from xray_tui.app.app import XrayApp
from xray_tui.gpu.sampler import Sampler
from xray_tui.jobs.launch.launcher import LocalLauncher
from xray_tui.jobs.model.job import JobSpec, State
from xray_tui.jobs.storage.job_store import JobStore
from xray_tui.screens.gpu import GpuScreen
from xray_tui.settings import Settings

from .fake import IMPATIENT, FakeNvml, gpu

GPUS = range(4)


@pytest.fixture
def app(nvml: FakeNvml, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> XrayApp:
    """The app on an empty runs folder; it looks at the GPUs often, and is quick to give up on a driver."""
    for name in ("LD_LIBRARY_PATH", "FAKENVML_SCENARIO"):
        monkeypatch.setenv(name, nvml.environment[name])
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(
        "xray_tui.feeds.gpu_feed.Sampler", lambda post, _, **given: Sampler(post, 0.1, backoff=IMPATIENT)
    )
    monkeypatch.setattr("xray_tui.feeds.gpu_feed.JUDGE_INTERVAL", 0.1)
    (tmp_path / "runs").mkdir()
    return XrayApp(tmp_path / "runs", Settings(lease_dir=tmp_path / "leases"))


def machine(*changes: tuple[int, str]) -> list[str]:
    """Four GPUs, with lines for some of them."""
    return [gpu(index, *(line for place, line in changes if place == index), f"util = {20 + index}") for index in GPUS]


def strip(app: XrayApp) -> list[str]:
    """What the GPU strip shows, a line a row."""
    shown = dashboard(app).gpus
    return [shown.render_line(y).text for y in range(shown.size.height)]


async def until(pilot: Pilot[None], holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for something that the app does by itself; what is not there yet does not hold."""
    assert isinstance(pilot.app, XrayApp)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(IndexError):
            if holds():
                await pilot.pause()
                return
        await asyncio.sleep(0.05)
    raise AssertionError("never came; the strip is\n" + "\n".join(strip(pilot.app)))


@asynccontextmanager
async def opened(app: XrayApp, ready: Callable[[list[str]], bool]):
    async with app.run_test(size=(130, 40)) as pilot:
        await until(pilot, lambda: ready(strip(app)))
        yield pilot


@contextmanager
def a_stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process of nobody's job."""
    with subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"]) as process:
        try:
            yield process
        finally:
            process.kill()


def all_four(lines: list[str]) -> bool:
    return all(f"{20 + index}%" in lines[index] for index in GPUS)


async def test_a_gpu_that_is_lost_keeps_its_row_and_comes_back_while_the_others_go_on(app, nvml):
    nvml.becomes(*machine())
    async with opened(app, all_four) as pilot:
        nvml.becomes(*machine((2, "state = GPU_IS_LOST")))
        await until(pilot, lambda: "! GPU is lost" in strip(app)[2])
        assert "RTX A4000" in strip(app)[2]
        await until(pilot, lambda: "GPU is lost for 1s" in strip(app)[2])
        nvml.becomes(*machine((2, "state = GPU_IS_LOST"), (0, "temp = 77")))
        await until(pilot, lambda: "77°C" in strip(app)[0])
        nvml.becomes(*machine())
        await until(pilot, lambda: all_four(strip(app)))


async def test_a_driver_that_hangs_leaves_old_figures_with_their_age_and_comes_back(app, nvml):
    nvml.becomes(*machine())
    async with opened(app, all_four) as pilot:
        nvml.becomes("latency.nvmlDeviceGetCount_v2 = 600000000", *machine())
        await until(pilot, lambda: "s old · The NVIDIA driver has not answered" in strip(app)[0])
        assert all_four(strip(app)[1:])
        nvml.becomes(*machine())
        await until(pilot, lambda: all_four(strip(app)))


async def test_the_app_leaves_at_once_while_the_driver_hangs(app, nvml):
    nvml.becomes(*machine())
    async with opened(app, all_four):
        nvml.becomes("latency_us = 600000000", *machine())
        await asyncio.sleep(0.3)
        begun = time.monotonic()
        app.exit()
    assert time.monotonic() - begun < 5


async def test_no_permission_for_one_of_four_is_said_in_its_row(app, nvml):
    nvml.becomes(*machine((1, "state = NO_PERMISSION")))
    async with opened(app, lambda lines: "! no permission" in lines[1]):
        assert ["23%" in strip(app)[3], "20%" in strip(app)[0]] == [True, True]


async def test_a_driver_that_is_unloaded_is_one_sentence_until_it_is_loaded_again(app, nvml):
    nvml.becomes(*machine())
    async with opened(app, all_four) as pilot:
        nvml.becomes("init = DRIVER_NOT_LOADED", "global_error = DRIVER_NOT_LOADED", *machine())
        await until(pilot, lambda: "NVIDIA driver is" in strip(app)[0])
        assert not any("22%" in line for line in strip(app))
        nvml.becomes(*machine())
        await until(pilot, lambda: all_four(strip(app)))


async def test_a_gpu_that_works_without_a_listed_process_is_in_use_and_free_again_after_it(app, nvml):
    nvml.becomes(*machine())
    async with opened(app, lambda lines: lines[3].rstrip().endswith("free")) as pilot:
        nvml.becomes(*machine((3, "mem_used = 14GiB")))
        await until(pilot, lambda: "perhaps used: 14" in strip(app)[3])
        await until(pilot, lambda: "in use: 14" in strip(app)[3])
        nvml.becomes(*machine())
        await until(pilot, lambda: strip(app)[3].rstrip().endswith("free"))


@pytest.mark.parametrize(
    ("value", "offered", "said"),
    [
        ("2", ["GPU-00000002"], "CUDA_VISIBLE_DEVICES=2 limits jobs to GPU 2"),
        ("-1", [], "CUDA_VISIBLE_DEVICES=-1 leaves jobs no GPU"),
    ],
)
async def test_a_form_offers_the_gpus_that_the_shell_left_to_the_app(app, nvml, monkeypatch, value, offered, said):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    nvml.becomes(*machine())
    async with opened(app, all_four) as pilot:
        await pilot.press("t")
        await until(pilot, lambda: said in screen_text(app))
        assert [uuid for uuid, _ in app.screen.context.gpus] == offered


async def test_a_process_that_begins_to_compute_makes_its_gpu_busy(app, nvml):
    with a_stranger() as stranger:
        nvml.becomes(*machine((3, f"proc = {stranger.pid} C+G 100MiB")))
        async with opened(app, lambda lines: lines[3].rstrip().endswith("free")) as pilot:
            nvml.becomes(*machine((3, f"proc = {stranger.pid} C 100MiB")))
            await until(pilot, lambda: ": python" in strip(app)[3])
            assert "free" not in strip(app)[3]


async def test_sixteen_gpus_all_have_their_place_and_a_count_that_changes_is_followed(app, nvml):
    nvml.becomes(*(gpu(index, f"util = {50 + index}") for index in range(16)))
    async with opened(app, lambda lines: "65%" in "".join(lines)) as pilot:
        assert all(f"{50 + index}%" in "".join(strip(app)) for index in range(16))
        nvml.becomes(*machine())
        await until(pilot, lambda: all_four(strip(app)))


async def test_gpus_that_tell_nothing_are_dashes_and_no_fault(app, nvml):
    keys = ("util", "mem_total", "temp", "power", "power_limit", "sm_clock", "throttle", "fan")
    nvml.becomes(gpu(0, *(f"{key} = N/A" for key in keys)), gpu(1, "util = N/A", "mig = on"))
    async with opened(app, lambda lines: "-%" in lines[0] and "MIG" in lines[1]):
        assert "-/-G" in strip(app)[0]
        assert "!" not in "".join(strip(app)[:2]), "the last line is the host's, which may be short of CPU"


async def test_an_export_after_a_long_suspension_looks_at_the_gpus_anew(app, nvml):
    nvml.becomes(*machine())
    async with opened(app, all_four) as pilot:
        await until(pilot, lambda: app._board is not None)
        app.services.gpus.stop()
        await until(pilot, lambda: all(thread.name != "gpu-sampler" for thread in threading.enumerate()))
        assert app._gpus is not None
        app._gpus = replace(app._gpus, snapshot=replace(app._gpus.snapshot, time=time.time() - 3600))
        nvml.becomes(*machine((2, f"proc = {os.getpid()} C 100MiB")))
        await pilot.press("x")
        written = app.runs.parent / "LEADERBOARD.md"
        await until(pilot, written.exists)
    assert f"(pid {os.getpid()}, `C`, 100 MiB)" in written.read_text()


async def test_the_gpu_under_the_cursor_shows_its_processes_and_a_stranger_is_not_stopped(app, nvml):
    with a_stranger() as stranger:
        nvml.becomes(*machine((1, f"proc = {stranger.pid} C 3GiB 40"), (1, "proc = 4194301 C N/A")))
        async with opened(app, all_four) as pilot:
            await pilot.press("shift+tab", "j", "enter")
            await until(pilot, lambda: isinstance(app.screen, GpuScreen) and str(stranger.pid) in screen_text(app))
            assert "not visible to this user" in screen_text(app)
            await pilot.press("K")
            await until(pilot, lambda: any("belongs to no job" in note for note in notes(app)))
            assert stranger.poll() is None
            nvml.becomes(*machine())
            await until(pilot, lambda: "No process uses a GPU." in screen_text(app))
            await pilot.press("right", "escape")
            assert not isinstance(app.screen, GpuScreen)


async def test_a_process_of_our_job_has_its_run_and_its_job_is_stopped_after_a_question(app, nvml, tmp_path):
    launcher = LocalLauncher(app.runs, str(tmp_path / "leases"), engine=ENGINE, grace=5.0)
    store = JobStore(app.runs)
    job = launcher.launch(JobSpec("train", "seeds/seed_1", ("until", str(tmp_path / "never")), "none"))
    try:
        nvml.becomes(*machine())
        async with opened(app, all_four) as pilot:
            await until(pilot, lambda: store.get(job.id).process is not None)
            engine = store.get(job.id).process.pid
            nvml.becomes(*machine((0, f"proc = {engine} C 2GiB 90")))
            await until(pilot, lambda: "seeds/seed_1" in strip(app)[0])
            await pilot.press("shift+tab", "g", "enter")
            await until(pilot, lambda: "seeds/seed_1" in screen_text(app) and str(engine) in screen_text(app))
            await pilot.press("K", "n")
            assert isinstance(app.screen, GpuScreen)
            await pilot.press("K")
            await until(pilot, lambda: "Stop train seeds/seed_1?" in screen_text(app))
            await pilot.press("y")
            await until(pilot, lambda: store.get(job.id).state is State.STOPPED)
    finally:
        known = store.get(job.id)
        for process in (known.supervisor, known.process):
            with suppress(OSError, AttributeError):
                os.kill(process.pid, signal.SIGKILL)


@pytest.fixture(autouse=True)
def _no_helper_is_left(app: XrayApp) -> Iterator[None]:
    yield
    if app.services.gpus is not None:
        app.services.gpus.stop()


async def test_figures_are_shown_though_it_cannot_be_found_out_whose_they_are(app, nvml, monkeypatch):
    def fails(*_: object) -> None:
        raise RuntimeError("no /proc here")

    with monkeypatch.context() as broken:
        broken.setattr("xray_tui.jobs.supervise.process_owners.owners", fails)
        nvml.becomes(*machine())
        async with opened(app, all_four) as pilot:
            await until(pilot, lambda: any("no /proc here" in line for line in strip(app)))
            nvml.becomes(*machine((0, "temp = 77")))
            await until(pilot, lambda: "77°C" in strip(app)[0])
            broken.undo()
            await until(pilot, lambda: not any("no /proc here" in line for line in strip(app)))
