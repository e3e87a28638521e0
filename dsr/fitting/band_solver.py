"""Normal equations of a track: a band of neighbouring frames with a border for the shape they share.

Terms that join frames reach two frames far. A block Cholesky factor of the band and a Schur complement for the border
solve the system in time that grows with the number of frames only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dsr.fitting.track_problem import FRAME_SIZE


@dataclass(frozen=True)
class TrackEquations:
    """Cost, gradient and Gauss-Newton matrix of a track around a state.

    Attributes:
        cost: sum of squares.
        gradient: (T, 69 + n), the last n columns only in their sum over the frames.
        blocks: couplings of frame t with t, t + 1 and t + 2: (T, P, P), (T-1, P, P), (T-2, P, P) with P = 69 + n.
    """

    cost: float
    gradient: Tensor
    blocks: tuple[Tensor, Tensor, Tensor]

    def solve(self, damping: float, held: int = 0, shape_held: bool = False) -> tuple[Tensor, Tensor] | None:
        """The damped step of the frames (T, 69) and the betas (n,); None where the matrix is not positive definite.

        Args:
            damping: Levenberg-Marquardt's, relative to the diagonal.
            held: frames at the beginning that stay as they are.
            shape_held: whether the betas stay as they are.
        """
        x, size = FRAME_SIZE, self.gradient.shape[1]
        border = size - FRAME_SIZE
        near, next_, after = self.blocks
        edge = near[:, :x, x:].clone()
        corner = near[:, x:, x:].sum(0)
        for reach, block in ((1, next_), (2, after)):
            if len(block):
                edge[:-reach] += block[:, :x, x:]
                edge[reach:] += block[:, x:, :x].transpose(1, 2)
                both = block[:, x:, x:].sum(0)
                corner += both + both.T
        centre = near[:, :x, :x].clone()
        diagonal = centre.diagonal(dim1=1, dim2=2)
        diagonal += damping * diagonal + 1e-9
        corner += torch.diag(damping * corner.diagonal() + 1e-9)
        if held:
            diagonal[:held] += 1e12
        if shape_held:
            corner += 1e15 * torch.eye(border, dtype=corner.dtype)
        right = torch.cat([edge, -self.gradient[:, :x, None]], 2)
        try:
            solved = solve_band(centre, next_[:, :x, :x], after[:, :x, :x], right)
            both = torch.einsum("tpb,tpc->bc", edge, solved)
            schur = corner - both[:, :border]
            betas = torch.linalg.solve(schur, -self.gradient[:, x:].sum(0) - both[:, border])
        except RuntimeError:  # torch's LinAlgError is one
            return None
        step = solved[..., border] - solved[..., :border] @ betas
        return (step, betas) if bool(torch.isfinite(step).all()) else None


def solve_band(centre: Tensor, next_: Tensor, after: Tensor, right: Tensor) -> Tensor:
    """Solve a symmetric system of T blocks (T, X, X) coupled with the next (T-1) and the one after (T-2).

    Two frames make one block of a block-tridiagonal matrix, whose Cholesky factor is built block by block.

    Args:
        centre: (T, X, X) on the diagonal.
        next_: (T-1, X, X) right of it.
        after: (T-2, X, X) right of that.
        right: (T, X, R).

    Returns:
        (T, X, R).
    """
    frames, x, _ = centre.shape
    pairs = (frames + 1) // 2
    wide = centre.new_zeros(pairs, 2 * x, 2 * x)  # on the diagonal
    link = centre.new_zeros(max(pairs - 1, 0), 2 * x, 2 * x)  # below it: row of pair i + 1, column of pair i
    wide[:, :x, :x] = centre[0::2]
    wide[: frames // 2, x:, x:] = centre[1::2]
    if frames % 2:
        wide[-1, x:, x:] = torch.eye(x, dtype=centre.dtype)
    wide[: frames // 2, x:, :x] = next_[0::2].transpose(1, 2)
    wide[: frames // 2, :x, x:] = next_[0::2]
    inner = next_[1::2].transpose(1, 2)
    link[: len(inner), :x, x:] = inner
    even, odd = after[0::2].transpose(1, 2), after[1::2].transpose(1, 2)
    link[: len(even), :x, :x] = even
    link[: len(odd), x:, x:] = odd
    values = centre.new_zeros(pairs, 2 * x, right.shape[-1])
    values[:, :x], values[: frames // 2, x:] = right[0::2], right[1::2]
    factors: list[Tensor] = []
    links: list[Tensor] = []
    for i in range(pairs):
        block = wide[i]
        if i:
            reach = torch.linalg.solve_triangular(factors[-1], link[i - 1].T, upper=False)  # transposed
            links.append(reach)
            block = block - reach.T @ reach
            values[i] -= reach.T @ values[i - 1]
        factors.append(torch.linalg.cholesky(block))
        values[i] = torch.linalg.solve_triangular(factors[i], values[i], upper=False)
    for i in reversed(range(pairs)):
        if i + 1 < pairs:
            values[i] -= links[i] @ values[i + 1]
        values[i] = torch.linalg.solve_triangular(factors[i].T, values[i], upper=True)
    return values.reshape(pairs * 2, x, -1)[:frames]
