"""The precision that a processor computes in, and the line about one that emulates it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from engine.process import device
from engine.process.device import pick_device

WITHOUT = "flags\t\t: fpu avx512f avx512bw avx512vl avx512dq\n"


def cpuinfo(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "cpuinfo").write_text(f"processor\t: 0\n{text}")
    monkeypatch.setattr(device, "CPUINFO", folder / "cpuinfo")


def test_bf16_on_a_processor_without_bf16_units_warns_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cpuinfo(tmp_path, WITHOUT, monkeypatch)
    assert pick_device("cpu", "bf16").autocast_dtype is torch.bfloat16
    expected = "training.precision: bf16 is emulated on this processor and slower than fp32\n"
    assert capsys.readouterr().out == expected


def test_auto_avoids_an_emulated_bf16(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cpuinfo(tmp_path, WITHOUT, monkeypatch)
    assert pick_device("cpu").autocast_dtype is None
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("features", ["flags\t: fpu avx512_bf16\n", "flags\t: amx_bf16\n", "Features\t: fp bf16\n", ""])
def test_bf16_units_and_unknown_processors_give_no_warning(
    features: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cpuinfo(tmp_path, features, monkeypatch)
    assert pick_device("cpu", "bf16").autocast_dtype is torch.bfloat16
    assert capsys.readouterr().out == ""
