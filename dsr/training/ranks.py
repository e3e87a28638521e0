"""This process among those of a torchrun: its device, and what all processes have to agree on."""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from dsr.devices import choose_device


@dataclass(frozen=True)
class Ranks:
    """Who this process is.

    Attributes:
        rank: number among all processes; 0 writes files and speaks.
        local: number among those of this machine.
        world: how many there are.
    """

    rank: int = 0
    local: int = 0
    world: int = 1

    @classmethod
    def from_environment(cls) -> Ranks:
        """What torchrun says."""
        return cls(
            *(int(os.environ.get(key, default)) for key, default in (("RANK", 0), ("LOCAL_RANK", 0), ("WORLD_SIZE", 1)))
        )

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def device(self, name: str) -> torch.device:
        """The device of this process, for ``auto``, ``cpu`` or ``cuda``; several GPUs are dealt out.

        Raises:
            UsageError: if CUDA is asked for and not there.
        """
        if choose_device(name) == "cpu":
            return torch.device("cpu")
        number = self.local % torch.cuda.device_count()
        torch.cuda.set_device(number)
        return torch.device("cuda", number)

    def start(self, device: torch.device) -> bool:
        """Meet the other processes; True where this call did it and :meth:`end` has to be called."""
        if self.world == 1 or dist.is_initialized():
            return False
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return True

    def end(self) -> None:
        """Leave the other processes; nobody may hold the wrapped network any more."""
        gc.collect()  # the wrapper is part of a circle; outliving the group, its threads can abort the process
        dist.destroy_process_group()

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether it is so in any process."""
        if self.world == 1:
            return flag
        flags = torch.tensor([float(flag)], device=device)
        dist.all_reduce(flags)
        return bool(flags.item())

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, by rank."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self.world > 1:
            dist.barrier()
