"""The small rooms of the contract: text, files, names, events."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract.events import format_event, parse_events
from engine.contract.files import write_json, write_whole
from engine.contract.formats import newer
from engine.contract.metrics import METRICS
from engine.contract.names import artifact_stem
from engine.contract.text import clean, clean_log_line


@given(st.text())
def test_cleaned_text_is_one_printable_line(text: str) -> None:
    assert clean(text).isprintable()


@given(st.text())
def test_a_cleaned_log_line_is_one_printable_line(text: str) -> None:
    assert clean_log_line(text).isprintable()


@pytest.mark.parametrize(
    ("found", "is_newer"),
    [
        ("xray-job/2", True), ("xray-job/10", True), ("xray-job/2.1", True), ("xray-job/1", False),
        ("xray-job/0", False), ("xray-job/", False), ("xray-job/x", False), ("xray-job/²", False), ("other/2", False),
        (2, False), (None, False),
    ],
)  # fmt: skip
def test_a_format_of_a_newer_version_is_named_and_no_other(found: object, is_newer: bool) -> None:
    expected = f"written by a newer version ({found}); this version reads xray-job/1" if is_newer else None
    assert newer(found, "xray-job/1") == expected


def test_controls_stay_visible_and_plain_text_is_untouched() -> None:
    assert clean("a\x1b[31m\nb\u202e\x9b") == "a␛[31m␊b��"
    assert clean("Fraktur – größer als 3 µm") == "Fraktur – größer als 3 µm"


def test_a_progress_bar_shows_its_last_state_without_colours() -> None:
    assert clean_log_line("10%\r20%\r\x1b[32m30%\x1b[0m\tdone\n") == "30%     done"


@pytest.mark.parametrize(
    ("choice", "stem"),
    [
        (("none", 0.5, "auto", False), "test_metrics_thr050"),
        (("hv", 0.25, "auto", False), "test_metrics_tta_hv_thr025"),
        (("hv", "tuned", "topk_mean", True), "test_metrics_tta_hv_tuned_topk_gated"),
        (("d4", 0.125, "pred_area", False), "test_metrics_tta_d4_thr0125_area"),
    ],
)
def test_artifact_names_follow_the_choices(choice: tuple[str, float, str, bool], stem: str) -> None:
    assert artifact_stem(*choice) == stem  # type: ignore[arg-type]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(ValueError, match="Out of range"):
        write_json(path, {"new": float("nan")})
    assert json.loads(path.read_text()) == {"old": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_whole(path, b"old")
    script = (
        "import resource, sys, pathlib, signal\n"
        "from engine.contract.files import write_whole\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_whole(pathlib.Path(sys.argv[1]), b'x' * 5000)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True)
    assert "OSError" in done.stderr
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_events_survive_damage_between_them() -> None:
    lines = (
        format_event("start", 1.0, run="a")
        + '{"event": "st\n[]\n{"a": 1}\n'
        + format_event("end", 2.0, loss=float("nan"))
    )
    assert [event["event"] for event in parse_events(lines)] == ["start", "end"]
    assert [event.get("loss") for event in parse_events(lines)] == [None, None]


def test_no_two_metrics_share_a_name() -> None:
    names = [name for metric in METRICS for name in (metric.name, *metric.aliases)]
    assert len(names) == len(set(names))
