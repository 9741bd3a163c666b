"""The sentences of 'GPU Status'."""

from __future__ import annotations

from collections.abc import Mapping

from xray_tui.gpu.sample import GpuSnapshot


def sentences(snapshot: GpuSnapshot, runs_by_pid: Mapping[int, str] | None = None) -> list[str]:
    raise NotImplementedError
