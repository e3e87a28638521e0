"""Training of the default network, as a task of :class:`dsr.training.loop.Trainer`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dsr.body import load_asset
from dsr.checkpoints import load_checkpoint
from dsr.errors import UsageError
from dsr.fitting.lifted_people import shipped_lifter
from dsr.regressors.default.inputs import PersonInputs
from dsr.regressors.default.network import DefaultRegressor, moved_onto
from dsr.training.systems.default.batches import varied_batch
from dsr.training.systems.default.losses import TrueBodies, pose_terms
from dsr.training.systems.default.measures import measure, predict_pairs
from dsr.training.systems.default.pairs import load_pairs
from dsr.training.systems.default.semantic import SemanticTerms
from dsr.training.systems.regressor.config import RegressorTrainConfig
from dsr.training.task import Amp, Task

_VERTICES = 60
"""About so many vertices are compared, spread evenly over the light body's."""


class DefaultTask(Task):
    """Pairs, the default network and its terms.

    Args:
        config: the run.
    """

    config: RegressorTrainConfig

    def __init__(self, config: RegressorTrainConfig) -> None:
        super().__init__(config)
        if config.network.pairs is None:
            raise UsageError("--network.pairs: name the folder of pairs; python -m dsr.synthetic.make_pairs makes one.")
        self.folder: Path = config.network.pairs
        self.semantic: SemanticTerms | None = None
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def build_model(self) -> nn.Module:
        """The network, from given weights where there are any."""
        network, asset = self.config.network, load_asset(self.config.body)
        outside = np.arange(asset.num_vertices)
        if asset.interior is not None:
            outside = np.unique(asset.faces[~asset.interior])
        chosen = tuple(int(v) for v in outside[:: max(1, len(outside) // _VERTICES)])
        model = DefaultRegressor(asset, network.design, network.width, network.blocks, chosen)
        if self.config.model.init is not None:
            load_checkpoint(model, self.config.model.init)
        return model

    def prepare(self, device: torch.device) -> None:
        """Read the pairs."""
        config = self.config
        self.device = device
        lifter, most = shipped_lifter(), config.network.people or None
        drawn = config.losses.dsr == "on"
        self.pairs = load_pairs(self.folder, 0, lifter, labels=drawn, most=most)
        self.held_out = (
            load_pairs(self.folder, 1, lifter, most=config.validation.count) if config.validation.count else None
        )
        if drawn:
            self.semantic = SemanticTerms(config, device)

    def epoch_length(self) -> int:
        """People of an epoch."""
        return len(self.pairs)

    def sample(self, epoch: int, position: int) -> tuple[int, int, int]:
        """Which person; joined and varied when the batch is made."""
        if self._order[0] != epoch:
            generator = np.random.default_rng((self.config.seed, epoch))
            self._order = epoch, generator.permutation(len(self.pairs))
        return int(self._order[1][position]), epoch, position

    def collate(self, samples: list[tuple[int, int, int]]) -> dict[str, Any]:
        """The people of a batch, varied."""
        rows = torch.tensor([row for row, _, _ in samples])
        rng = np.random.default_rng((self.config.seed, *samples[0][1:]))
        return {**varied_batch(self.pairs.select(rows), self.config.network, rng), "row": rows}

    def sample_names(self, batch: dict[str, Any]) -> list[str]:
        """Their places in the folder."""
        return [str(int(row)) for row in batch["row"]]

    def terms(self, model: nn.Module, batch: dict[str, Any], epoch: int, amp: Amp) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted total and its terms; always in float32: chains of rotations take no less."""
        inputs = PersonInputs(**{name: batch[name] for name in PersonInputs.__dataclass_fields__})
        network: Any = getattr(model, "module", model)
        # what falls onto the picture does so in the true camera
        bodies = moved_onto(model(inputs), batch["true_rays"], batch["confidence"], batch["true_scale"])
        with torch.no_grad():
            eye = torch.eye(3).to(batch["turns"]).expand(len(batch["turns"]), 2, 3, 3)
            joints, points, _ = network.body(torch.cat([batch["turns"], eye], 1), batch["betas"])
            shift = batch["joints"][:, :1] - joints[:, :1]
            vertices = points[:, network.body.num_keypoints :] + shift
        true = TrueBodies(
            batch["turns"], batch["betas"], batch["points"], batch["joints"], vertices, batch["seen"], batch["weight"]
        )
        terms = pose_terms(bodies, true, batch["true_scale"])
        weights = {name: getattr(self.config.network, name) for name in terms}
        losses = self.config.losses
        if self.semantic is not None and losses.dsr_started(epoch):
            terms.update(self.semantic(bodies, true, batch))
            weights.update(dsr_mc=losses.dsr_mc, dsr_c=losses.dsr_c)
        weighted = {name: weights[name] * term for name, term in terms.items() if weights[name]}
        return torch.stack(list(weighted.values())).sum(), weighted

    def validate(self, model: nn.Module, final: bool) -> dict[str, float]:
        """Errors on held-out people."""
        if self.held_out is None or not isinstance(model, DefaultRegressor):
            return {}
        return measure(predict_pairs(model, self.held_out), self.held_out)

    def header(self) -> dict[str, str]:
        """What :func:`dsr.regressors.default.shipped.load_default` builds the network from."""
        from dsr.regressors.default.shipped import network_header

        network = self.config.network
        return {**super().header(), **network_header(network.design, network.width, network.blocks)}
