"""The processes of one training on several GPUs, one per GPU. Only this module uses torch.distributed.

Rank 0 is the engine process: it reads the config, validates, and writes events, checkpoints and the end record. The
others follow it step by step. The config's batch is the whole batch, and each rank takes its part of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed, nn

from engine.contract.config import LearnConfig
from engine.contract.errors import BadInput
from engine.process.device import Device

STORE_ENV = "XRAY_RANKS_STORE"
"""File through which the ranks find each other; without it the addresses from torchrun are used."""

_LONGEST_VALIDATION = timedelta(days=1)
"""Timeout of collective operations: the others wait while rank 0 validates. A dead rank is noticed at once all the
same."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among the ranks of its training. Every method has to be called on all ranks."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """For each flag, whether any rank has set it."""
        if self.size == 1:
            return flags
        result = torch.tensor(flags, dtype=torch.uint8)
        distributed.all_reduce(result, distributed.ReduceOp.MAX)
        return tuple(bool(flag) for flag in result)

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """The mean over the ranks, without a gradient."""
        if self.size == 1:
            return value
        total = value.detach().clone()
        distributed.all_reduce(total)
        return total / self.size

    def gather(self, value: torch.Tensor) -> list[torch.Tensor]:
        """Every rank's tensor, in the order of the ranks; on the CPU."""
        if self.size == 1:
            return [value]
        result = [torch.empty_like(value) for _ in range(self.size)]
        distributed.all_gather(result, value)
        return result

    def first_rank_first(self, work: Callable[[], Item]) -> Item:
        """Run `work` on rank 0 first, so that the others find what it downloads or caches."""
        if self.is_first:
            result = work()
            self.broadcast(None)
            return result
        self.broadcast(None)
        return work()

    def broadcast(self, value: Any) -> Any:
        """Rank 0's value, on every rank."""
        if self.size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, src=0, device=torch.device("cpu"))
        return values[0]

    def wrap(self, network: nn.Module, device: Device) -> nn.Module:
        """The network with gradients averaged over the ranks. Each rank's batch norm sees its own part of the batch;
        rank 0's network is validated and saved."""
        if self.size == 1:
            return network
        device_ids = [device.device] if device.is_cuda else None
        # Some decoders leave stages of the encoder unused; their gradients stay empty, as on one GPU.
        return nn.parallel.DistributedDataParallel(network, device_ids=device_ids, find_unused_parameters=True)

    def check(self, config: LearnConfig, batch_size: int) -> None:
        """Raises BadInput where the batch cannot be divided evenly."""
        if batch_size % self.size:
            raise BadInput(
                f"training.batch_size: expected a multiple of {self.size}, the number of GPUs; got {batch_size}"
            )
        if config.device != "cpu" and torch.cuda.is_available() and torch.cuda.device_count() < self.size:
            raise BadInput(f"--gpus {self.size}: only {torch.cuda.device_count()} are visible")


ALONE = Ranks()


def join() -> Ranks:
    """Wait for the other ranks, as RANK and WORLD_SIZE (set by torchrun or rank 0) define them."""
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return ALONE
    has_gpus = torch.cuda.is_available()
    if has_gpus:
        torch.cuda.set_device(min(int(os.environ.get("LOCAL_RANK", rank)), torch.cuda.device_count() - 1))
    store = os.environ.get(STORE_ENV)
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if has_gpus else "gloo",
        init_method=f"file://{store}" if store else "env://",
        rank=rank,
        world_size=size,
        timeout=_LONGEST_VALIDATION,
    )
    return Ranks(rank, size)
