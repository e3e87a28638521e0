"""The committed example pictures: size, EXIF focal, truth, detection; and the renderer's parts that need no Blender."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shared_data import makehuman

IMAGES = Path("examples/images")
sys.path.insert(0, str(Path("examples").resolve()))

from dsr.body import load_asset, skeleton  # noqa: E402
from dsr.evaluation.synthetic import match_people  # noqa: E402
from dsr.evaluation.truth import load_truth  # noqa: E402


@pytest.fixture(scope="module")
def pictures():
    return load_truth(IMAGES)


def test_set_is_small_and_varied(pictures) -> None:
    assert len(pictures) >= 8
    assert sum(file.stat().st_size for file in IMAGES.iterdir()) < 3_000_000
    assert {len(picture.people) for picture in pictures} == {1, 2, 3}
    assert any(picture.camera.size[0] > picture.camera.size[1] for picture in pictures)
    assert any(picture.camera.size[0] < picture.camera.size[1] for picture in pictures)
    assert any(0.05 < person.visible_share < 0.95 for picture in pictures for person in picture.people)


def test_truth_belongs_to_the_installed_body(pictures) -> None:
    asset = load_asset("open")
    for picture in pictures:
        assert picture.body_sha256 == asset.sha256, f"{picture.path}: render the examples again"
        for person in picture.people:
            joints = skeleton(asset, person.betas, person.body_pose, person.global_orient, person.transl)[1][:, :3, 3]
            np.testing.assert_allclose(joints, person.joints_cam_m, atol=1e-4)
            assert person.joints_cam_m[:, 2].min() > 0.5
            assert 1.2 < person.height_m < 2.2


def test_exif_focal_gives_the_true_intrinsics(pictures) -> None:
    for picture in pictures:
        with Image.open(picture.path) as opened:
            assert opened.size == picture.camera.size
            focal35 = opened.getexif().get_ifd(0x8769)[0xA405]
        focal = focal35 * np.hypot(*picture.camera.size) / 43.2666
        np.testing.assert_allclose(picture.camera.K[[0, 1], [0, 1]], focal, rtol=1e-5)
        np.testing.assert_allclose(picture.camera.K[:2, 2], np.array(picture.camera.size) / 2)


def test_projected_people_are_where_the_picture_shows_them(pictures) -> None:
    """Bodies and background must differ along the projected outline: a wrong projection lands on background."""
    from dsr.image import read_photo
    from dsr.people import PeopleDetector

    detector = PeopleDetector()
    for picture in pictures:
        found = detector.detect(read_photo(picture.path))
        matched = match_people(picture.people, [(d.keypoint_set, d.keypoints_px) for d in found])
        whole = list(range(len(picture.people)))
        assert set(whole) <= set(matched), picture.path.name
        for i in whole:
            height = picture.people[i].box_px[3] - picture.people[i].box_px[1]
            apart = found[matched[i]].keypoints_px - picture.people[i].keypoints_px["blazepose33"]
            assert np.median(np.linalg.norm(apart, axis=1)) < 0.05 * height, (picture.path.name, i)
            assert np.abs(np.median(apart, axis=0)).max() < 0.03 * height, (picture.path.name, i)


def test_named_poses_mirror_and_repeat() -> None:
    import _cast as cast
    import _poses

    assert all(joint in _poses.JOINTS for pose in _poses.POSES.values() for joint in pose)
    first = cast.named_pose("walk", np.random.default_rng(3))
    assert np.array_equal(first, cast.named_pose("walk", np.random.default_rng(3)))
    hips = {bool(cast.named_pose("walk", np.random.default_rng(s), 0.0)[1, 0] < -0.2) for s in range(12)}
    assert hips == {True, False}


def test_posed_people_stand_on_the_floor_in_clothes(tmp_path: Path) -> None:
    archive = makehuman() / "makehuman_assets_cc0.tar.xz"
    import _camera
    import _plans
    import render_people

    from dsr.synthetic.wardrobe import Wardrobe, unpack

    clothes = Wardrobe(unpack(archive, tmp_path))
    plan = _plans.benchmark_plan(4, 77, 320, 1, 2)
    truths = []
    for _ in range(2):
        rng = np.random.default_rng(plan.seed)
        people = render_people.draw_people(plan, rng, clothes)
        view = _camera.draw_view(plan, rng, people)
        truths.append(render_people.truth_of(plan, view, clothes))
    assert truths[0] == truths[1]
    for person in people:
        lowest = min(points[:, 1].min() for points in (person.vertices, *person.garments.values()))
        assert abs(lowest) < 0.02
        assert len(person.garments) == 4
        pixels = view.pixels(person.vertices)
        assert (pixels > 0).all() and (pixels < (plan.width, plan.height)).all()
    apart = np.abs(people[0].joints[:, None] - people[1].joints[None]).sum(-1).min()
    assert apart > 0.1
