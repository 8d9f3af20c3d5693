"""Several processes train one model: each takes its share of every batch.

They are started by torchrun, or by anything that sets the variables of `trainer.place`. All run the
same command; the first one does what a process by itself does, and tells the others what to train.
Small numbers go round through the CPU (gloo), gradients through what the device has (NCCL, gloo).
"""

import contextlib
import datetime
import json
import platform
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous
from torch.nn import Module
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from contracts import contract
from nn import TransformerLM
from trainer.config import TrainConfig
from trainer.devices import resolve_device, should_compile
from trainer.lifeline import PATIENCE, Lifeline, describe_process, end_process
from trainer.nonfinite import NonFiniteError
from trainer.place import Place
from trainer.settings import to_mapping
from trainer.signals import StopRequested
from trainer.team import Spread, Team

# Until all processes are there; machines of a cluster may start minutes apart.
JOIN = datetime.timedelta(minutes=10)
# A lost process is known at once; this is for one that lives and never answers.
ANSWER = datetime.timedelta(minutes=30)
LIFELINE, PLAN = "trainer/lifeline", "plan"
# What no other process is the reason of; other errors in torch may be of a collective operation.
OWN_FAILURES = (NonFiniteError, torch.OutOfMemoryError)


class Replicated(Spread):
    """A whole copy of the model in each process; their gradients are averaged (DDP)."""

    def __init__(
        self,
        model: TransformerLM,
        optimizers: list[Optimizer],
        config: TrainConfig,
        team: "ProcessTeam",
        device: torch.device,
    ) -> None:
        super().__init__(model, optimizers, compiled=should_compile(config.compile, device))
        self._team = team
        self._parts = config.gradient_accumulation
        self._calls = 0
        self._replica = DistributedDataParallel(
            _Loss(model, self.loss),
            device_ids=[device.index] if device.type == "cuda" else None,
            gradient_as_bucket_view=True,
        )
        # Tables of the rotary embedding are the same everywhere. The argument of that name is
        # called otherwise from torch 2.15 on, the attribute is not.
        self._replica.broadcast_buffers = False
        self.loss = self._loss_of_part

    def _loss_of_part(self, inputs: Tensor, targets: Tensor, **isolation: Tensor) -> Tensor:
        self._calls += 1
        # Gradients travel once a step: while the last of its parts goes backward.
        self._replica.require_backward_grad_sync = self._calls % self._parts == 0
        loss: Tensor = self._replica(inputs, targets, **isolation)
        return loss

    @contract
    def measure(self, mean: Float[Tensor, ""]) -> tuple[float, float]:
        found = self._team.gather(*super().measure(mean))
        # The gradients are the same everywhere, and so is their norm.
        return sum(loss for loss, _ in found) / len(found), found[0][1]


class _Loss(Module):
    """The loss as the module that DistributedDataParallel asks for."""

    def __init__(self, model: TransformerLM, loss: Callable[..., Tensor]) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    @contract
    def forward(
        self,
        token_ids: Int[Tensor, "batch seq"],
        targets: Int[Tensor, "batch seq"],
        **isolation: Int[Tensor, "batch seq"],
    ) -> Float[Tensor, ""]:
        """Return the mean cross-entropy of this process's sequences."""
        return self.loss(token_ids, targets, **isolation)


