"""Samples of the GPUs from a helper process that can be killed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from xray_tui.gpu.sample import GpuSnapshot


class Sampler:
    """Calls `on_sample` in a thread of its own about every `interval` seconds."""

    def __init__(
        self,
        on_sample: Callable[[GpuSnapshot], None],
        interval: float = 1.0,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        raise NotImplementedError

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def set_interval(self, seconds: float) -> None:
        raise NotImplementedError


def sample_once(timeout: float = 5.0, *, environment: Mapping[str, str] | None = None) -> GpuSnapshot:
    raise NotImplementedError
