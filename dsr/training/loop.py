"""The training loop: any network, loss and data behind a :class:`Task`; exact resume, several GPUs, checkpoints.

The loop knows neither bodies nor pictures. A sample depends on (seed, epoch, position) alone, so it is the same with
any number of workers, and a run that was killed goes on with the batch it would have seen.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from dsr.checkpoints import write_weights
from dsr.errors import DsrError, TrainingError
from dsr.training.config import TrainConfig, to_dict
from dsr.training.record import Record
from dsr.training.schedule import learning_rate, make_optimizer
from dsr.training.state import Average, Position, RandomState, read_state, write_state

Amp = Callable[[], AbstractContextManager[Any]]


class Task(Protocol):
    """One system: its network, its data and its losses.

    A task may also have ``make_optimizer(model)``, ``learning_rate(step, epoch_steps, total_steps)`` and ``about()``
    (texts for the header of the weights) where its recipe is not one of :mod:`dsr.training.schedule`.
    """

    def build_model(self) -> nn.Module:
        """The network to train, on the CPU."""
        ...

    def prepare(self, device: torch.device) -> None:
        """Called once before anything else but :meth:`build_model`; bodies, priors, pools of samples."""
        ...

    def epoch_length(self) -> int:
        """Samples of an epoch, over all GPUs."""
        ...

    def sample(self, epoch: int, position: int) -> Any:
        """One sample; a pure function of its arguments, called in worker processes too."""
        ...

    def collate(self, samples: list[Any]) -> dict[str, Any]:
        """A batch."""
        ...

    def terms(self, model: nn.Module, batch: dict[str, Any], epoch: int, amp: Amp) -> tuple[Tensor, dict[str, Tensor]]:
        """The scalar to minimise, and its terms by name for the log; ``with amp():`` around the network only."""
        ...

    def validate(self, model: nn.Module, final: bool) -> dict[str, float]:
        """Measures on held-out samples; ``score`` is the one to choose by, smaller is better."""
        ...

    def overlay(self, model: nn.Module, batch: dict[str, Any]) -> np.ndarray | None:
        """A picture (H, W, 3) uint8 of what the network says about a batch."""
        ...


class Listener(Protocol):
    """Who wants to know how far a run is."""

    def step(self, done: int, total: int, epoch: int, values: dict[str, float], rate: float) -> None:
        """A step was done; ``rate`` is steps per second, ``values`` the last logged losses."""
        ...

    def say(self, text: str) -> None:
        """A line for people."""
        ...


@dataclass(frozen=True)
class Ranks:
    """This process among those of a torchrun."""

    rank: int = 0
    local: int = 0
    world: int = 1

    @classmethod
    def from_environment(cls) -> Ranks:
        """What torchrun says."""
        return cls(
            *(int(os.environ.get(key, default)) for key, default in (("RANK", 0), ("LOCAL_RANK", 0), ("WORLD_SIZE", 1)))
        )


class Trainer:
    """One run in one folder.

    Args:
        config: everything the run depends on.
        task: the system.
        out: RUN, the folder for everything written.
        listener: told about steps; None for silence.
        resume: go on from ``RUN/last.state.pt`` where it is there.

    Raises:
        TrainingError: if the run cannot begin or be resumed.
    """

    def __init__(
        self, config: TrainConfig, task: Task, out: Path, listener: Listener | None = None, resume: bool = False
    ) -> None:
        self.config, self.task, self.out, self.listener = config, task, out, listener
        self.ranks = Ranks.from_environment()
        self.device = choose_device(config.device, self.ranks)
        self._stop = False
        self._bf16 = config.optim.bf16 == "on" and has_bf16(self.device)
        self._latest: dict[str, float] = {}
        if config.threads:
            torch.set_num_threads(config.threads)
        self._own_group = self.ranks.world > 1 and not dist.is_initialized()
        if self._own_group:
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
        seed_everything(config.seed)  # the same weights on every GPU
        self.model = task.build_model()
        if config.optim.sync_batchnorm == "on" and self.ranks.world > 1 and self.device.type == "cuda":
            self.model = nn.SyncBatchNorm.convert_sync_batchnorm(self.model)
        self.model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        task.prepare(self.device)
        length = task.epoch_length()
        self.epoch_steps = length // (config.batch * self.ranks.world)
        if self.epoch_steps < 1:
            raise TrainingError(
                f"An epoch has {length} samples, a step {config.batch} on each of {self.ranks.world} "
                "processes: use a smaller --batch."
            )
        self.total_steps = config.epochs * self.epoch_steps
        if config.steps:
            self.total_steps = min(self.total_steps, config.steps)
        own = getattr(task, "make_optimizer", None)
        self.optimizer = make_optimizer(self.model, config.optim) if own is None else own(self.model)
        self.average = Average(self.model, config.optim.ema) if config.optim.ema else None
        self.position = Position()
        seed_everything(config.seed + 1 + self.ranks.rank)  # other dropout on every GPU
        self._random = RandomState.capture()
        if resume and (out / "last.state.pt").exists():
            self._load(out / "last.state.pt")
        self.record = Record(out, config.log, self.position.total) if self.ranks.rank == 0 else None
        self.wrapped: nn.Module = self.model
        if self.ranks.world > 1:
            self.wrapped = nn.parallel.DistributedDataParallel(
                self.model, [self.device.index] if self.device.type == "cuda" else None, find_unused_parameters=True
            )

    def run(self) -> dict[str, Any]:
        """Train to the end.

        Returns:
            The last and the best measures, steps, seconds.

        Raises:
            TrainingError: naming step and term, when a loss or gradient is not finite.
            KeyboardInterrupt: after saving, when interrupted (Ctrl-C, SIGTERM).
        """
        self.metrics: dict[str, float] = {}
        started, first = time.perf_counter(), self.position.total
        try:
            with self._signals():
                self._train()
        finally:
            if self.record is not None:
                self.record.close()
            if self._own_group:
                dist.destroy_process_group()
        seconds = time.perf_counter() - started
        return {
            "metrics": self.metrics,
            "best": self.position.best,
            "best_epoch": self.position.best_epoch,
            "steps": self.position.total,
            "seconds": seconds,
            "steps_now": self.position.total - first,
        }

    def _train(self) -> None:
        config, position = self.config, self.position
        if position.total >= self.total_steps:
            self._say(f"Nothing left to do: {position.total} of {self.total_steps} steps are done.")
            if self.record is not None:
                self.metrics = self.record.last_metrics()
            return
        batches = iter(self._loader())
        self._random.restore()
        began, before = time.perf_counter(), position.total
        while position.total < self.total_steps:
            batch = self._next(batches)
            epoch = position.epoch
            values = self._step(batch, epoch)
            position.step += 1
            position.total += 1
            rate = (position.total - before) / (time.perf_counter() - began)
            if values is not None and self.record is not None:
                self.record.scalars(position.total, epoch, values, rate)
            if config.log.overlays and position.total % config.log.overlays == 0:
                self._overlay(batch)
            ended = position.step == self.epoch_steps
            if ended:
                position.epoch, position.step = epoch + 1, 0
            last = position.total == self.total_steps
            if (ended and (epoch + 1) % config.validation.every == 0) or last:
                self._validate(epoch, last)
            if ended or last or (config.log.checkpoint and position.total % config.log.checkpoint == 0):
                self._save(epoch if ended else None)
            if self.listener is not None and self.ranks.rank == 0:
                self.listener.step(position.total, self.total_steps, epoch, self._latest, rate)
            if self._stop_wanted() and not last:
                self._save(None)
                raise KeyboardInterrupt

    def _step(self, batch: dict[str, Any], epoch: int) -> dict[str, float] | None:
        """One update; the losses as numbers on steps that are logged."""
        optim, number = self.config.optim, self.position.total + 1
        own = getattr(self.task, "learning_rate", None)
        if own is None:
            rate = learning_rate(optim, self.position.total / self.epoch_steps, self.total_steps / self.epoch_steps)
        else:
            rate = own(self.position.total, self.epoch_steps, self.total_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.wrapped.train()
        batch = to_device(batch, self.device)
        problem, total = "", None
        terms: dict[str, Tensor] = {}
        try:
            total, terms = self.task.terms(self.wrapped, batch, epoch, self._amp)
            problem = not_finite({**terms, "total": total})
        except DsrError as error:
            problem = str(error)
        self._agree(problem, batch, epoch, number)
        assert total is not None
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), optim.clip if optim.clip > 0 else float("inf"))
        self._agree("" if torch.isfinite(norm) else "the gradient is not finite", batch, epoch, number)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.model)
        if number % self.config.log.every and number not in (1, self.total_steps):
            return None
        values = {name: float(term.detach()) for name, term in terms.items()}
        self._latest = {"loss": float(total.detach()), **values, "lr": rate, "gradient": float(norm)}
        return self._latest

    def _agree(self, problem: str, batch: dict[str, Any], epoch: int, number: int) -> None:
        """Stop, on all GPUs together, when something is wrong on one."""
        wrong = bool(problem)
        if self.ranks.world > 1:
            flag = torch.tensor([float(wrong)], device=self.device)
            dist.all_reduce(flag)
            wrong = bool(flag.item())
        if not wrong:
            return
        if self.ranks.rank == 0:
            about = {"step": str(number), "epoch": str(epoch), "problem": problem}
            write_weights(self.out / "stopped.safetensors", self.model.state_dict(), about)
            if self.record is not None:
                self.record.stopped({**about, "samples": _samples(batch)})
        kept = self.out / "last.state.pt"
        raise TrainingError(
            f"Training stopped at step {number} (epoch {epoch}): {problem or 'another process stopped'}. The weights "
            f"before this step are in {self.out / 'stopped.safetensors'}, its samples in {self.out / 'stopped.json'}; "
            f"{f'{kept} still holds the last good state' if kept.exists() else 'no earlier state was saved'}. "
            "Use a smaller --optim.lr or gradient clipping (--optim.clip 1) in a new run."
        )

    def _validate(self, epoch: int, final: bool) -> None:
        """Measure, on the first GPU only; random states stay as they were."""
        if self.config.validation.count and self.ranks.rank == 0:
            with RandomState.capture(), self._evaluated() as model, torch.no_grad():
                self.metrics = self.task.validate(model, final)
            score = self.metrics.get("score")
            if score is not None and (self.position.best is None or score < self.position.best):
                self.position.best, self.position.best_epoch = score, epoch
                write_weights(self.out / "best.safetensors", self._best_weights(), self._about())
            if self.record is not None:
                self.record.metrics(self.position.total, epoch, self.metrics)
                shown = {k: v for k, v in self.metrics.items() if k != "score" and "mean_pose" not in k}
                self._say(f"epoch {epoch}: " + ", ".join(f"{k} {v:.4g}" for k, v in shown.items()))
        self._barrier()

    def _overlay(self, batch: dict[str, Any]) -> None:
        if self.ranks.rank == 0 and self.record is not None:
            with RandomState.capture(), self._evaluated() as model, torch.no_grad():
                picture = self.task.overlay(model, to_device(batch, self.device))
            if picture is not None:
                self.record.picture(self.position.total, picture)

    @contextmanager
    def _evaluated(self) -> Iterator[nn.Module]:
        """The network in evaluation mode, with the averaged weights where there are any."""
        kept = None
        if self.average is not None:
            kept = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
            self.model.load_state_dict(self.average.weights)
        self.model.eval()
        try:
            yield self.model
        finally:
            if kept is not None:
                self.model.load_state_dict(kept)
            self.model.train()

    def _best_weights(self) -> dict[str, Tensor]:
        return self.average.weights if self.average is not None else self.model.state_dict()

    def _save(self, epoch: int | None) -> None:
        """State and weights; after an epoch also its own weights, of which the last few are kept."""
        states: list[Any] = [RandomState.capture().values]
        if self.ranks.world > 1:
            states = [None] * self.ranks.world
            dist.all_gather_object(states, RandomState.capture().values)
        if self.ranks.rank == 0:
            values = {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "position": asdict(self.position),
                "random": states,
                "config": to_dict(self.config),
            }
            if self.average is not None:
                values["average"] = {"steps": self.average.steps, "weights": self.average.weights}
            write_state(self.out / "last.state.pt", values)
            write_weights(self.out / "last.safetensors", self.model.state_dict(), self._about())
            if self.average is not None:
                write_weights(self.out / "last.ema.safetensors", self.average.weights, self._about())
            if epoch is not None and self.config.log.keep:
                write_weights(self.out / f"epoch_{epoch:04d}.safetensors", self._best_weights(), self._about())
                for old in sorted(self.out.glob("epoch_*.safetensors"))[: -self.config.log.keep]:
                    old.unlink(missing_ok=True)
        self._barrier()

    def _about(self) -> dict[str, str]:
        """The header of the weights; :func:`dsr.regressors.loading.load_regressor` reads body and size from it."""
        if hasattr(self.task, "about"):
            return {**self.task.about(), "step": str(self.position.total), "epoch": str(self.position.epoch)}
        return {
            "system": self.config.system,
            "body": Path(self.config.body).stem,
            "image_size": str(self.config.model.image_size),
            "step": str(self.position.total),
            "epoch": str(self.position.epoch),
        }

    def _load(self, path: Path) -> None:
        """Go back to a saved state."""
        values = read_state(path)
        try:
            self.model.load_state_dict(values["model"])
            self.optimizer.load_state_dict(values["optimizer"])
            self.position = Position(**values["position"])
            if self.average is not None:
                self.average.steps = values["average"]["steps"]
                self.average.weights = {k: v.to(self.device) for k, v in values["average"]["weights"].items()}
        except (RuntimeError, ValueError, TypeError, KeyError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise TrainingError(f"{path} does not fit this configuration: {reason}") from error
        if len(values["random"]) == self.ranks.world:
            self._random = RandomState(values["random"][self.ranks.rank])
        else:
            self._say(
                f"{path} was written by {len(values['random'])} processes, now there are {self.ranks.world}: "
                "the run goes on, but not exactly as it would have."
            )
        if self.position.step >= self.epoch_steps:
            self.position.epoch, self.position.step = self.position.epoch + 1, 0

    def _loader(self) -> Any:
        workers = self.config.workers
        return DataLoader(
            _Samples(self.task),
            batch_sampler=_Batches(self),
            collate_fn=_Collate(self.task),
            num_workers=workers,
            generator=torch.Generator().manual_seed(0),  # its own: the global one must not depend on restarts
            pin_memory=self.device.type == "cuda",
            prefetch_factor=2 if workers else None,
            worker_init_fn=_quiet_worker,
        )

    def _next(self, batches: Iterator[Any]) -> dict[str, Any]:
        batch = next(batches)
        if isinstance(batch, _Failure):
            raise TrainingError(f"Step {self.position.total + 1}: {batch.message}")
        return dict(batch)

    def _amp(self) -> AbstractContextManager[Any]:
        if self._bf16:
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def _stop_wanted(self) -> bool:
        if self.ranks.world == 1:
            return self._stop
        flag = torch.tensor([float(self._stop)], device=self.device)
        dist.all_reduce(flag)
        return bool(flag.item())

    def _barrier(self) -> None:
        if self.ranks.world > 1:
            dist.barrier()

    def _say(self, text: str) -> None:
        if self.listener is not None and self.ranks.rank == 0:
            self.listener.say(text)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """The first Ctrl-C or SIGTERM ends the run after this step; the second at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def wanted(number: int, frame: Any) -> None:
            if self._stop:
                raise KeyboardInterrupt
            self._stop = True

        before = {number: signal.signal(number, wanted) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)


