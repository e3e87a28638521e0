"""How well a body reproduces twelve joints of real people: pose free, one shape a pose, betas under their own prior.

    python benchmarks/real_joints.py --truth VIEWS/truth.json [--body open] [--body PATH ...]

The joints are BlazePose's points triangulated from several views, compared with the body's blazepose33 keypoints; the
error is the mean distance after a similarity alignment (PA), over the distinct poses. `truth.json` holds `views`, each
with `instant`, `person` and `joints_cam_mm` in the order of :data:`POINTS`.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from dsr.body import Body, BodyAsset, load_asset, rotmat_to_axis_angle
from dsr.evaluation import procrustes_align

POINTS = [24, 26, 28, 23, 25, 27, 11, 13, 15, 12, 14, 16]
"""Of blazepose33: right hip, knee, ankle, left hip, knee, ankle, left shoulder, elbow, wrist, right ones."""


def distinct_poses(path: Path) -> tuple[np.ndarray, list[str]]:
    """(N, 12, 3) metres, one a moment, and the people's names."""
    first = {}
    for view in json.loads(path.read_text(encoding="utf-8"))["views"]:
        first.setdefault(view["instant"], view)
    joints = np.array([view["joints_cam_mm"] for view in first.values()]) / 1000
    return joints, [view["person"] for view in first.values()]


def points_alone(asset: BodyAsset) -> BodyAsset:
    """The same body with no other vertices than joints and :data:`POINTS` need; the points are its coco17."""
    points = asset.keypoint_regressor("blazepose33")[POINTS]
    rows = np.unique(np.concatenate([points.tocoo().col, asset.J_regressor.tocoo().col]))
    return replace(
        asset,
        v_template=asset.v_template[rows],
        shapedirs=asset.shapedirs[rows],
        weights=asset.weights[rows],
        posedirs=None if asset.posedirs is None else asset.posedirs[rows],
        J_regressor=asset.J_regressor[:, rows],
        keypoint_regressors={"coco17": points[:, rows]},
        faces=np.zeros((0, 3), np.int32),
    )


def reproduce(
    asset: BodyAsset, target: np.ndarray, weight: float = 0.01, steps: int = 400
) -> tuple[np.ndarray, np.ndarray]:
    """PA errors (N, 12) in millimetres and betas (N, B).

    Args:
        asset: the body.
        target: (N, 12, 3) metres, y down.
        weight: of the mean squared beta against the mean squared distance in square decimetres.
        steps: of L-BFGS.
    """
    body = Body(points_alone(asset), torch.float64)
    goal = torch.from_numpy(target)
    count = len(goal)
    # face the way the hips and shoulders do
    right, left = goal[:, [0, 9]].mean(1), goal[:, [3, 6]].mean(1)
    down = goal[:, [0, 3]].mean(1) - goal[:, [6, 9]].mean(1)
    x, y = torch.nn.functional.normalize(left - right, dim=1), torch.nn.functional.normalize(-down, dim=1)
    z = torch.nn.functional.normalize(torch.linalg.cross(x, y, dim=1), dim=1)
    orient = rotmat_to_axis_angle(torch.stack([torch.linalg.cross(y, z, dim=1), y, z], -1))
    start = (torch.zeros(count, body.num_betas), torch.zeros(count, body.num_joints - 1, 3), orient, goal.mean(1))
    betas, pose, orient, transl = parameters = [value.double().clone().requires_grad_() for value in start]

    def points() -> torch.Tensor:
        return body.keypoints(body(betas, pose, orient, transl).vertices, "coco17")

    optimiser = torch.optim.LBFGS(
        parameters, max_iter=steps, history_size=30, line_search_fn="strong_wolfe", tolerance_change=1e-12
    )

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        error = (10 * (points() - goal)).square().sum(2).mean(1)
        value = (error + weight * betas.square().mean(1) + 1e-4 * pose.square().mean((1, 2))).sum()
        value.backward()
        return value

    optimiser.step(loss)
    with torch.no_grad():
        aligned = procrustes_align(points(), goal)
    return 1000 * torch.linalg.vector_norm(aligned - goal, dim=2).numpy(), betas.detach().numpy()


def main() -> None:
    """Print the errors of every body."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--body", action="append", help="name or file, more than once; by default open")
    parser.add_argument("--weight", type=float, default=0.01)
    parser.add_argument("--steps", type=int, default=400)
    args = parser.parse_args()
    torch.set_num_threads(1)
    joints, names = distinct_poses(args.truth)
    people = np.array(names)
    for name in args.body or ["open"]:
        errors, betas = reproduce(load_asset(name), joints, args.weight, args.steps)
        print(
            f"{name}: PA {errors.mean():.1f} mm over {len(errors)} poses; "
            + ", ".join(f"{p} {errors[people == p].mean():.1f}" for p in dict.fromkeys(names))
            + f"; rms beta {np.sqrt((betas**2).mean()):.2f}; per joint {errors.mean(0).round(1)}"
        )


if __name__ == "__main__":
    main()
