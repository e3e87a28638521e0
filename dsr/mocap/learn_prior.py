"""Learn the pose prior from motion capture: ``python -m dsr.mocap.learn_prior MOCAP_DIR --out FILE.safetensors``.

Expectation maximisation for a mixture of full-covariance Gaussians over the axis-angle of SMPL joints 1 to 21, on poses
and their mirror images, with components in mirrored pairs so that the prior treats left and right alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from scipy.linalg import solve_triangular
from scipy.special import logsumexp

from dsr._command import run_once
from dsr.errors import DatasetError
from dsr.mocap.retarget import SMPL_FLIP, load_mocap

JOINTS = 21
DIMENSIONS = 3 * JOINTS
_FLIP = np.array(SMPL_FLIP[1 : JOINTS + 1]) - 1

# Standard deviation (radians) added to each joint's axes: sensor noise, people and poses that the clips do not hold.
# Collars, toes and the division of the spine carry no information in the source, wrists and ankles little: more there.
_FLOOR = {
    **dict.fromkeys(range(1, JOINTS + 1), 0.08),
    3: 0.07,
    6: 0.07,
    9: 0.07,
    4: 0.06,
    5: 0.06,
    18: 0.06,
    19: 0.06,
    7: 0.12,
    8: 0.12,
    10: 0.15,
    11: 0.15,
    12: 0.1,
    13: 0.12,
    14: 0.12,
    15: 0.15,
    20: 0.25,
    21: 0.25,
}
# Frames outside these bounds are glitches of the capture (a head turned round, an elbow bent backwards):
# joint -> largest rotation angle, radians; and for the hinges (joint, axis) -> bounds.
_LARGEST_ANGLE = {1: 2.8, 2: 2.8, 3: 1.6, 7: 1.5, 8: 1.5, 12: 1.2, 15: 1.3, 16: 3.0, 17: 3.0, 20: 1.9, 21: 1.9}
_HINGES = {
    (4, 0): (-0.1, 2.75),
    (5, 0): (-0.1, 2.75),
    (4, 1): (-0.5, 0.5),
    (5, 1): (-0.5, 0.5),
    (4, 2): (-0.5, 0.5),
    (5, 2): (-0.5, 0.5),
    (18, 1): (-2.75, 0.15),
    (19, 1): (-0.15, 2.75),
}
# Joint limits never narrower than this (left side; radians): where the clips hold no or too little motion.
_LEAST_RANGE = {
    3: ((-0.6, 0.9), (-0.6, 0.6), (-0.5, 0.5)),
    6: ((-0.4, 0.5), (-0.3, 0.3), (-0.3, 0.3)),
    9: ((-0.4, 0.5), (-0.3, 0.3), (-0.3, 0.3)),
    1: ((-2.3, 0.6), (-0.8, 0.8), (-0.6, 1.0)),
    4: ((-0.1, 2.6), (-0.3, 0.3), (-0.2, 0.2)),
    7: ((-0.8, 0.8), (-0.5, 0.5), (-0.5, 0.5)),
    10: ((-0.5, 0.5), (-0.2, 0.2), (-0.2, 0.2)),
    12: ((-0.6, 0.7), (-0.8, 0.8), (-0.6, 0.6)),
    15: ((-0.6, 0.6), (-0.7, 0.7), (-0.5, 0.5)),
    13: ((-0.3, 0.3), (-0.4, 0.4), (-0.4, 0.4)),
    16: ((-2.2, 1.6), (-2.2, 1.4), (-1.9, 1.6)),
    18: ((-0.6, 0.6), (-2.6, 0.1), (-0.3, 0.3)),
    20: ((-1.5, 1.5), (-0.5, 0.5), (-1.2, 1.2)),
}


@dataclass(frozen=True)
class Mixture:
    """Gaussians over poses: weights (M,), means (M, 63), covariances (M, 63, 63)."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    def log_joint(self, poses: np.ndarray) -> np.ndarray:
        """log(weight * density) of poses (N, 63) under each component, (N, M), nats."""
        columns = []
        for weight, mean, covariance in zip(self.weights, self.means, self.covariances, strict=True):
            whiten = _whiten(covariance)
            residual = (poses - mean) @ whiten.T
            constant = 0.5 * len(mean) * np.log(2 * np.pi) - np.log(np.diag(whiten)).sum()
            columns.append(np.log(weight) - 0.5 * np.square(residual).sum(-1) - constant)
        return np.stack(columns, axis=-1)

    def log_likelihood(self, poses: np.ndarray) -> float:
        """Mean log density of poses (N, 63), nats per pose."""
        return float(logsumexp(self.log_joint(poses), axis=-1).mean())


