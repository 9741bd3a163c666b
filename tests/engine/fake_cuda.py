"""CUDA without a GPU: shapes, types and devices are followed as on a card, nothing is computed.

What raises inside `fake_cuda`, on any machine: operands on two devices, a tensor that was left behind on the CPU, and
whatever would make the host wait for the card (`.item()`, `.cpu()`, boolean indexing, a list copied over without
`non_blocking`). Backward does not run: autograd asks the driver for a stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten


class HostSync(RuntimeError):
    """Here the host would wait for the card."""


@contextmanager
def fake_cuda() -> Iterator[None]:
    """Tensors made inside with `device="cuda"` are on a card that need not exist, autocast included; networks get there
    by `on_fake_cuda`, arrays by `torch.from_numpy(…).to("cuda", non_blocking=True)`."""
    with (
        patch("torch.cuda.amp.common.amp_definitely_not_available", lambda: False),
        patch("torch.cuda.is_bf16_supported", lambda *_, **__: True),
        FakeTensorMode(allow_non_fake_inputs=False),
        _NoHostSync(),
    ):
        yield


def on_fake_cuda(network: nn.Module) -> nn.Module:
    """The network, its parameters and registered buffers on the fake card; call it inside `fake_cuda`.

    Build the network outside: under `torch.device("meta")`, where nothing has to be initialised, if it can be built so.
    """
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(_there(parameter), parameter.requires_grad))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, _there(buffer))
    return network


def _there(tensor: torch.Tensor) -> torch.Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda")


class _NoHostSync(TorchDispatchMode):
    """Fake tensors refuse what depends on values; copies and lookups that wait all the same are refused here."""

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is aten._to_copy.default:
            _refuse_blocking_copy(args[0], result, (kwargs or {}).get("non_blocking", False))
        elif func is aten.copy_.default:
            _refuse_blocking_copy(args[1], args[0], (args[2:] or [(kwargs or {}).get("non_blocking", False)])[0])
        elif func in (aten.index.Tensor, aten.index_put.default, aten.index_put_.default) and args[0].is_cuda:
            for index in args[1]:
                if index is not None and not index.is_cuda:
                    raise HostSync("indexing with a tensor on the CPU copies it over and waits")
                if index is not None and index.dtype is torch.bool and args[2].numel() != 1:
                    raise HostSync("assigning to the places of a mask counts them and waits")
        return result


def _refuse_blocking_copy(source: torch.Tensor, target: torch.Tensor, non_blocking: bool) -> None:
    if source.is_cuda != target.is_cuda and not non_blocking:
        raise HostSync(f"a copy from {source.device} to {target.device} waits")
