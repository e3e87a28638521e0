"""Tracks from motion capture: bodies without skin, virtual cameras, a detector's errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bvh_toys import toy_motion, write_bvh
from scipy.spatial.transform import Rotation

from dsr.body import flip_permutation, load_asset, pose_vertices, skeleton
from dsr.body.joints import joint_names
from dsr.errors import DatasetError, UsageError
from dsr.mocap.retarget import SmplMotion
from dsr.tracks.mocap import CameraRange, JointSource, load_motions, mocap_tracks
from dsr.tracks.noise import DetectorNoise
from dsr.tracks.track import PoseTrack

QUIET = DetectorNoise(scale=0, swaps_per_min=0, drops_per_min=0)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A subject for training, one for validation; the cache goes beside them."""
    folder = tmp_path_factory.mktemp("clips")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        for name, frames in (("01_01", 200), ("08_01", 90)):
            (folder / f"{name}.bvh").write_text(write_bvh(toy_motion(frames, 0.02, seed=frames)))
        yield folder


def test_keypoints_are_those_of_the_skinned_body() -> None:
    rng = np.random.default_rng(0)
    asset, betas = load_asset("open"), rng.standard_normal(10)
    turns = Rotation.from_rotvec(rng.normal(0, 0.5, (24, 3))).as_matrix()
    motion = SmplMotion(turns[None, 1:], turns[None, 0], np.zeros((1, 3)), 60.0)
    skin = pose_vertices(asset, betas, turns[1:], turns[0])
    transforms = skeleton(asset, betas, turns[1:], turns[0])[1]
    blazepose = JointSource.of("blazepose33", asset).pose(motion, betas)[0]
    joints = JointSource.of("h36m17", asset).pose(motion, betas)[0]
    # All relative to the pelvis joint: the clip says where it stands.
    marked = asset.keypoint_regressor("blazepose33") @ skin - transforms[0, :3, 3]
    np.testing.assert_allclose(blazepose, marked, atol=1e-6)
    limbs = transforms[[5, 8, 4, 7, 18, 20, 19, 21], :3, 3] - transforms[0, :3, 3]
    np.testing.assert_allclose(joints[[2, 3, 5, 6, 12, 13, 15, 16]], limbs, atol=1e-6)
    lifted = asset.keypoint_regressor("h36m17") @ skin - transforms[0, :3, 3]
    np.testing.assert_allclose(joints[9:11], lifted[9:11], atol=1e-6)
    assert np.linalg.norm(joints - lifted, axis=1).max() < 0.03  # skin around a bent joint is not quite there
    still = SmplMotion(np.eye(3)[None, None].repeat(23, 1), np.eye(3)[None], np.zeros((1, 3)), 60.0)
    rest = JointSource.of("h36m17", asset).pose(still, np.zeros(10))[0]
    shown = asset.keypoint_regressor("h36m17") @ asset.v_template - (asset.J_regressor @ asset.v_template)[0]
    np.testing.assert_allclose(rest, shown, atol=0.01)
    np.testing.assert_allclose(rest[[1, 4, 11, 14]], shown[[1, 4, 11, 14]], atol=1e-6)


def test_bones_keep_their_length(clips: Path) -> None:
    for track in mocap_tracks(clips, cameras_per_clip=1):
        for child, parent in ((3, 2), (6, 5), (13, 12), (16, 15), (1, 4)):
            length = np.linalg.norm(track.joints_m[:, child] - track.joints_m[:, parent], axis=-1)
            assert length.std() < 1e-4


def test_tracks(clips: Path) -> None:
    tracks = mocap_tracks(clips, cameras_per_clip=3, seconds=2.0)
    # 197 frames at 60 (the lead-in is dropped) in two parts, thinned to 30.
    assert [len(track) for track in tracks] == [50] * 3 + [49] * 3
    assert {track.subject for track in tracks} == {"01"} and tracks[0].fps == 30
    assert len({track.name for track in tracks}) == 6
    reach = CameraRange()
    for track in tracks:
        assert track.K is not None
        depth = track.joints_m[..., 2]
        assert depth.min() > 0.3 and 1.0 < np.median(depth) < 10
        image = track.joints_m @ track.K.T
        np.testing.assert_allclose(track.keypoints_px, image[..., :2] / image[..., 2:], atol=0.01)
        assert ((track.keypoints_px > 0) & (track.keypoints_px < track.size)).mean() > 0.5
        # Standing people: y points down in the camera, so that heads have the smaller y.
        assert (track.joints_m[:, 10, 1] < track.joints_m[:, 3, 1] - 1).all()
        focal = track.K[0, 0] / np.hypot(*track.size)
        assert reach.focal[0] <= focal <= reach.focal[1]
    assert len({track.K[0, 0] for track in tracks if track.K is not None}) > 1
    thighs = [np.linalg.norm(t.joints_m[:, 5] - t.joints_m[:, 4], axis=-1).mean() for t in tracks]
    assert np.ptp(thighs) > 1e-3  # bodies differ


