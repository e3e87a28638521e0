"""The training loop: any network, loss and data behind a :class:`Task`; exact resume, several GPUs, checkpoints.

The loop knows neither bodies nor pictures. A sample depends on (seed, epoch, position) alone, so it is the same with
any number of workers, and a run that was killed goes on with the batch it would have seen.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from dsr.checkpoints import write_weights
from dsr.devices import evaluating, has_bf16
from dsr.errors import DsrError, TrainingError
from dsr.training.batches import BatchPositions, batches, to_device
from dsr.training.config import RunConfig
from dsr.training.config_file import to_dict
from dsr.training.ranks import Ranks
from dsr.training.record import Record
from dsr.training.state import Average, Position, RandomState, read_state, seed_everything, write_state
from dsr.training.task import Task


class Progress(Protocol):
    """Who wants to know how far a run is."""

    def update(self, done: int, total: int, text: str) -> None:
        """Steps were done; ``text`` says the epoch, the last logged loss and the speed."""
        ...

    def line(self, text: str) -> None:
        """A line for people."""
        ...


class Trainer:
    """One run in one folder.

    Args:
        config: everything the run depends on.
        task: the system.
        out: RUN, the folder for everything written.
        progress: hears of steps; None for silence.
        resume: go on from ``RUN/last.state.pt`` where it is there.

    Raises:
        TrainingError: if the run cannot begin or be resumed.
        UsageError: if there is no such device.
    """

    def __init__(
        self, config: RunConfig, task: Task, out: Path, progress: Progress | None = None, resume: bool = False
    ) -> None:
        self.config, self.task, self.out, self.progress = config, task, out, progress
        self.ranks = Ranks.from_environment()
        self.device = self.ranks.device(config.device)
        self._stop = False
        self._bf16 = config.optim.bf16 == "on" and has_bf16(self.device)
        self._latest: dict[str, float] = {}
        if config.threads:
            torch.set_num_threads(config.threads)
        self._started_group = self.ranks.start(self.device)
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
        self.optimizer = task.make_optimizer(self.model)
        self.average = Average(self.model, config.optim.ema) if config.optim.ema else None
        self.position = Position()
        seed_everything(config.seed + 1 + self.ranks.rank)  # other dropout on every GPU
        self._random = RandomState.capture()
        if resume and (out / "last.state.pt").exists():
            self._load(out / "last.state.pt")
        self.record = Record(out, config.log, self.position.total) if self.ranks.first else None
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
            if self._started_group:
                self.wrapped = self.model
                self.ranks.end()
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
            self._line(f"Nothing left to do: {position.total} of {self.total_steps} steps are done.")
            if self.record is not None:
                self.metrics = self.record.last_metrics()
            return
        batch_positions = BatchPositions(config.batch, self.epoch_steps, position.total, self.total_steps, self.ranks)
        coming = batches(self.task, batch_positions, config.workers, self.device.type == "cuda")
        self._random.restore()
        began, before = time.perf_counter(), position.total
        while position.total < self.total_steps:
            batch = next(coming)
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
            if self.progress is not None and self.ranks.first:
                loss = f"loss {self._latest['loss']:.4g}, " if self._latest else ""
                self.progress.update(position.total, self.total_steps, f"epoch {epoch}, {loss}{rate:.2f} steps/s")
            if self.ranks.any(self._stop, self.device) and not last:
                self._save(None)
                raise KeyboardInterrupt

    def _step(self, batch: dict[str, Any], epoch: int) -> dict[str, float] | None:
        """One update; the losses as numbers on steps that are logged."""
        optim, number = self.config.optim, self.position.total + 1
        rate = self.task.learning_rate(self.position.total, self.epoch_steps, self.total_steps)
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
        if not self.ranks.any(bool(problem), self.device):
            return
        if self.record is not None:
            header = {"step": str(number), "epoch": str(epoch), "problem": problem}
            write_weights(self.out / "stopped.safetensors", self.model.state_dict(), header)
            self.record.stopped({**header, "samples": self.task.sample_names(batch)})
        kept = self.out / "last.state.pt"
        raise TrainingError(
            f"Training stopped at step {number} (epoch {epoch}): {problem or 'another process stopped'}. The weights "
            f"before this step are in {self.out / 'stopped.safetensors'}, its samples in {self.out / 'stopped.json'}; "
            f"{f'{kept} still holds the last good state' if kept.exists() else 'no earlier state was saved'}. "
            "Use a smaller --optim.lr or gradient clipping (--optim.clip 1) in a new run."
        )

    def _validate(self, epoch: int, final: bool) -> None:
        """Measure, on the first GPU only; random states stay as they were."""
        if self.config.validation.count and self.record is not None:
            with RandomState.capture(), self._evaluated() as model, torch.no_grad():
                self.metrics = self.task.validate(model, final)
            score = self.metrics.get("score")
            if score is not None and (self.position.best is None or score < self.position.best):
                self.position.best, self.position.best_epoch = score, epoch
                write_weights(self.out / "best.safetensors", self._best_weights(), self._header())
            self.record.metrics(self.position.total, epoch, self.metrics)
            shown = {k: v for k, v in self.metrics.items() if k != "score" and "mean_pose" not in k}
            self._line(f"epoch {epoch}: " + ", ".join(f"{k} {v:.4g}" for k, v in shown.items()))
        self.ranks.wait()

    def _overlay(self, batch: dict[str, Any]) -> None:
        if self.record is not None:
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
        try:
            with evaluating(self.model):
                yield self.model
        finally:
            if kept is not None:
                self.model.load_state_dict(kept)

    def _best_weights(self) -> dict[str, Tensor]:
        return self.average.weights if self.average is not None else self.model.state_dict()

    def _save(self, epoch: int | None) -> None:
        """State and weights; after an epoch also its own weights, of which the last few are kept."""
        states = self.ranks.gather(RandomState.capture().values)
        if self.ranks.first:
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
            write_weights(self.out / "last.safetensors", self.model.state_dict(), self._header())
            if self.average is not None:
                write_weights(self.out / "last.ema.safetensors", self.average.weights, self._header())
            if epoch is not None and self.config.log.keep:
                write_weights(self.out / f"epoch_{epoch:04d}.safetensors", self._best_weights(), self._header())
                for old in sorted(self.out.glob("epoch_*.safetensors"))[: -self.config.log.keep]:
                    old.unlink(missing_ok=True)
        self.ranks.wait()

    def _header(self) -> dict[str, str]:
        """The header of the weights."""
        return {**self.task.header(), "step": str(self.position.total), "epoch": str(self.position.epoch)}

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
            self._line(
                f"{path} was written by {len(values['random'])} processes, now there are {self.ranks.world}: "
                "the run goes on, but not exactly as it would have."
            )
        if self.position.step >= self.epoch_steps:
            self.position.epoch, self.position.step = self.position.epoch + 1, 0

    def _amp(self) -> AbstractContextManager[Any]:
        if self._bf16:
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def _line(self, text: str) -> None:
        if self.progress is not None and self.ranks.first:
            self.progress.line(text)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """The first Ctrl-C or SIGTERM ends the run after this step; the second at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: Any) -> None:
            if self._stop:
                raise KeyboardInterrupt
            self._stop = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)


def not_finite(terms: dict[str, Tensor]) -> str:
    """Which terms are NaN or infinite, as a clause; empty when none is. One look at the device."""
    names = list(terms)
    numbers = torch.stack([terms[name].detach().float().reshape(()) for name in names]).tolist()
    wrong = [f"{name} is {number}" for name, number in zip(names, numbers, strict=True) if not np.isfinite(number)]
    terms_wrong = [clause for clause in wrong if not clause.startswith("total ")] or wrong
    return "the term " + ", ".join(terms_wrong) if terms_wrong else ""
