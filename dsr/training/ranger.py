"""Ranger: rectified Adam with lookahead, the optimiser of GLA-GCN (specification, section 7)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer


class Ranger(Optimizer):
    """RAdam inside, lookahead around: every ``k`` steps slow weights go ``alpha`` of the way and replace the fast ones.

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        betas: of the two moments.
        eps: added to the root of the second moment.
        weight_decay: added to the gradient's step, decoupled (times the learning rate); 0 as published.
        alpha: share of the way of the slow weights.
        k: steps between two of their moves.
        threshold: rectification starts where the length of the averages' memory exceeds it.

    Example:
        >>> w = torch.nn.Parameter(torch.ones(1))
        >>> optimiser = Ranger([w], lr=0.1)
        >>> w.square().sum().backward(); optimiser.step()
        >>> w.item() < 1
        True
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.01,
        betas: tuple[float, float] = (0.95, 0.999),
        eps: float = 1e-5,
        weight_decay: float = 0.0,
        alpha: float = 0.5,
        k: int = 6,
        threshold: float = 5.0,
    ) -> None:
        if not (lr >= 0 and 0 <= betas[0] < 1 and 0 <= betas[1] < 1 and 0 <= alpha <= 1 and k >= 1):
            raise ValueError(f"Ranger cannot work with lr {lr}, betas {betas}, alpha {alpha}, k {k}.")
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "alpha": alpha,
                "k": k,
                "threshold": threshold,
            },
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update; returns what ``closure`` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group)
        return loss

    def _update(self, weight: torch.Tensor, group: dict[str, Any]) -> None:
        if weight.grad is None or weight.grad.is_sparse:
            raise RuntimeError("Ranger takes dense gradients only.")
        state, grad = self.state[weight], weight.grad
        if not state:
            state["step"] = 0
            state["mean"] = torch.zeros_like(weight)
            state["square"] = torch.zeros_like(weight)
            state["slow"] = weight.detach().clone()
        state["step"] += 1
        t, lr = state["step"], group["lr"]
        beta1, beta2 = group["betas"]
        state["square"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        state["mean"].mul_(beta1).add_(grad, alpha=1 - beta1)
        if group["weight_decay"]:
            weight.mul_(1 - lr * group["weight_decay"])
        factor, rectified = _rectification(t, beta1, beta2, group["threshold"])
        if rectified:
            weight.addcdiv_(state["mean"], state["square"].sqrt().add_(group["eps"]), value=-lr * factor)
        else:
            weight.add_(state["mean"], alpha=-lr * factor)
        if t % group["k"] == 0:
            state["slow"].add_(weight - state["slow"], alpha=group["alpha"])
            weight.copy_(state["slow"])


def _rectification(t: int, beta1: float, beta2: float, threshold: float) -> tuple[float, bool]:
    """Factor on the step, and whether the second moment is to be used at step ``t`` (1 is the first)."""
    power = beta2**t
    longest = 2.0 / (1.0 - beta2) - 1.0
    memory = longest - 2.0 * t * power / (1.0 - power)
    if memory <= threshold:
        return 1.0 / (1.0 - beta1**t), False
    variance_ratio = (memory - 4) / (longest - 4) * (memory - 2) / memory * longest / (longest - 2)
    return math.sqrt((1.0 - power) * variance_ratio) / (1.0 - beta1**t), True
