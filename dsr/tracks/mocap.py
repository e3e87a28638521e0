"""Tracks for skeleton lifters from motion capture: clips on bodies of random shape, seen by virtual cameras."""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from dsr.body import BodyAsset, load_asset
from dsr.body.asset import CHILD_BETA
from dsr.body.joints import SMPL24_PARENTS
from dsr.errors import DatasetError, UsageError
from dsr.mocap.retarget import SmplMotion, cmu_subject, default_rest_joints, load_mocap
from dsr.tracks.noise import DetectorNoise
from dsr.tracks.track import PoseTrack

_SIZES = ((1920, 1080), (1280, 720), (640, 480), (1000, 1000), (1080, 1920))
_SPLITS = {"train": "train", "validation": "val", "all": "all"}
_STORED_FPS = 60.0


@dataclass(frozen=True)
class CameraRange:
    """What virtual cameras are drawn from, evenly.

    Attributes:
        focal: focal length in picture diagonals (0.6 is a phone's wide camera, 43 mm film has 1).
        distance_m: from the camera to the middle of the track, along the ground.
        height_m: above the ground.
        aim: how far the optical axis passes beside the person, as a share of half the picture, standard deviation.
        roll_deg: standard deviation.
        nearest_m: no joint comes closer along the optical axis.
        sizes: width and height of pictures.
    """

    focal: tuple[float, float] = (0.6, 1.6)
    distance_m: tuple[float, float] = (2.0, 8.0)
    height_m: tuple[float, float] = (0.3, 2.5)
    aim: float = 0.25
    roll_deg: float = 2.5
    nearest_m: float = 0.6
    sizes: tuple[tuple[int, int], ...] = _SIZES


def mocap_tracks(
    folder: str | Path,
    split: str = "train",
    cameras_per_clip: int = 4,
    seed: int = 0,
    noise: DetectorNoise | None = None,
    keypoints: str = "h36m17",
    fps: float = 30.0,
    seconds: float = 10.0,
    cameras: CameraRange | None = None,
) -> list[PoseTrack]:
    """Tracks of motion-capture clips; the same for the same arguments.

    Clips are cut into parts of ``seconds``; each part is seen by ``cameras_per_clip`` cameras, each time on a body of
    another shape. Frames with glitches of the capture are left out. 3D joints are the body's Human3.6M joints.

    Args:
        folder: the clips, searched for ``*.bvh`` (subjects 08 and 13 and every tenth dance clip are validation).
        split: "train", "validation" or "all".
        cameras_per_clip: cameras for every part.
        seed: of the cameras, shapes and errors.
        noise: errors of the detector; None for exact keypoints with confidence 1.
        keypoints: "h36m17" sees the 3D joints themselves; "blazepose33" sees BlazePose's points and converts them as
            :func:`dsr.tracks.detector_to_h36m17` converts a detector's.
        fps: frames per second wanted, thinned by a whole stride from 60.
        seconds: longest track.
        cameras: range of the cameras.

    Raises:
        DatasetError: if the folder holds no clips or a clip cannot be read.
        UsageError: for an unknown split or set of keypoints, or a count below 1.
    """
    if split not in _SPLITS:
        raise UsageError(f"Unknown split {split!r}; choose train, validation or all.")
    if keypoints not in ("h36m17", "blazepose33"):
        raise UsageError(f"Unknown keypoints {keypoints!r}; choose h36m17 or blazepose33.")
    if cameras_per_clip < 1 or not seconds > 0 or not 0 < fps <= _STORED_FPS:
        raise UsageError(f"{cameras_per_clip} cameras, {seconds} s, {fps} frames per second: out of range.")
    stride = max(1, int(_STORED_FPS / fps + 1e-6))
    sources = {"h36m17": JointSource.of("h36m17")}
    sources[keypoints] = sources["h36m17"] if keypoints == "h36m17" else JointSource.of(keypoints)
    tracks = []
    for number, part in enumerate(_parts(load_motions(folder, split), seconds, stride)):
        for index in range(cameras_per_clip):
            rng = np.random.default_rng([seed, number, index])
            tracks.append(_film(part, index, rng, sources, keypoints, noise, cameras or CameraRange()))
    return tracks