@dataclass
class Train:
    """Learn the pose prior from BVH clips and write it with its model card."""

    mocap: tyro.conf.Positional[Path]
    """Folder that holds the unpacked mocap archives."""
    out: Path = Path("pose_prior.safetensors")
    """File to write; the model card goes beside it as .md."""
    pairs: int = 8
    """Mirrored pairs of components, besides the broad one."""
    iterations: int = 40
    """Steps of expectation maximisation."""
    fps: float = 10.0
    """Poses per second taken from each clip."""
    recombined: float = 0.2
    """Further poses, as a share of the real ones, with the legs of one pose under the trunk and arms of another."""
    seed: int = 0
    """Seed of the recombined poses and of the first cluster centres."""

    def main(self) -> str:
        """Train, write both files, and return the line of figures."""
        train, train_kept, train_clips = collect_poses(self.mocap, "train", self.fps)
        held_out, held_kept, held_clips = collect_poses(self.mocap, "val", self.fps)
        both = np.concatenate([train, mirror_poses(train)])
        extra = recombine(train, round(self.recombined * len(train)), self.seed)
        poses = np.concatenate([train, extra, mirror_poses(train), mirror_poses(extra)])
        mixture = fit_mixture(poses, self.pairs, self.iterations, self.seed)
        single = Mixture(np.ones(1), both.mean(0)[None], np.cov(both.T, bias=True)[None] + np.diag(_floor() ** 2))
        figures = {
            "training poses": f"{len(train)} of {train_clips} clips, {len(extra)} recombined, and their mirror images",
            "held-out poses": f"{len(held_out)} of {held_clips} clips",
            "glitches dropped": f"{1 - train_kept:.1%} of training frames, {1 - held_kept:.1%} of held-out frames",
            "components": f"{self.pairs} mirrored pairs and one broad",
            "log-likelihood, training": f"{mixture.log_likelihood(both):.2f} nats per pose",
            "log-likelihood, held out": f"{mixture.log_likelihood(held_out):.2f} nats per pose",
            "one Gaussian, held out": f"{single.log_likelihood(held_out):.2f} nats per pose",
            "held-out poses nearest the broad component": f"{broad_share(mixture, held_out):.1%}",
        }
        write_prior(self.out, mixture, *joint_limits(both))
        self.out.with_suffix(".md").write_text(model_card(figures), encoding="utf-8")
        return "; ".join(f"{key}: {value}" for key, value in figures.items())


def collect_poses(folder: Path, split: str, fps: float) -> tuple[np.ndarray, float, int]:
    """Axis-angle poses (N, 63) of a split without glitches, the share of frames kept, and the number of clips.

    Axis-angle is not unique: each joint takes the one of its two nearest forms that lies closer to the joint's mean.
    """
    clips = [motion.body_pose_aa()[:, :JOINTS] for motion in load_mocap(folder, split, fps)]
    if not clips:
        raise DatasetError(f"{folder} has no clips in the split {split!r}; unpack all three archives there.")
    poses = np.concatenate(clips)
    kept = plausible(poses)
    poses = poses[kept]
    angle = np.linalg.norm(poses, axis=-1, keepdims=True)
    other = poses * (1 - 2 * np.pi / np.maximum(angle, 1e-6))
    mean = poses.mean(0)
    closer = np.linalg.norm(other - mean, axis=-1) < np.linalg.norm(poses - mean, axis=-1)
    poses = np.where(closer[..., None] & (angle > 1), other, poses)
    return poses.reshape(-1, DIMENSIONS), float(kept.mean()), len(clips)


def plausible(poses: np.ndarray) -> np.ndarray:
    """Mask (N,) of poses (N, 21, 3) that a body can take."""
    angle = np.linalg.norm(poses, axis=-1)
    mask = np.ones(len(poses), dtype=bool)
    for joint, largest in _LARGEST_ANGLE.items():
        mask &= angle[:, joint - 1] < largest
    for (joint, axis), (least, most) in _HINGES.items():
        mask &= (poses[:, joint - 1, axis] > least) & (poses[:, joint - 1, axis] < most)
    return mask


def mirror_poses(poses: np.ndarray) -> np.ndarray:
    """Mirror images of axis-angle poses (..., 63): sides swapped, the y and z of each axial vector negated."""
    return (poses.reshape(*poses.shape[:-1], JOINTS, 3)[..., _FLIP, :] * [1.0, -1.0, -1.0]).reshape(poses.shape)


