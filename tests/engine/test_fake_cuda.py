"""The card that is not there refuses what a real one would have to wait for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorDeviceMismatchError,
)

from .fake_cuda import HostSync, fake_cuda, on_fake_cuda

Use = Callable[[torch.Tensor], object]


@pytest.mark.parametrize(
    ("use", "error"),
    [
        (lambda x: x + torch.ones(3), FakeTensorDeviceMismatchError),
        (lambda x: x.sum().item(), DataDependentOutputException),
        (lambda x: bool((x > 0).any()), DataDependentOutputException),
        (lambda x: x[x > 0], DynamicOutputShapeException),
        (lambda x: x.cpu(), HostSync),
        (lambda x: x[torch.tensor([0, 1])], HostSync),
        (lambda x: x.new_tensor([1.0, 2.0]), HostSync),
        (lambda x: torch.zeros(3).copy_(x), HostSync),
        (lambda x: x.index_put_((x > 0,), x[:2]), HostSync),
    ],
)
def test_what_waits_for_the_card_or_mixes_devices_raises(use: Use, error: type[Exception]) -> None:
    with fake_cuda(), pytest.raises(error):
        use(torch.rand(3, device="cuda"))


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x + 1.0,
        lambda x: torch.where(x > 0, x, 0.0),
        lambda x: x.masked_fill(x > 0, 0.0),
        lambda x: x + torch.from_numpy(np.ones(3)).to("cuda", non_blocking=True),
    ],
)
def test_what_stays_on_the_card_runs(use: Callable[[torch.Tensor], torch.Tensor]) -> None:
    with fake_cuda():
        assert use(torch.rand(3, device="cuda")).is_cuda


def test_a_network_computes_in_the_precision_of_autocast() -> None:
    with fake_cuda(), torch.autocast("cuda", dtype=torch.bfloat16):
        output = on_fake_cuda(nn.Linear(3, 2))(torch.rand(1, 3, device="cuda"))
        assert (output.device.type, output.dtype) == ("cuda", torch.bfloat16)


class Scaled(nn.Module):
    """Forgets to register its tensor, so `.to` leaves it where it is."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = torch.ones(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


def test_a_tensor_that_is_no_buffer_stays_behind_and_is_found() -> None:
    network = Scaled()
    with fake_cuda(), pytest.raises(AssertionError, match="non_fake_inputs"):
        on_fake_cuda(network)(torch.rand(2, 3, device="cuda"))