@dataclass(frozen=True)
class _Failure:
    """A sample that could not be made; workers hand over the sentence instead of a traceback."""

    message: str


def _quiet_worker(_: int) -> None:
    """Ctrl-C is for the main process, which ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Samples(Dataset[Any]):
    def __init__(self, task: Task) -> None:
        self.task = task

    def __getitem__(self, at: tuple[int, int]) -> Any:
        try:
            return self.task.sample(*at)
        except DsrError as error:
            return _Failure(str(error))


class _Collate:
    def __init__(self, task: Task) -> None:
        self.task = task

    def __call__(self, samples: list[Any]) -> Any:
        failed = next((one for one in samples if isinstance(one, _Failure)), None)
        return failed if failed is not None else self.task.collate(samples)


class _Batches:
    """Positions of this process's batches from where the run is to its end.

    The last samples of an epoch that make no whole step are dropped, as published.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.batch, self.ranks, self.epoch_steps = trainer.config.batch, trainer.ranks, trainer.epoch_steps
        self.first, self.end = trainer.position.total, trainer.total_steps

    def __len__(self) -> int:
        return self.end - self.first

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for number in range(self.first, self.end):
            epoch, step = divmod(number, self.epoch_steps)
            start = (step * self.ranks.world + self.ranks.rank) * self.batch
            yield [(epoch, start + i) for i in range(self.batch)]


