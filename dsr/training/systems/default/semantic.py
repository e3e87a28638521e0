"""DSR's semantic terms for the default network: its shape, drawn in the true pose, against the clothing labels.

Differentiable Semantic Rendering (ICCV 2021): tight where skin or shoes show, inside the clothes elsewhere. Bodies are
drawn in the camera turned to the person, in the square that the network's silhouette covers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from dsr.body import load_body
from dsr.clothing import clothed_target, minimally_clothed_target, semantic_attributes
from dsr.losses import semantic_losses
from dsr.regressors.default.inputs import MASK_REACH
from dsr.regressors.default.network import PredictedBodies
from dsr.rendering import RenderSettings, SemanticRenderer
from dsr.training.systems.default.losses import TrueBodies
from dsr.training.systems.dsr import load_prior
from dsr.training.systems.regressor.config import RegressorTrainConfig


class SemanticTerms:
    """DSR-MC and DSR-C of some people of a batch.

    Args:
        config: the run.
        device: where bodies are drawn.
    """

    def __init__(self, config: RegressorTrainConfig, device: torch.device) -> None:
        losses = config.losses
        self.config, self.people = losses, config.network.semantic_people
        self.body = load_body(config.body, device=device)
        asset = self.body.asset
        outer = np.flatnonzero(~asset.interior) if asset.interior is not None else np.arange(len(asset.faces))
        self.prior = torch.from_numpy(load_prior(losses.prior, asset)[outer]).to(device)
        self.faces = self.body.faces[torch.from_numpy(outer).to(device)].contiguous()
        settings = RenderSettings(sigma=losses.sigma, gamma=losses.gamma, occlusion="body")
        self.renderer = SemanticRenderer(settings, losses.backend, threads=config.threads or None)

    def __call__(self, bodies: PredictedBodies, true: TrueBodies, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Both terms, of the batch's first people; unweighted."""
        some = slice(self.people)
        labels = batch["labels"][some].long()
        side = labels.shape[-1]
        betas = bodies.betas[some]
        if self.config.semantic_pose == "labelled":
            turns = torch.cat([true.turns[some], bodies.turns[some, true.turns.shape[1] :]], 1).detach()
            posed = self.body(betas, turns[:, 1:], turns[:, 0])
            # stands where the true root stands: a wrong size shows
            vertices = posed.vertices + (true.joints[some, :1] - posed.joints[:, :1])
        else:
            vertices = self.body(betas, bodies.turns[some, 1:], bodies.turns[some, 0], bodies.transl[some]).vertices
        focal = side / (2 * MASK_REACH * batch["true_scale"][some])
        K = torch.zeros(len(betas), 3, 3).to(betas)
        K[:, 0, 0] = K[:, 1, 1] = focal
        K[:, 0, 2] = K[:, 1, 2] = side / 2
        K[:, 2, 2] = 1.0
        tight, clothed = minimally_clothed_target(labels), clothed_target(labels)
        attributes = semantic_attributes(self.prior, tight.valid)
        drawn = self.renderer(vertices, self.faces, attributes, K, (side, side), "faces")
        losses = semantic_losses(
            drawn.attributes,
            tight,
            clothed,
            alpha=drawn.alpha,
            variant=self.config.mc_variant,
            c_variant=self.config.c_variant,
        )
        return {"dsr_mc": losses.mc, "dsr_c": losses.c}
