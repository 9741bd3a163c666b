"""The processes of one training on several GPUs, a GPU each: all that knows of torch.distributed.

Rank 0 is the engine as it is alone: it reads the config, validates, and writes events, checkpoints and the end. The
others follow it step by step. The batch of the config is the whole batch, and each rank takes its share of it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed, nn

from engine.contract.config import LearnConfig
from engine.contract.errors import BadInput
from engine.process.device import Device

STORE_ENV = "XRAY_RANKS_STORE"
"""Where the ranks meet: a file that all can read. Without it the addresses count that torchrun gives."""

_LONGEST_VALIDATION = timedelta(days=1)
"""The others wait for rank 0 meanwhile; who has died is noticed at once all the same."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those of its training. Every method has to be called by all of them."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """For each flag whether some rank has set it."""
        if self.size == 1:
            return flags
        found = torch.tensor(flags, dtype=torch.uint8)
        distributed.all_reduce(found, distributed.ReduceOp.MAX)
        return tuple(bool(flag) for flag in found)

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """The mean over the ranks, without a gradient."""
        if self.size == 1:
            return value
        total = value.detach().clone()
        distributed.all_reduce(total)
        return total / self.size

    def gather(self, value: torch.Tensor) -> list[torch.Tensor]:
        """Every rank's own, in their order; a tensor on the CPU."""
        if self.size == 1:
            return [value]
        found = [torch.empty_like(value) for _ in range(self.size)]
        distributed.all_gather(found, value)
        return found

    def in_turn(self, work: Callable[[], Item]) -> Item:
        """Rank 0 first, so that what it fetches or caches on the way is there for the others."""
        if self.is_first:
            made = work()
            self.tell(None)
            return made
        self.tell(None)
        return work()

    def tell(self, value: Any) -> Any:
        """What rank 0 gives, on every rank."""
        if self.size == 1:
            return value
        told = [value]
        distributed.broadcast_object_list(told, src=0, device=torch.device("cpu"))
        return told[0]

    def wrap(self, network: nn.Module, device: Device) -> nn.Module:
        """The network whose gradients are the mean over the ranks. Each rank's batch norm sees its own share; what is
        saved, and validated, is that of rank 0."""
        if self.size == 1:
            return network
        place = [device.device] if device.is_cuda else None
        # Encoders may have stages that a decoder does not use; their gradients have to stay empty, as they are alone.
        return nn.parallel.DistributedDataParallel(network, device_ids=place, find_unused_parameters=True)

    def apart(self, wrapped: nn.Module) -> AbstractContextManager[None]:
        """A block in which gradients stay each rank's own, and add up: the update that they are of is not complete."""
        if isinstance(wrapped, nn.parallel.DistributedDataParallel):
            return wrapped.no_sync()
        return contextlib.nullcontext()

    def check(self, config: LearnConfig, batch_size: int) -> None:
        """Raises BadInput where the batch cannot be shared evenly."""
        if batch_size % self.size:
            raise BadInput(
                f"training.batch_size: {batch_size} images cannot be shared by {self.size} GPUs; give a multiple"
            )
        if config.device != "cpu" and torch.cuda.is_available() and torch.cuda.device_count() < self.size:
            raise BadInput(f"--gpus {self.size}: {torch.cuda.device_count()} are visible here")


ALONE = Ranks()


def join() -> Ranks:
    """Meet the other ranks, of which RANK and WORLD_SIZE tell, as torchrun sets them. Waits until all have come."""
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