@dataclass(frozen=True, eq=False)
class JointSource:
    """Keypoints of posed bodies without their skin: linear blend skinning summed up per keypoint and bone.

    A keypoint is sum_v r_v sum_j w_vj (G_j p_v + t_j), so sum_v r_v w_vj p_v and sum_v r_v w_vj are all it takes.

    Attributes:
        rest: (24, 3, 1 + B) rest joints, mean and shape directions.
        places: (K, 24, 3, 1 + B) weighted rest places.
        bone_weights: (K, 24) weights of the bones a keypoint moves with.
    """

    rest: np.ndarray
    places: np.ndarray
    bone_weights: np.ndarray

    @staticmethod
    def of(kind: str, asset: BodyAsset | None = None) -> JointSource:
        """From a body's regressor for the set ``kind``; the open body's when none is given.

        Human3.6M's joints inside limbs and trunk are those of the skeleton: averages of skin on both sides of an elbow
        leave the arm when it bends.
        """
        asset = load_asset("open") if asset is None else asset
        shaped = np.concatenate([asset.v_template[..., None], asset.shapedirs], -1).astype(np.float64)
        regressor = asset.keypoint_regressor(kind).tocsr()
        used = np.unique(regressor.indices)
        share = regressor[:, used].toarray()[..., None] * asset.weights[used]
        rest = np.einsum("jv,vxb->jxb", asset.J_regressor.toarray(), shaped, optimize=True)
        places, bone_weights = np.einsum("kvj,vxb->kjxb", share, shaped[used], optimize=True), share.sum(1)
        if kind == "h36m17":
            points = regressor @ asset.v_template.astype(np.float64)
            inner, bones, offsets = _skeleton_rows(points, rest[..., 0])
            bone_weights[inner], places[inner] = bones[inner], bones[inner, :, None, None] * rest
            places[inner, ..., 0] += offsets[inner]
        return JointSource(rest, places, bone_weights)

    def pose(self, motion: SmplMotion, betas: np.ndarray) -> np.ndarray:
        """(T, K, 3) keypoints in the clip's world, metres, on a body of shape ``betas`` (n,), n <= B.

        The path of the pelvis is scaled by the length of the legs, so that feet stay where they stood.
        """
        shape = np.concatenate([[1.0], betas])
        rest, places = (parts[..., : len(shape)] @ shape for parts in (self.rest, self.places))
        mean = default_rest_joints()
        scale = float((rest[1, 1] - rest[7, 1]) / (mean[1, 1] - mean[7, 1]))
        turns = np.empty((len(motion), 24, 3, 3))
        joints = np.empty((len(motion), 24, 3))
        turns[:, 0], joints[:, 0] = motion.global_orient, motion.root_position_m * scale
        for joint, parent in enumerate(SMPL24_PARENTS[1:], 1):
            turns[:, joint] = turns[:, parent] @ motion.body_pose_rotmat[:, joint - 1]
            joints[:, joint] = joints[:, parent] + turns[:, parent] @ (rest[joint] - rest[parent])
        local = places - self.bone_weights[..., None] * rest
        turned = np.swapaxes(turns, 1, 2).reshape(-1, 72) @ local.reshape(len(local), 72).T
        moved = turned.reshape(len(motion), 3, -1).swapaxes(1, 2) + np.einsum("kj,tjx->tkx", self.bone_weights, joints)
        return moved