def test_left_is_left(clips: Path) -> None:
    """The person's left lies along their facing direction crossed with up, in every camera."""
    for track in mocap_tracks(clips, cameras_per_clip=4):
        joints = track.joints_m.mean(0)
        up, across = joints[8] - joints[0], joints[11] - joints[14]
        facing = joints[9] - joints[8]  # the nose is before the neck
        # y points down, but the frame is right-handed: up x facing is the left side.
        assert np.cross(up, facing) @ across > 0


def test_split_and_repeat(clips: Path) -> None:
    assert {track.subject for track in mocap_tracks(clips, "validation")} == {"08"}
    assert {track.subject for track in mocap_tracks(clips, "all")} == {"01", "08"}
    first, again = (mocap_tracks(clips, noise=DetectorNoise(), seed=3, cameras_per_clip=1)[0] for _ in range(2))
    np.testing.assert_array_equal(first.keypoints_px, again.keypoints_px)
    other = mocap_tracks(clips, noise=DetectorNoise(), seed=4, cameras_per_clip=1)[0]
    assert np.abs(first.keypoints_px - other.keypoints_px).max() > 5


def test_the_cache_gives_the_same(clips: Path) -> None:
    motion, good = load_motions(clips, "validation")[0]
    stored = list((clips / "cache" / "dsr").glob("lifting_*.npz"))
    assert stored and good.all()
    stored[0].write_bytes(b"cut short")
    again, _ = load_motions(clips, "validation")[0]
    np.testing.assert_allclose(again.body_pose_rotmat, motion.body_pose_rotmat, atol=1e-6)


def test_blazepose_points_come_as_a_detector_gives_them(clips: Path) -> None:
    exact = mocap_tracks(clips, cameras_per_clip=1)[0]
    seen = mocap_tracks(clips, cameras_per_clip=1, keypoints="blazepose33")[0]
    np.testing.assert_array_equal(exact.joints_m, seen.joints_m)
    apart = np.linalg.norm(exact.keypoints_px - seen.keypoints_px, axis=-1)
    height = np.ptp(exact.keypoints_px[..., 1], axis=1).mean()
    assert 0 < apart.mean() < 0.05 * height and apart.max() < 0.15 * height


def test_noise_is_of_the_stated_size_and_alike_from_frame_to_frame() -> None:
    frames, pixels, depth = _standing(20000)
    rng = np.random.default_rng(0)
    noise = DetectorNoise(scale=1, swaps_per_min=0, drops_per_min=0, bias=0, tails=0.3)
    moved, confidence = noise.apply(pixels, depth, (4000, 4000), 30.0, "h36m17", rng)
    error = (moved - pixels) / 1000
    spread = error.std((0, 2))
    names = joint_names("h36m17")
    ratio = spread[names.index("left_wrist")] / spread[names.index("left_shoulder")]
    assert ratio == pytest.approx(0.013 / 0.017, rel=0.15)
    assert 0.5 * 0.017 * 0.9 < spread[names.index("left_shoulder")] < 1.5 * 0.017 * 1.1
    steps = np.diff(error, axis=0).std((0, 2)) / spread
    assert (steps < 0.75).all() and (steps > 0.2).all()  # independent errors would give 1.41
    assert confidence.shape == (frames, 17) and 0.8 < confidence.mean() <= 1


def test_without_errors_keypoints_stay() -> None:
    _, pixels, depth = _standing(50)
    moved, confidence = QUIET.apply(pixels, depth, (4000, 4000), 30.0, "h36m17", np.random.default_rng(0))
    np.testing.assert_allclose(moved, pixels, atol=1e-3)
    assert confidence.min() >= 0.9


