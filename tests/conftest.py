"""What every room's tests may use: the project, the users' own files where they are at hand, generated runs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[1]

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # torch's threads do not spin beside another test's


@pytest.fixture(scope="session")
def project() -> Path:
    """The root of the project."""
    return PROJECT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the project with the users' own board and data; without it the test is skipped."""
    folder = PROJECT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs the users' files in {folder.name}/ beside the project")
    return folder


@pytest.fixture(autouse=True)
def _pressed_keys_have_acted(monkeypatch: pytest.MonkeyPatch) -> None:
    """`pilot.press` returns when what its keys do is done: the app takes them one after the other.

    Textual itself waits behind every single key until the process has been idle for 20 ms, twice.
    """
    if "textual" not in sys.modules:
        return
    from textual.pilot import Pilot

    press = Pilot.press

    async def press_and_wait(pilot: Pilot[Any], *keys: str) -> None:
        await press(pilot, *keys)
        while getattr(pilot.app, "acting", False):
            await asyncio.sleep(0.002)
        await pilot.pause()

    async def a_moment(*seconds: float) -> None:
        await asyncio.sleep(0.002)

    monkeypatch.setattr(Pilot, "press", press_and_wait)
    monkeypatch.setattr("textual.app.wait_for_idle", a_moment)


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """When somebody last used the app is kept in the user's state folder: not in that of who runs the tests."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state"))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """An empty runs folder."""
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


def write(path: Path, content: Any) -> Path:
    """Write a file with the folders that lead to it: bytes and text as they are, everything else as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def calls_of(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> list[tuple[Any, ...]]:
    """The positional arguments of each call of a function or method of `owner` from now on; each call still runs."""
    function, calls = getattr(owner, name), list[tuple[Any, ...]]()

    def call(*given: Any, **named: Any) -> Any:
        calls.append(given)
        return function(*given, **named)

    monkeypatch.setattr(owner, name, call)
    return calls


FLAT_COUNTS = {"num_samples": 613.0, "num_positive": 108.0, "threshold": 0.25, "tta_mode": "hv"}

GENERATED: dict[str, Any] = {
    "board.yaml": (
        "title: Generated board\n"
        "reference: {label: nnUNet, run: reference_test_metrics}\n"
        "insights: [best_primary, versus_reference, best_roc_auc, best_ap]\n"
        "remarks: ['written by “hand”']\n"
    ),
    # A search file of one row is a plain result, one of many rows was searched on the test split.
    "blend/test_metrics.json": {
        "split": "test",
        "tta": "hv",
        "num_rows": 1,
        "best_auc": {"threshold": 0.3, "dice_pos": 0.1},
        "best_joint_auc_plus_dice_pos": {
            "threshold": 0.3,
            "dice_pos": 0.38373,
            "precision_pos": 0.0964,
            "recall_pos": 0.5227,
            "roc_auc_presence": 0.8866,
            "average_precision_presence": 0.7234,
        },
    },
    "blend/test_metrics_search.json": {
        "split": "test",
        "num_rows": 1331,
        "best_joint_auc_plus_dice_pos": {"dice_pos": 0.3911},
    },
    # Names in another case, in a block, the presence metrics in a block of that block.
    "seeds/seed_1/test_metrics.json": {"dice_pos": 0.3511, "iou_pos": 0.25},
    "seeds/seed_1/test_metrics_tta_hv_thr025.json": {
        "test": {"Dice_pos": 0.378, "Iou_pos": 0.2741, "presence": {"roc_auc": 0.745, "ap": 0.3956}}
    },
    "seeds/seed_2/test_metrics_tta_hv.json": {
        "metrics": {"dice_pos": 0.3766, "iou_pos": 0.2719, "precision_pos": 0.077, "recall_pos": 0.5613},
        "presence": {"roc_auc": 0.7352, "ap": 0.3807},
    },
    "seeds/seed_3/test_metrics.json": {"dice_pos": 0.2, **FLAT_COUNTS},
    "seeds/seed_3/test_metrics_tuned.json": {
        "loss": 0.41,
        "DICE_POS": 0.3759,
        "Presence_ROC_AUC": 0.7393,
        "average_precision": 0.3761,
        **FLAT_COUNTS,
    },
    "no_presence/test_metrics.json": {"dice_pos": 0.3505, "iou_pos": 0.2524, **FLAT_COUNTS},
    "reference_test_metrics.json": {"num_cases": 613, "num_positive": 108, "dice": 0.71, "dice_pos": 0.10677},
    "v1/test_metrics_tta_hv_thr025.json": {
        "schema": "xray-test-metrics/1",
        "dice_pos": 0.37,
        "roc_auc_presence": 0.9,
        "average_precision_presence": 0.6,
        "num_samples": 613,
        "num_positive": 108,
        "validation": {"dice_pos": 0.41},
        "input": {"dice_pos": 0.36},
        "threshold": 0.25,
        "tta_mode": "hv",
        "selection": {"threshold_source": "fixed", "presence_source": "cls", "gate": None, "selected_on": "val"},
        "intervals": {"dice_pos": [0.33, 0.42]},
        "data": {"fingerprint": "sha256:aa", "split": "test", "metric_resolution": "native"},
        "provenance": {"created": "2026-02-15T00:38:52+00:00"},
        "per_image": "test_metrics_tta_hv_thr025.images.csv",
    },
    # What does not rank.
    "truncated/test_metrics.json": '{"dice_pos": 0.55, "iou_p',
    "nan/test_metrics.json": '{"dice_pos": NaN, "iou_pos": 0.2}',
    "only_loss/test_metrics.json": {"loss": 0.7},
    "aux/test_metrics_presence_scan.json": {"metrics": {"dice_pos": 0.77}},
    "Smoke_dg/seed_1/test_metrics.json": {"dice_pos": 0.81},
    "regression_check/test_metrics.json": {"dice_pos": 0.8},
    "chosen/test_metrics_cls_best.json": {"dice_pos": 0.4101, "selection": {"threshold_source": "test"}},
    # What is no artifact, and what is not looked into.
    "blend/val_metrics.json": {"dice_pos": 0.51},
    "blend/train_log.json": {"loss": 0.51},
    "v1/checkpoints/test_metrics.json": {"dice_pos": 0.99},
    "v1/predictions/test_hv/test_metrics.json": {"dice_pos": 0.99},
    ".jobs/1/test_metrics.json": {"dice_pos": 0.99},
}


@pytest.fixture
def generated_runs(runs: Path) -> Path:
    """A runs folder with every form that an artifact has had, comparable and not."""
    for path, content in GENERATED.items():
        write(runs / path, content)
    return runs
