"""Pose prior learned from motion capture: a mixture of Gaussians over the axis-angle of SMPL joints 1 to 21.

Made for least squares: for the best component m, ``-log p = 0.5 |r|^2 + offset[m]`` with the linear residual
``r = whiten[m] @ (theta - means[m])`` (the max-mixture form of Olson and Agarwal 2013, used by SMPLify).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dsr.checkpoints import shipped_file
from dsr.errors import FittingError

DIMENSIONS = 63
_KEYS = {"means", "whiten", "offset", "log_weights", "lower", "upper"}


@dataclass(frozen=True)
class PosePrior:
    """The mixture and the joint limits; poses are ``theta (B, 63)``: axis-angle of joints 1..21 in SMPL order, radians.

    Attributes:
        means: (M, 63).
        whiten: (M, 63, 63) lower-triangular inverse Cholesky factors of the covariances.
        offset: (M,) so that 0.5 |residual|^2 + offset is -log(weight * density) up to one constant; the least is 0.
        log_weights: (M,). The last component is the broad one that keeps unusual poses possible.
        lower: (63,) smallest value seen in the data, widened, radians.
        upper: (63,) largest value.
    """

    means: Tensor
    whiten: Tensor
    offset: Tensor
    log_weights: Tensor
    lower: Tensor
    upper: Tensor

    @cached_property
    def precision(self) -> Tensor:
        """(M, 63, 63) inverse covariances."""
        return self.whiten.mT @ self.whiten

    @classmethod
    def load(
        cls, path: str | Path | None = None, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> PosePrior:
        """Read a prior; the one that ships with the package when no path is given.

        Raises:
            FittingError: if the file is missing, is not a safetensors file or does not hold a pose prior.
        """
        path = shipped_file("pose_prior.safetensors") if path is None else Path(path)
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError) as error:
            raise FittingError(
                f"cannot read the pose prior {path}: {error}; train it with "
                "`python -m dsr.mocap.learn_prior MOCAP_DIR --out FILE`."
            ) from error
        count = len(tensors["means"]) if "means" in tensors else 0
        shapes = {
            "means": (count, DIMENSIONS),
            "whiten": (count, DIMENSIONS, DIMENSIONS),
            "offset": (count,),
            "log_weights": (count,),
            "lower": (DIMENSIONS,),
            "upper": (DIMENSIONS,),
        }
        if not count or any(key not in tensors or tuple(tensors[key].shape) != shapes[key] for key in _KEYS):
            raise FittingError(f"{path} does not hold a pose prior of {DIMENSIONS} dimensions; train it again.")
        return cls(**{key: tensors[key].to(device=device, dtype=dtype) for key in sorted(_KEYS)})

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> PosePrior:
        """The prior on another device or in another precision."""
        return PosePrior(**{key: getattr(self, key).to(device=device, dtype=dtype) for key in _KEYS})

    def component_nll(self, theta: Tensor) -> Tensor:
        """-log(weight * density) under every component, (B, M), up to one shared constant."""
        residual = torch.einsum("mij,bmj->bmi", self.whiten, theta[:, None] - self.means)
        return 0.5 * residual.square().sum(-1) + self.offset

    def residual(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Least-squares residual under each pose's best component.

        Args:
            theta: (B, 63) poses, radians.

        Returns:
            residual (B, 63), index of the component (B,), and the Jacobian d residual / d theta (B, 63, 63).
        """
        with torch.no_grad():
            index = self.component_nll(theta).argmin(-1)
        jacobian = self.whiten[index]
        return torch.einsum("bij,bj->bi", jacobian, theta - self.means[index]), index, jacobian

    def nll(self, theta: Tensor) -> Tensor:
        """Negative log prior (B,) of the best component, up to a constant, at least 0; differentiable."""
        residual, index, _ = self.residual(theta)
        return 0.5 * residual.square().sum(-1) + self.offset[index]

    def log_density(self, theta: Tensor) -> Tensor:
        """Log p(theta) (B,) in nats of the whole mixture, with all constants."""
        peak = self.log_weights + self.whiten.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        constant = (peak + self.offset)[0] - 0.5 * DIMENSIONS * torch.log(torch.tensor(2 * torch.pi)).to(theta)
        return torch.logsumexp(-self.component_nll(theta), -1) + constant

    def sample(self, count: int, generator: torch.Generator | None = None, temperature: float = 1.0) -> Tensor:
        """Plausible poses (count, 63) inside the joint limits; the broad component is left out.

        Args:
            count: how many.
            generator: source of randomness (on the CPU), for reproducible poses.
            temperature: scales the spread around a component's mean; 0 gives the means themselves.
        """
        weights = self.log_weights.exp().cpu()
        if len(weights) > 1:
            weights = weights[:-1]
        index = torch.multinomial(weights, count, replacement=True, generator=generator).to(self.means.device)
        noise = torch.randn(count, DIMENSIONS, generator=generator).to(self.means)
        step = torch.linalg.solve_triangular(self.whiten[index], noise[..., None], upper=False)[..., 0]
        return (self.means[index] + temperature * step).clamp(self.lower, self.upper)