def recombine(poses: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Poses (count, 63) with the legs of one random pose and everything else of another: sitting people wave too."""
    rng = np.random.default_rng([seed, 1])
    legs = np.concatenate([np.arange(3 * joint - 3, 3 * joint) for joint in (1, 2, 4, 5, 7, 8, 10, 11)])
    result = poses[rng.integers(len(poses), size=count)]
    result[:, legs] = poses[rng.integers(len(poses), size=count)][:, legs]
    return result


def fit_mixture(poses: np.ndarray, pairs: int, iterations: int, seed: int, broad_weight: float = 0.02) -> Mixture:
    """Expectation maximisation with mirrored pairs of components and one broad component.

    Args:
        poses: (N, 63) poses; the second half mirrors the first.
        pairs: number of mirrored pairs.
        iterations: EM steps.
        seed: seed of the cluster centres.
        broad_weight: weight of the broad component (independent joints, 1.3 times the spread of the data).

    Returns:
        2 * pairs + 1 components, pair by pair, the broad one last.
    """
    responsibilities = _first_responsibilities(poses, pairs, np.random.default_rng(seed))
    mixture = _maximise(poses, responsibilities)
    for _ in range(iterations):
        joint = mixture.log_joint(poses)
        mixture = _maximise(poses, np.exp(joint - logsumexp(joint, axis=-1, keepdims=True)))
    blocks = np.kron(np.eye(JOINTS), np.ones((3, 3)))
    mean, covariance = poses.mean(0), np.cov(poses.T, bias=True) * blocks * 1.3**2 + np.diag((2 * _floor()) ** 2)
    return Mixture(
        np.append(mixture.weights * (1 - broad_weight), broad_weight),
        np.concatenate([mixture.means, mean[None]]),
        np.concatenate([mixture.covariances, covariance[None]]),
    )


def _first_responsibilities(poses: np.ndarray, pairs: int, rng: np.random.Generator) -> np.ndarray:
    """Hard assignments (N, 2 * pairs) by k-means++ seeds and a few steps of k-means, in mirrored pairs."""
    centres = poses[[rng.integers(len(poses))]]
    centres = np.concatenate([centres, mirror_poses(centres)])
    for _ in range(pairs - 1):
        distance = _squared_distance(poses, centres).min(-1)
        new = poses[[rng.choice(len(poses), p=distance / distance.sum())]]
        centres = np.concatenate([centres, new, mirror_poses(new)])
    for _ in range(10):
        nearest = _squared_distance(poses, centres).argmin(-1)
        clusters = [poses[nearest == k] for k in range(2 * pairs)]
        means = np.stack(
            [mine.mean(0) if len(mine) else centre for mine, centre in zip(clusters, centres, strict=True)]
        )
        swapped = mirror_poses(means.reshape(pairs, 2, DIMENSIONS)[:, ::-1])
        centres = (means.reshape(pairs, 2, DIMENSIONS) + swapped).reshape(2 * pairs, DIMENSIONS) / 2
    return np.eye(2 * pairs)[_squared_distance(poses, centres).argmin(-1)]


def _squared_distance(poses: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return np.stack([np.square(poses - centre).sum(-1) for centre in centres], axis=-1)


def _maximise(poses: np.ndarray, responsibilities: np.ndarray) -> Mixture:
    """Weights, means and covariances from the shares (N, 2 * pairs); each pair is made an exact mirror image."""
    flip = mirror_poses(np.arange(DIMENSIONS) + 1.0)  # signed permutation as numbers
    order, sign = np.abs(flip).astype(int) - 1, np.sign(flip)
    weights, means, covariances = [], [], []
    for left, right in responsibilities.reshape(len(poses), -1, 2).transpose(1, 2, 0):
        total = left.sum() + right.sum()
        mean = (left @ poses + right @ mirror_poses(poses)) / total
        covariance = np.zeros((DIMENSIONS, DIMENSIONS))
        for share, data in ((left, poses), (right, mirror_poses(poses))):
            centred = data - mean
            covariance += (centred * share[:, None]).T @ centred
        covariance = covariance / total + np.diag(_floor() ** 2)
        weights += [total / 2, total / 2]
        means += [mean, mean[order] * sign]
        covariances += [covariance, covariance[np.ix_(order, order)] * np.outer(sign, sign)]
    return Mixture(np.array(weights) / np.sum(weights), np.stack(means), np.stack(covariances))


def _floor() -> np.ndarray:
    """(63,) standard deviation added to every axis, radians."""
    return np.repeat([_FLOOR[joint] for joint in range(1, JOINTS + 1)], 3)


def joint_limits(poses: np.ndarray, margin: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper joint limits (63,), radians.

    The 0.1 and 99.9 percentiles of the poses (mirror images among them), widened by the margin, cut to what a hinge can
    do and never narrower than anatomy suggests.
    """
    lower, upper = np.percentile(poses, [0.1, 99.9], axis=0)
    lower, upper = lower.reshape(JOINTS, 3) - margin, upper.reshape(JOINTS, 3) + margin
    for (joint, axis), (least, most) in _HINGES.items():
        lower[joint - 1, axis] = max(lower[joint - 1, axis], least)
        upper[joint - 1, axis] = min(upper[joint - 1, axis], most)
    for joint, ranges in _LEAST_RANGE.items():
        least, most = np.array(ranges).T
        lower[joint - 1], upper[joint - 1] = np.minimum(lower[joint - 1], least), np.maximum(upper[joint - 1], most)
    flat = lower.reshape(-1), upper.reshape(-1)
    mirrored = mirror_poses(flat[0]), mirror_poses(flat[1])
    return np.minimum.reduce([flat[0], *mirrored]), np.maximum.reduce([flat[1], *mirrored])


def _whiten(covariance: np.ndarray) -> np.ndarray:
    """Lower-triangular W with W @ covariance @ W.T the identity."""
    return solve_triangular(np.linalg.cholesky(covariance), np.eye(len(covariance)), lower=True)


def broad_share(mixture: Mixture, poses: np.ndarray) -> float:
    """Share of poses that the last, broad component explains best."""
    return float((mixture.log_joint(poses).argmax(-1) == len(mixture.weights) - 1).mean())


def write_prior(path: Path, mixture: Mixture, lower: np.ndarray, upper: np.ndarray) -> None:
    """Write the tensors that ``dsr.mocap.pose_prior.PosePrior`` reads, as float32 safetensors."""
    from safetensors.numpy import save

    whiten = np.stack([_whiten(covariance) for covariance in mixture.covariances])
    offset = -np.log(np.diagonal(whiten, axis1=1, axis2=2)).sum(-1) - np.log(mixture.weights)
    tensors = {
        "means": mixture.means,
        "whiten": whiten,
        "offset": offset - offset.min(),
        "log_weights": np.log(mixture.weights),
        "lower": lower,
        "upper": upper,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(save({key: np.ascontiguousarray(value, dtype=np.float32) for key, value in tensors.items()}))


def model_card(figures: dict[str, str]) -> str:
    """The model card, markdown."""
    rows = "\n".join(f"| {key} | {value} |" for key, value in figures.items())
    return _CARD.format(rows=rows)


_CARD = """# Pose prior

A mixture of Gaussians over body poses, and joint limits, for fitting bodies to photographs
(`dsr.mocap.pose_prior`) and for drawing plausible poses. A pose is the axis-angle (radians) of SMPL joints 1 to 21
in SMPL order, 63 numbers; the hands (22, 23) and the orientation of the whole body are not part of it.

File: `pose_prior.safetensors` (float32): `means (M, 63)`, `whiten (M, 63, 63)` lower-triangular inverse
Cholesky factors of the covariances, `offset (M,)`, `log_weights (M,)`, `lower (63,)` and `upper (63,)` joint
limits. With `r = whiten[m] @ (theta - means[m])`, `0.5 |r|^2 + offset[m]` is the negative logarithm of weight
times density of component m up to one shared constant. Components come in mirrored pairs; the last one is broad
(joints independent of each other, 1.3 times the spread of the data) so that poses unlike all others cost less.

## Data

Motion capture clips of play, climbing, everyday actions, sports, walking, running, boxing, martial arts and
dance, 60 frames per second, retargeted to SMPL by `dsr.mocap.retarget` so that the directions of the limbs
are kept.

The data used in this project was obtained from mocap.cs.cmu.edu. The database was created with funding from NSF
EIA-0196217. Only what was learned is here; no clip and no converted clip is part of the package.

Split by clip: subjects 08 and 13 and every tenth dance or martial-arts clip are held out; only the number of
components and the share of recombined poses were compared on them. Frames that no body can take (elbows bent
backwards, heads turned round) are dropped.

## Training

    python -m dsr.mocap.learn_prior MOCAP_DIR --out dsr/weights/pose_prior.safetensors

The same clips give the same bytes on the same machine; it takes about two minutes on two cores. This card is
written by it.

| | |
| --- | --- |
{rows}

Log-likelihoods are densities in radians and grow when the floors below shrink; compare them with each other
only.

## Limits

* The source skeleton has no information on collar bones, toes and the division of the spine into three joints,
  and its wrist twist is unreliable. There the prior is a broad guess around rest: standard deviations of 0.12
  rad (collars), 0.15 (feet), 0.07 (spine, each), at least 0.25 (wrists). Elsewhere 0.06 to 0.15 rad are added
  to what the clips show.
* Sitting, kneeling and lying are thin in the clips. Recombined poses (legs of one, trunk and arms of another)
  and the broad component keep them possible, but the prior prefers standing, walking and running people.
* Thirteen numbered subjects and a few dancers, adults as far as is known; no children, and nobody with a
  disability that shows in the pose.
* Axis-angle limits per component are boxes: coarse for shoulders and hips, right for the hinges (knees bend
  about +x, the left elbow about -y, the right one about +y).
* Gaussians know nothing of the body's surface: arms of sampled poses can pass through the trunk.
"""


def entry() -> int:
    """Run the command line."""
    return run_once(Train)


if __name__ == "__main__":
    raise SystemExit(entry())
