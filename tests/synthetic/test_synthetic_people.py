"""Made-up people: the same every time, and picture, labels, keypoints and body say the same thing."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from bvh_toys import toy_motion, write_bvh
from scipy.spatial.transform import Rotation

from dsr.body import load_asset, load_body
from dsr.body.joints import flip_permutation
from dsr.body.spin_joints import joints49
from dsr.errors import DatasetError
from dsr.synthetic.garments import Outfit, Paint, draw_outfit, skin_labels
from dsr.synthetic.people import SyntheticSource
from dsr.synthetic.poses import MocapPoses, load_poses

SIZE = 128
SETS = {"openpose25": 25, "spin24": 24, "coco17": 17, "smpl24": 24, "h36m17": 17}
LIMBS = {18: 14, 20: 14, 19: 15, 21: 15, 4: 16, 5: 17, 10: 18, 11: 19}  # smpl joint: label there on a bare body


@pytest.fixture(scope="module")
def source():
    return SyntheticSource(count=60, seed=3, size=SIZE)


@pytest.fixture(scope="module")
def records(source):
    return [source.record(i) for i in range(24)]


def same(a, b):
    for name in ("image", "labels", "mask", "K", "pose_aa", "betas", "transl", "box_px"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    for name in SETS:
        np.testing.assert_array_equal(a.keypoints_px[name], b.keypoints_px[name])


def test_a_record_depends_on_seed_epoch_and_index_only(source, records):
    other = SyntheticSource(count=9, seed=3, size=SIZE)
    other.record(5)
    same(other.record(2), records[2])
    for changed in (source.record(2, epoch=1), source.record(3), SyntheticSource(9, 4, SIZE).record(2)):
        assert (changed.image != records[2].image).mean() > 0.3
        assert not np.allclose(changed.pose_aa, records[2].pose_aa)


def test_record_has_everything_the_views_need(records):
    for record in records:
        assert record.image.shape == (SIZE, SIZE, 3) and record.image.dtype == np.uint8
        assert record.labels.shape == record.mask.shape == (SIZE, SIZE)
        np.testing.assert_array_equal(record.labels > 0, record.mask)
        assert record.labels.max() < 20
        assert {name: len(points) for name, points in record.keypoints_px.items()} == SETS
        assert {name: joints.shape for name, joints in record.joints_m.items()} == {
            "spin24": (24, 4),
            "smpl24": (24, 4),
            "h36m17": (17, 4),
        }
        assert record.pose_aa.shape == (24, 3) and record.betas.shape == (10,) and np.abs(record.betas).max() <= 2.5
        rows, columns = np.nonzero(record.mask)
        x0, y0, x1, y1 = record.box_px
        assert columns.min() >= x0 and columns.max() < x1 and rows.min() >= y0 and rows.max() < y1


def test_people_differ_in_size_distance_place_and_camera(records):
    heights, focals = [r.height_m for r in records], [r.K[0, 0] for r in records]
    assert np.std(heights) > 0.04 and min(heights) > 1.2 and max(heights) < 2.2
    assert min(focals) < 0.9 * SIZE and max(focals) > 1.5 * SIZE
    middles = np.array([(r.box_px[:2] + r.box_px[2:]) / 2 for r in records])
    assert middles.std(0).min() > 0.05 * SIZE
    assert np.std([r.transl[2] for r in records]) > 0.5


def test_keypoints_are_the_joints_through_the_intrinsics(records):
    for record in records:
        for name, joints in record.joints_m.items():
            image = joints[:, :3] @ record.K.T
            pixels = image[:, :2] / image[:, 2:]
            inside = (joints[:, 2] > 0.05) & (pixels >= 0).all(1) & (pixels < SIZE).all(1)
            np.testing.assert_allclose(record.keypoints_px[name][inside, :2], pixels[inside], atol=0.02)
            assert not record.keypoints_px[name][~inside, 2].any()


def test_parameters_give_the_joints_through_the_body_layer(records):
    body = load_body("open-light")
    batch = {key: torch.tensor(np.stack([getattr(r, key) for r in records])) for key in ("pose_aa", "betas", "transl")}
    with torch.no_grad():
        betas = torch.nn.functional.pad(batch["betas"], (0, body.num_betas - 10))
        out = body(betas, batch["pose_aa"][:, 1:], batch["pose_aa"][:, 0], batch["transl"])
        regressed = body.keypoints(out.vertices, "h36m17")
        spin = joints49(body, out.vertices, out.joints)[:, 25:]
    np.testing.assert_allclose(out.joints, np.stack([r.joints_m["smpl24"][:, :3] for r in records]), atol=2e-4)
    np.testing.assert_allclose(spin, np.stack([r.joints_m["spin24"][:, :3] for r in records]), atol=2e-4)
    np.testing.assert_allclose(regressed, np.stack([r.joints_m["h36m17"][:, :3] for r in records]), atol=2e-4)


def limb_agreement(labels, keypoints):
    """Share of visible limb joints whose pixel has the limb's label, and of the other side's."""
    here = other = seen = 0
    for joint, label in LIMBS.items():
        u, v, confidence = keypoints[joint]
        if confidence > 0 and labels[int(v), int(u)] in (14, 15, 16, 17, 18, 19):
            seen += 1
            here += labels[int(v), int(u)] == label
            other += labels[int(v), int(u)] == label + (1 if label % 2 == 0 else -1)
    return here, other, seen


def test_left_labels_lie_at_left_joints_and_swapping_sides_breaks_it():
    bare = SyntheticSource(count=40, seed=8, size=SIZE, clothing=False, occluders=False)
    right_way, swapped = np.zeros(3), np.zeros(3)
    flip = np.array(flip_permutation("smpl24"))
    for index in range(25):
        record = bare.record(index)
        # feet of a bare person are leg skin, so compare within arms and legs only
        labels = np.where(np.isin(record.labels, (14, 15, 16, 17)), record.labels, 0)
        right_way += limb_agreement(labels, record.keypoints_px["smpl24"])
        swapped += limb_agreement(labels, record.keypoints_px["smpl24"][flip])
    assert right_way[2] > 60
    assert right_way[0] > 4 * right_way[1]
    assert swapped[0] < swapped[1]


def test_most_keypoints_lie_on_the_person():
    source = SyntheticSource(count=30, seed=5, size=SIZE, occluders=False)
    on = []
    for index in range(15):
        record = source.record(index)
        points = record.keypoints_px["smpl24"]
        u, v = points[points[:, 2] > 0, :2].astype(int).T
        on.extend(record.mask[v, u])
    assert np.mean(on) > 0.97


def test_faces_show_from_the_front_and_the_left_is_then_on_the_right():
    source = SyntheticSource(count=60, seed=11, size=SIZE, clothing=False, occluders=False)
    front, back = [], []
    for index in range(60):
        record = source.record(index)
        joints, head = record.joints_m["smpl24"][:, :3], record.joints_m["h36m17"][:, :3]
        nose, (u, v, confidence) = record.joints_m["spin24"][19, :3], record.keypoints_px["coco17"][0]
        if not confidence:
            continue
        label = record.labels[int(v), int(u)]
        if nose[2] < joints[15, 2] - 0.08:
            front.append(label)
            sideways = joints[16] - joints[17]
            upright = (joints[12] - joints[0])[1] < -0.3
            if upright and sideways[2] ** 2 < 0.02:
                assert sideways[0] > 0 and head[11, 0] > head[14, 0]
        elif nose[2] > joints[15, 2] + 0.08:
            back.append(label)
    assert len(front) > 5 and np.mean(np.array(front) == 13) > 0.7
    assert len(back) > 3 and np.mean(np.array(back) == 13) < 0.4


def test_clothing_off_leaves_skin_and_hair():
    source = SyntheticSource(count=10, seed=1, size=SIZE, clothing=False, occluders=False)
    for index in range(5):
        scene = source.scene(index)
        assert set(np.unique(scene.labels)) <= {2, 10, 13, 14, 15, 16, 17}
        body = len(scene.person.skin)
        arms = np.isin(skin_labels(scene.person.places[:body]), (14, 15, 16, 17))
        np.testing.assert_allclose(scene.person.cloth[:body][arms], scene.person.skin[arms], atol=1e-6)


def test_clothes_are_off_the_skin_where_they_are_worn():
    place = load_asset("open-light").v_template
    loosest = 0.0
    for seed in range(30):
        outfit = draw_outfit(np.random.default_rng(seed))
        lift, labels = outfit.lift(place), outfit.labels(place)
        assert lift.min() >= 0 and lift.max() < 0.08
        assert (lift[np.isin(labels, (5, 6, 7, 9))] > 0.001).all()
        assert len(outfit.colours(place, labels)) == len(place)
        loosest = max(loosest, float(lift.max()))
    assert loosest > 0.03


def test_occluders_hide_labels_and_keypoints():
    with_things = SyntheticSource(count=40, seed=2, size=SIZE)
    hidden = 0
    for index in range(20):
        record, scene = with_things.record(index), with_things.scene(index)
        behind = scene.seen.covered & ~record.mask
        if behind.any():
            assert not record.labels[behind].any()
            for points in record.keypoints_px.values():
                u, v = np.clip(points[:, :2], 0, SIZE - 1).astype(int).T
                hidden += int(behind[v, u].sum())
                assert not points[behind[v, u], 2].any()
    assert hidden > 5


def test_mocap_poses_come_from_the_folder_and_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "toy.bvh").write_text(write_bvh(toy_motion(200, spread=0.1)))
    poses = load_poses(tmp_path / "clips", "all")
    assert isinstance(poses, MocapPoses) and len(list((tmp_path / "cache" / "dsr").glob("mocap_*.npz"))) == 1
    again = load_poses(tmp_path / "clips", "all")
    np.testing.assert_array_equal(again.body_pose, poses.body_pose)
    pose, tilt = again.draw(np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.det(pose), 1, atol=1e-5)
    assert tilt.shape == (3, 3)


def test_mirrored_poses_mirror_heading_and_limbs_together():
    """A frame that turns left with the left hip bent turns right with the right hip bent in the mirror."""
    bend = np.zeros((23, 3))
    bend[0] = -1.0, 0.0, 0.3  # the left hip
    pose = Rotation.from_rotvec(bend).as_matrix()[None].astype(np.float32)
    poses = MocapPoses(pose, Rotation.from_rotvec([[0.1, 0.7, 0.2]]).as_matrix().astype(np.float32))
    seen = set()
    for seed in range(12):
        drawn, orient = poses.draw(np.random.default_rng(seed))
        heading, hips = Rotation.from_matrix(orient).as_rotvec(), Rotation.from_matrix(drawn[:2]).as_rotvec()
        side = int(heading[1] < 0)
        np.testing.assert_allclose(heading, [0.1, -0.7, -0.2] if side else [0.1, 0.7, 0.2], atol=1e-5)
        np.testing.assert_allclose(hips[side], [-1.0, 0.0, -0.3 if side else 0.3], atol=0.3)
        assert np.abs(hips[1 - side]).max() < 0.3
        seen.add(side)
    assert seen == {0, 1}


def test_settings_that_make_no_sense_are_refused(tmp_path, source):
    with pytest.raises(DatasetError, match="size >= 16"):
        SyntheticSource(size=4)
    with pytest.raises(DatasetError, match=r"no \.bvh files"):
        SyntheticSource(mocap=tmp_path)
    with pytest.raises(DatasetError, match="there are 60"):
        source.record(60)


class Keys(torch.utils.data.Dataset):
    """Records as plain tensors."""

    def __init__(self, source):
        self.source = source

    def __len__(self):
        return 4

    def __getitem__(self, index):
        record = self.source.record(index)
        return torch.from_numpy(record.image), torch.from_numpy(record.keypoints_px["coco17"])


def test_worker_processes_make_the_same_people(source, records):
    loader = torch.utils.data.DataLoader(Keys(source), batch_size=2, num_workers=2, multiprocessing_context="fork")
    images = torch.cat([image for image, _ in loader])
    np.testing.assert_array_equal(images.numpy(), np.stack([r.image for r in records[:4]]))


def test_a_source_can_be_sent_to_spawned_workers(source, records):
    same(pickle.loads(pickle.dumps(source)).record(1), records[1])


def test_patterns_have_two_colours_and_plain_cloth_one():
    place = np.random.default_rng(0).uniform(-1, 1, (200, 3)).astype(np.float32)
    waves = np.full((3, 4), 30.0, np.float32)
    for kind, count in (("plain", 1), ("stripes", 2), ("checks", 2), ("blobs", 2)):
        paint = Paint(np.full(3, 10.0), np.full(3, 200.0), kind, waves * [[1], [0.7], [0.4]])
        assert len(np.unique(paint.colour(place), axis=0)) == count
    assert not Outfit((), {}).lift(place).any()
