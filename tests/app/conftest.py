"""A board, jobs and GPUs that look the same on every day and machine, and the app on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.app.samples import GIB, NOW, make_gpu, make_host, make_job, write_artifact
from xray_tui.app.app import XrayApp
from xray_tui.feeds.gpu_feed import Gpus
from xray_tui.feeds.host_feed import Host
from xray_tui.gpu.history import Reading
from xray_tui.gpu.snapshot import GpuProcess, GpuSnapshot
from xray_tui.jobs.model.job import Job, Progress, State
from xray_tui.jobs.supervise.process_owners import Owner
from xray_tui.settings import Settings


@pytest.fixture(autouse=True)
def _fixed_surroundings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings, terminal or folder of the person who runs the tests reaches the app."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("time.time", lambda: NOW)
    monkeypatch.setattr("xray_tui.app.app.location", lambda runs: "ana@gpu7  ~/runs")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Twelve runs that rank, one that does not."""
    runs = tmp_path / "runs"
    names = ["blend_dual_presence_valjoint", "dg_aug_seeds/seed_42", "dg_aug_seeds/seed_1337", "challenge_dual_head_v1"]
    names += ["a_run_whose_name_has_30_letters", "deeplab_full", "baseline_posmetric"]
    names += [f"swin3d_adapter_v{number}" for number in range(1, 6)]
    for place, name in enumerate(names):
        write_artifact(runs, name, round(0.3837 - place * 0.0213, 4), age=3600.0 * (place + 1) ** 2)
    write_artifact(runs, "baseline_posmetric", 0.2, name="test_metrics_tta_hv_thr025.json")
    write_artifact(runs, "deeplab_full", 0.2772, roc_auc_presence=None, average_precision_presence=None, age=90000.0)
    (runs / "broken_run").mkdir()
    (runs / "broken_run" / "test_metrics.json").write_text('{"dice_pos": 0.')
    return runs


@pytest.fixture
def jobs() -> tuple[Job, ...]:
    """One job in each of the states that one meets."""
    return (
        make_job("j5", "challenge_dual_head_v2", State.QUEUED, waits="waits for GPU 0", started=None),
        make_job("j4", "baseline_posmetric_s2", State.RUNNING, progress=Progress(9, 20, "epochs", "training", 130.0)),
        make_job("j3", "baseline_posmetric", State.SUCCEEDED, kind="evaluate"),
        make_job("j2", "deeplab_full", State.FAILED, cause="out of memory: batch_size 64 does not fit"),
        make_job("j1", "swin3d_adapter_v1", State.STOPPED, cause="stopped by ana"),
    )


@pytest.fixture
def gpus() -> Gpus:
    """Two A100 after a minute: one at work for a job of ours, one that is free."""
    worker = GpuProcess(4711, "C", 40 * GIB, "python3", "ana", "xray-engine train", NOW - 600, 81)
    snapshot = GpuSnapshot(
        (
            make_gpu(0, utilisation=87, memory_used=41 * GIB, temperature=61, power=312.4, processes=(worker,)),
            make_gpu(1),
        ),
        time=NOW,
        driver="550.54",
    )
    return Gpus(
        snapshot,
        {
            "GPU-0": tuple(
                Reading(NOW - 59 + second, min(99, 3 * second), 51.2, 60 + second / 3) for second in range(60)
            ),
            "GPU-1": tuple(Reading(NOW - 59 + second, 0, 1.2, 14.5) for second in range(60)),
        },
        {4711: Owner("baseline_posmetric_s2", "j4")},
        {"GPU-0": "used by another job", "GPU-1": None},
    )


@pytest.fixture
def host() -> Host:
    """A server with room for more."""
    return make_host()


@pytest.fixture
def make_app(runs: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., XrayApp]:
    """The app on `runs`, which reads and watches them; jobs and GPUs come from the test instead of this machine."""
    monkeypatch.setattr("xray_tui.jobs.supervise.recovery.recover_orphans", lambda store: [])
    monkeypatch.setattr("xray_tui.jobs.storage.job_store.JobStore.jobs", lambda store: [])
    monkeypatch.setattr("xray_tui.gpu.sampler.Sampler.start", lambda sampler: None)
    monkeypatch.setattr("xray_tui.feeds.jobs_feed.JobsFeed.start", lambda feed: None)
    monkeypatch.setattr("xray_tui.feeds.host_feed.HostFeed.start", lambda feed: None)
    monkeypatch.setattr("xray_tui.feeds.job_files.Follow.start", lambda follow: None)

    def make(folder: Path | None = runs, **settings: object) -> XrayApp:
        return XrayApp(folder, Settings(**settings))  # type: ignore[arg-type]

    return make