def _skeleton_rows(points: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Human3.6M joints from SMPL's: which (17,), shares of the joints (17, 24) and offsets (17, 24, 3) in bones.

    Hips and shoulders lie on the line through the two joints as far apart as the body's own keypoints, and as far from
    it, carried by pelvis and upper spine. Nose and head are points of the skin.

    Args:
        points: (17, 3) the body's keypoints at rest.
        joints: (24, 3) its joints at rest.
    """
    rows, offsets = np.zeros((17, 24)), np.zeros((17, 24, 3))
    rows[[2, 3, 5, 6, 12, 13, 15, 16], [5, 8, 4, 7, 18, 20, 19, 21]] = 1
    for left, right, pair, carrier in ((4, 1, (1, 2), 0), (11, 14, (16, 17), 9)):
        wider = (points[left, 0] - points[right, 0]) / (joints[pair[0], 0] - joints[pair[1], 0])
        for row, share in ((left, (1 + wider) / 2), (right, (1 - wider) / 2)):
            rows[row, pair] = share, 1 - share
            offsets[row, carrier] = points[row] - rows[row] @ joints
    neck = np.eye(24)[12]
    for both in (rows, offsets):
        both[0] = (both[1] + both[4]) / 2
        both[8] = (both[11] + both[14]) / 4
    rows[8] += neck / 2
    for both in (rows, offsets):
        both[7] = (both[0] + both[8]) / 2
    return rows.any(1), rows, offsets


def load_motions(folder: str | Path, split: str = "all") -> list[tuple[SmplMotion, np.ndarray]]:
    """Clips at 60 frames per second with the mask (T,) of their frames without glitches.

    Retargeting takes a minute; the result is kept in the user's cache folder (``$XDG_CACHE_HOME/dsr``) until the clips
    change.

    Raises:
        DatasetError: if the folder holds no clips, or none of the split, or a clip cannot be read.
    """
    clips = sorted(Path(folder).rglob("*.bvh"))
    if not clips:
        raise DatasetError(f"no .bvh files below {folder}; unpack the mocap archives there.")
    state = [f"{c.relative_to(folder)} {c.stat().st_size} {c.stat().st_mtime_ns}" for c in clips]
    key = sha256("\n".join([split, "lifting", "3", *state]).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dsr" / f"lifting_{key}.npz"
    try:
        with np.load(cache, allow_pickle=False) as stored:
            columns = {name: stored[name] for name in ("turns", "root", "good", "ends", "fps", "names")}
    except (OSError, ValueError, KeyError, EOFError):
        motions = list(load_mocap(folder, _SPLITS.get(split, split), _STORED_FPS))
        if not motions:
            raise DatasetError(
                f"none of the {len(clips)} clips below {folder} is one for {split}: which are held out goes by their "
                f"names, and there are too few here; add more."
            ) from None
        columns = _columns(motions)
        _store(cache, columns)
    turns = Rotation.from_rotvec(columns["turns"].reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    found = []
    for start, end, fps, name in zip(
        [0, *columns["ends"][:-1]], columns["ends"], columns["fps"], columns["names"], strict=True
    ):
        part = slice(int(start), int(end))
        motion = SmplMotion(
            turns[part, 1:], turns[part, 0], columns["root"][part].astype(np.float64), float(fps), str(name)
        )
        found.append((motion, columns["good"][part]))
    return found


def _columns(motions: list[SmplMotion]) -> dict[str, np.ndarray]:
    """Clips laid end to end, rotations as axis-angle."""
    from dsr.mocap.learn_prior import plausible

    turns = np.concatenate([np.concatenate([m.global_orient[:, None], m.body_pose_rotmat], 1) for m in motions])
    vectors = Rotation.from_matrix(turns.reshape(-1, 3, 3)).as_rotvec().reshape(-1, 24, 3)
    return {
        "turns": vectors.astype(np.float32),
        "root": np.concatenate([m.root_position_m for m in motions]).astype(np.float32),
        "good": plausible(vectors[:, 1:22]),
        "ends": np.cumsum([len(m) for m in motions]),
        "fps": np.array([m.fps for m in motions]),
        "names": np.array(["/".join(Path(m.name).with_suffix("").parts[-2:]) for m in motions]),
    }


def _store(cache: Path, columns: dict[str, np.ndarray]) -> None:
    """Write the cache in one step; without a place to write, do without."""
    partial = cache.with_name(f"{cache.stem}.{os.getpid()}.npz")
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez(partial, **columns)
        partial.replace(cache)
    except OSError:
        partial.unlink(missing_ok=True)


def _parts(motions: list[tuple[SmplMotion, np.ndarray]], seconds: float, stride: int) -> list[SmplMotion]:
    """Runs of good frames cut into about equal parts of at most ``seconds``, thinned; runs under half a second go."""
    parts = []
    for motion, good in motions:
        edges = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]]).astype(np.int8)))
        for start, stop in edges.reshape(-1, 2):
            pieces = max(1, int(np.ceil((stop - start) / (seconds * motion.fps))))
            for piece in np.array_split(np.arange(start, stop), pieces):
                if len(piece) >= 0.5 * motion.fps:
                    kept = piece[::stride]
                    parts.append(
                        SmplMotion(
                            motion.body_pose_rotmat[kept],
                            motion.global_orient[kept],
                            motion.root_position_m[kept],
                            motion.fps / stride,
                            f"{motion.name}@{piece[0]}",
                        )
                    )
    return parts


def _film(
    part: SmplMotion,
    index: int,
    rng: np.random.Generator,
    sources: dict[str, JointSource],
    kind: str,
    noise: DetectorNoise | None,
    cameras: CameraRange,
) -> PoseTrack:
    """One part on one body in one camera."""
    betas = rng.standard_normal(sources["h36m17"].rest.shape[2] - 1)
    betas[CHILD_BETA] = 0.0  # an adult
    joints = sources["h36m17"].pose(part, betas)
    turn, place, K, size = _place_camera(joints, rng, cameras)
    seen = joints if kind == "h36m17" else sources[kind].pose(part, betas)
    joints_m = (joints - place) @ turn.T
    points = (seen - place) @ turn.T
    # Fingers, noses and toes of the seen set may reach further than the joints the camera was placed for.
    pixels = points[..., :2] / np.maximum(points[..., 2:], 0.2) * K[[0, 1], [0, 1]] + K[:2, 2]
    confidence = np.ones(pixels.shape[:2], np.float32)
    if noise is not None:
        pixels, confidence = noise.apply(pixels, points[..., 2], size, part.fps, kind, rng)
    if kind != "h36m17":
        from dsr.tracks.keypoints import detector_to_h36m17

        both = detector_to_h36m17(np.concatenate([pixels, confidence[..., None]], -1), kind)
        pixels, confidence = both[..., :2], both[..., 2]
    group, _, clip = part.name.split("@")[0].rpartition("/")
    return PoseTrack(
        name=f"{part.name}#{index}",
        subject=cmu_subject(Path(clip)) or group,
        action=clip,
        camera=str(index),
        fps=part.fps,
        keypoints_px=pixels.astype(np.float32),
        joints_m=joints_m.astype(np.float32),
        size=size,
        confidence=confidence.astype(np.float32),
        K=K,
    )


def _place_camera(
    joints: np.ndarray, rng: np.random.Generator, cameras: CameraRange
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int]]:
    """World-to-camera rotation (3, 3), place (3,), K (3, 3) and picture size; of eight draws the one that sees most."""
    pelvis = joints[:, 0]
    ground = float(np.percentile(joints[..., 1].min(-1), 5))
    best: tuple[float, tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int]]] | None = None
    for _ in range(8):
        width, height = cameras.sizes[rng.integers(len(cameras.sizes))]
        focal = float(rng.uniform(*cameras.focal) * np.hypot(width, height))
        target = (pelvis.min(0) + pelvis.max(0)) / 2 + rng.normal(0, 0.15, 3)
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(*cameras.distance_m)
        back = np.array([np.sin(angle), 0, np.cos(angle)])
        place = target * [1, 0, 1] + distance * back + [0, ground + rng.uniform(*cameras.height_m), 0]
        aside = rng.normal(0, cameras.aim, 2) * (width, height) / (2 * focal)
        turn = _look(place, target, aside, np.deg2rad(rng.normal(0, cameras.roll_deg)))
        # Step back along the optical axis until the whole track is in front.
        lacking = cameras.nearest_m - float(((joints - place) @ turn[2]).min())
        place = place - max(0.0, lacking) * turn[2]
        place[1] = max(place[1], ground + cameras.height_m[0])
        points = (joints - place) @ turn.T
        if points[..., 2].min() < 0.5 * cameras.nearest_m:
            continue
        K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
        pixels = points[..., :2] / points[..., 2:] * focal + K[:2, 2]
        share = float(((pixels > 0) & (pixels < (width, height))).all(-1).mean())
        if best is None or share > best[0]:
            best = share, (turn, place, K, (width, height))
        if share > 0.95:
            break
    if best is None:
        return _place_camera(joints, rng, cameras)
    return best[1]


def _look(place: np.ndarray, target: np.ndarray, aside: np.ndarray, roll: float) -> np.ndarray:
    """Rows: right, down and forward of a camera that looks from ``place`` (y up) at ``target``, turned aside."""
    forward = (target - place) / np.linalg.norm(target - place)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    level = np.stack([right, np.cross(forward, right), forward])
    return Rotation.from_euler("yxz", [aside[0], aside[1], roll]).as_matrix() @ level