def test_lost_and_hidden_joints_have_low_confidence() -> None:
    _, pixels, depth = _standing(3000)
    noise = DetectorNoise(scale=0, swaps_per_min=0, drops_per_min=20)
    moved, confidence = noise.apply(pixels, depth, (4000, 4000), 30.0, "h36m17", np.random.default_rng(0))
    far = np.linalg.norm(moved - pixels, axis=-1) > 30
    assert 0.02 < far.mean() < 0.3
    assert confidence[far].max() <= 0.4 < confidence[~far].mean()
    _, confidence = QUIET.apply(pixels, depth, (4000, 1700), 30.0, "h36m17", np.random.default_rng(0))
    feet = [joint_names("h36m17").index(f"{side}_ankle") for side in ("left", "right")]
    assert confidence[:, feet].max() <= 0.4 and np.delete(confidence, feet, 1).min() >= 0.9


def test_sides_are_exchanged_only_in_side_views() -> None:
    _, pixels, depth = _standing(3000)
    noise = DetectorNoise(scale=0, swaps_per_min=30, drops_per_min=0)
    front, _ = noise.apply(pixels, depth, (4000, 4000), 30.0, "h36m17", np.random.default_rng(0))
    np.testing.assert_allclose(front, pixels, atol=1e-3)
    side = pixels.copy()
    side[..., 0] = 1500 + (pixels[..., 0] - 1500) * 0.1
    moved, _ = noise.apply(side, depth, (4000, 4000), 30.0, "h36m17", np.random.default_rng(0))
    knee = joint_names("h36m17").index("left_knee")
    swapped = np.abs(moved[:, knee] - side[:, flip_permutation("h36m17")[knee]]).max(-1) < 0.01
    assert 0.02 < swapped.mean() < 0.5
    np.testing.assert_allclose(moved[~swapped, knee], side[~swapped, knee], atol=1e-3)


def test_the_side_behind_is_less_certain() -> None:
    """A limb a trunk's width behind its partner errs ``far_side`` times as much; the one in front as always."""
    _, pixels, depth = _standing(6000)
    noise = DetectorNoise(swaps_per_min=0, drops_per_min=0, bias=0, far_side=2.0)
    level, _ = noise.apply(pixels, depth, (4000, 4000), 30.0, "h36m17", np.random.default_rng(0))
    left = [name.startswith("left") for name in joint_names("h36m17")]
    depth[:, left] += 0.25
    turned, _ = noise.apply(pixels, depth, (4000, 4000), 30.0, "h36m17", np.random.default_rng(0))
    ratio = (turned - pixels).std((0, 2)) / (level - pixels).std((0, 2))
    np.testing.assert_allclose(ratio, np.where(left, 2.0, 1.0), rtol=1e-3)


def test_the_face_keeps_its_sides() -> None:
    _, pixels, depth = _standing(3000, "blazepose33")
    pixels[..., 0] = 1500 + (pixels[..., 0] - 1500) * 0.1
    noise = DetectorNoise(scale=0, swaps_per_min=60, drops_per_min=0)
    moved, _ = noise.apply(pixels, depth, (4000, 4000), 30.0, "blazepose33", np.random.default_rng(0))
    changed = (np.abs(moved - pixels).max(-1) > 0.01).mean(0)
    names = joint_names("blazepose33")
    face = np.array([any(part in name for part in ("nose", "eye", "ear", "mouth")) for name in names])
    assert (changed[face] == 0).all() and (changed[~face] > 0.05).all()


def test_refusals(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no \.bvh files"):
        mocap_tracks(tmp_path)
    (tmp_path / "01_01.bvh").write_bytes((clips / "01_01.bvh").read_bytes())
    with pytest.raises(DatasetError, match=r"none of the 1 clips .* validation"):
        mocap_tracks(tmp_path, "validation")
    with pytest.raises(UsageError, match="split"):
        mocap_tracks(clips, "val")
    with pytest.raises(UsageError, match="keypoints"):
        mocap_tracks(clips, keypoints="coco17")
    with pytest.raises(UsageError, match="out of range"):
        mocap_tracks(clips, cameras_per_clip=0)
    with pytest.raises(DatasetError, match="keypoints_px has shape"):
        PoseTrack("t", "s", "a", "0", 30, np.zeros((3, 17, 2)), np.zeros((4, 17, 3)), (10, 10))


def _standing(frames: int, kind: str = "h36m17") -> tuple[int, np.ndarray, np.ndarray]:
    """A person of 1000 pixels seen from the front, standing still: (T, K, 2) pixels and (T, K) depths."""
    regressor = load_asset("open").keypoint_regressor(kind)
    joints = regressor @ load_asset("open").v_template
    scale = 1000 / np.ptp(joints[:, 1])
    pixels = np.stack([1500 + joints[:, 0] * scale, 1300 - joints[:, 1] * scale], -1)
    return frames, np.tile(pixels, (frames, 1, 1)), np.full((frames, len(pixels)), 4.0)