def choose_device(name: str, ranks: Ranks) -> torch.device:
    """The device of this process.

    Raises:
        TrainingError: if CUDA is asked for and not there.
    """
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise TrainingError("--device cuda: torch finds no CUDA GPU here; use --device cpu, or install torch for CUDA.")
    if name == "cpu" or not there:
        return torch.device("cpu")
    torch.cuda.set_device(ranks.local % torch.cuda.device_count())
    return torch.device("cuda", ranks.local % torch.cuda.device_count())


def has_bf16(device: torch.device) -> bool:
    """Whether bfloat16 saves time there: on CUDA, and on processors with instructions for it."""
    if device.type == "cuda":
        return True
    asked = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(ask is not None and ask() for ask in asked)


def seed_everything(seed: int) -> None:
    """Seed torch, numpy and Python."""
    import random

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)


def to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The batch with its tensors on the device."""
    return {k: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for k, v in batch.items()}


def not_finite(terms: dict[str, Tensor]) -> str:
    """Which terms are NaN or infinite, as a clause; empty when none is. One look at the device."""
    names = list(terms)
    numbers = torch.stack([terms[name].detach().float().reshape(()) for name in names]).tolist()
    wrong = [f"{name} is {number}" for name, number in zip(names, numbers, strict=True) if not np.isfinite(number)]
    terms_wrong = [clause for clause in wrong if not clause.startswith("total ")] or wrong
    return "the term " + ", ".join(terms_wrong) if terms_wrong else ""


def _samples(batch: dict[str, Any]) -> list[str]:
    sources, keys = batch.get("source"), batch.get("key")
    return [f"{s}: {k}" for s, k in zip(sources, keys, strict=False)] if sources and keys else []