class ProcessTeam(Team):
    """The team as one of several processes sees it."""

    def __init__(self, place: Place, store: Store, lifeline: Lifeline) -> None:
        self.rank = place.rank
        self.size = place.size
        self.stopping = False
        """Whether all have agreed to end."""
        self._place = place
        self._store = store
        self._lifeline = lifeline

    def gather(self, *numbers: float) -> list[list[float]]:
        mine = torch.tensor(numbers, dtype=torch.float64)
        every = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(every, mine)
        return [row.tolist() for row in every]

    def agree_on_signal(self, received: int) -> int:
        number = int(max(row[0] for row in self.gather(received)))
        self.stopping = self.stopping or number > 0
        return number

    def check(self, config: TrainConfig) -> None:
        shares = self.size * config.gradient_accumulation
        if config.batch_size % shares:
            parts = ""
            if config.gradient_accumulation > 1:
                parts = f" times gradient_accumulation={config.gradient_accumulation}"
            raise ValueError(
                f"batch_size={config.batch_size} is not divisible by {self.size} processes{parts}: "
                f"give a --batch-size that is a multiple of {shares}"
            )
        if config.parallel == "fsdp" and config.log_norms:
            raise ValueError(
                "log_norms needs whole weights, and --parallel fsdp cuts them: use --parallel ddp"
            )
        if config.device == "mps":
            raise ValueError("device='mps' is for one process: use --device cpu, or no torchrun")
        if config.run_dir is None and self._place.restarts:
            raise ValueError(
                "torchrun --max-restarts needs --run-dir: a restart has to find the run"
            )

    def device(self, name: str) -> torch.device:
        device = resolve_device(name)
        if device.type != "cuda":
            return device
        count, local_rank = torch.cuda.device_count(), self._place.local_rank
        if local_rank is None:
            local_rank = self.rank % count
        if local_rank >= count:
            raise ValueError(
                f"LOCAL_RANK={local_rank} needs {local_rank + 1} GPUs, this machine has {count}: "
                f"start no more processes on it than that"
            )
        torch.cuda.set_device(local_rank)
        return torch.device("cuda", local_rank)

    def first_device(self, config: TrainConfig, device: torch.device) -> torch.device:
        # One GPU may be too small for what is about to be cut.
        return torch.device("cpu") if config.parallel == "fsdp" else device

    def spread(
        self,
        model: TransformerLM,
        optimizers: list[Optimizer],
        config: TrainConfig,
        device: torch.device,
    ) -> Spread:
        if config.parallel == "fsdp":
            from trainer.sharded import Sharded

            return Sharded(model, optimizers, config, self, device)
        return Replicated(model, optimizers, config, self, device)

    def begin(
        self,
        config: TrainConfig,
        data: Path,
        identity: Mapping[str, str],
        resume_from: Path | None,
    ) -> None:
        plan = {
            "config": to_mapping(config),
            "data": str(data),
            "identity": dict(identity),
            "checkpoint": None if resume_from is None else str(resume_from),
        }
        self._store.set(PLAN, json.dumps(plan))

    def nothing_to_do(self) -> None:
        self._store.set(PLAN, "null")

    def hear_plan(self) -> dict[str, Any] | None:
        """Wait for what the first process has told by `begin`, however long it prepares data.

        None stands for nothing to do.
        """
        # Not `store.wait`: signals are handled between two looks.
        while not self._store.check([PLAN]):
            time.sleep(0.05)
        plan: dict[str, Any] | None = json.loads(self._store.get(PLAN))
        return plan

    def leave(self, error: BaseException | None, status: int) -> None:
        """Tell the others how this process ends, after `error` or without one.

        Raises SystemExit for what has happened to all, so that the first alone speaks of it.
        """
        if isinstance(error, RuntimeError) and not isinstance(error, OWN_FAILURES):
            # Probably another process is gone. If so the lifeline ends this one, and says it.
            time.sleep(PATIENCE)
        together = self.stopping and isinstance(error, StopRequested)
        if error is None or together or isinstance(error, NonFiniteError):
            self._lifeline.part()
            if error is not None and not self.leads:
                raise SystemExit(status) from None
            return
        reason = " ".join(str(error).split()) or type(error).__name__
        self._lifeline.fail(f"{describe_process(self.rank)} has failed: {reason}", status)


def host() -> str:
    """Return the name of this machine."""
    return platform.node()


@contextlib.contextmanager
def join(place: Place, status_of: Callable[[BaseException], int]) -> Iterator[ProcessTeam]:
    """Meet the other processes; within the block, end when one of them ends before its time.

    `status_of` gives the exit status for an error, with which the others are to end too.
    """
    try:
        shared, _, _ = next(rendezvous("env://", place.rank, place.size, timeout=JOIN))
        lifeline = _hold_lifeline(place, shared)
        # torchrun's store outlives a restart: what an earlier attempt has left must not be read.
        store = PrefixStore(f"trainer/{lifeline.token}", shared)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(
            backend, store=store, rank=place.rank, world_size=place.size, timeout=ANSWER
        )
    except (RuntimeError, OSError) as error:
        raise ValueError(
            f"rank {place.rank} of {place.size} cannot meet the others at "
            f"{place.host}:{place.port}: {' '.join(str(error).split())[:200]}"
        ) from None
    team = ProcessTeam(place, store, lifeline)
    try:
        yield team
    except BaseException as error:
        team.leave(error, status_of(error))
        raise
    team.leave(None, 0)
    dist.destroy_process_group()


def _hold_lifeline(place: Place, store: Store) -> Lifeline:
    """Return this process's lifeline, connected to that of the first one."""
    if place.rank == 0:
        lifeline = Lifeline(place.rank, place.size, secrets.token_hex(16), end_process)
        lifeline.listen()
        found = {"port": lifeline.port, "token": lifeline.token, "name": describe_process(0)}
        store.set(LIFELINE, json.dumps(found))
        return lifeline
    deadline = time.monotonic() + JOIN.total_seconds()
    while True:
        found = json.loads(store.get(LIFELINE))
        lifeline = Lifeline(place.rank, place.size, found["token"], end_process)
        try:
            lifeline.connect(place.host, found["port"], found["name"])
        except OSError:
            # Perhaps that of the attempt before: the first process may not have begun yet.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return lifeline
