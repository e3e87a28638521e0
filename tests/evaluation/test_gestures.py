"""People with hands and faces: how they are drawn, and that the scores say what is wrong."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dsr.body import load_body
from dsr.cli.eval import main
from dsr.cli.eval_expressive import expressive_table
from dsr.evaluation.expressive import ExpressiveReport, score
from dsr.evaluation.expressive_drawn import draw_person
from dsr.fitting.hands import posed_again
from dsr.results.picture import PersonResult


@pytest.fixture(scope="module")
def body():
    return load_body("open-x")


@pytest.fixture(scope="module")
def person(body):
    return draw_person(body.asset, 0)


def true_result(body, person):
    """The fit that makes no error."""
    rows = (person.betas, person.pose, person.orient, person.transl)
    dtype = body.rest_joints().dtype
    output = body(*(torch.from_numpy(np.asarray(row)[None]).to(dtype) for row in rows))
    vertices, joints = output.vertices[0].numpy(), output.joints[0].numpy()
    betas, pose, orient, transl = (np.asarray(row, np.float32) for row in rows)
    keypoints = np.zeros((33, 3))
    found = PersonResult(
        "p0", np.zeros(4), 1.0, "blazepose33", keypoints, betas, orient, pose, transl, vertices, joints, 1.7
    )
    asset = body.asset
    actions = dict(zip(asset.expression_names, betas[asset.num_shapes :].tolist(), strict=True))
    return replace(found, hands={"left": 0.9, "right": 0.9}, actions=actions)


def test_people_are_drawn_again_from_their_seed(body, person):
    again = draw_person(body.asset, 0)
    np.testing.assert_array_equal(person.picture, again.picture)
    other = draw_person(body.asset, 1)
    assert not np.array_equal(other.pose, person.pose)
    assert person.hands and person.picture.shape == (1280, 960, 3)


def test_the_truth_has_no_error(body, person):
    report = ExpressiveReport()
    score(report, 0, person, true_result(body, person), body.asset)
    for hand in report.hands:
        assert hand.seen and hand.own_side and hand.joints_mm < 0.1 and hand.tips_px < 0.1 and hand.rotation_deg < 0.1
        assert hand.relaxed_mm > 3
    for face in report.faces:
        assert face.jaw_deg < 0.1 and face.lids_right and not face.gaze_deg > 0.1


def test_a_turned_wrist_a_swapped_hand_and_an_open_jaw_are_told(body, person):
    report, names = ExpressiveReport(), body.asset.joint_names
    found = true_result(body, person)
    side = person.hands[0]
    pose = found.body_pose.copy()
    from scipy.spatial.transform import Rotation

    from dsr.fitting.fingers import RestHand

    rest, wrist = RestHand(body.asset, person.betas, side), names.index(f"{side}_wrist") - 1
    twist = Rotation.from_rotvec(rest.forearm * 0.5)
    pose[wrist] = (Rotation.from_rotvec(pose[wrist]) * twist).as_rotvec()
    pose[names.index("jaw") - 1, 0] += 0.2
    score(report, 0, person, posed_again(replace(found, body_pose=pose), body), body.asset)
    hand = next(hand for hand in report.hands if hand.side == side)
    assert hand.twist_deg == pytest.approx(np.degrees(0.5), abs=0.5) and hand.in_hand_mm < 0.1 < 5 < hand.joints_mm
    assert all(face.jaw_deg == pytest.approx(np.degrees(0.2), abs=0.1) for face in report.faces)
    unseen = replace(found, hands={"left": None, "right": None})
    score(report, 1, person, unseen, body.asset)
    assert sum(hand.seen for hand in report.hands) == len(person.hands)
    table = expressive_table(report)
    assert f"hands of at least 40 pixels {len(report.hands)}, seen {len(person.hands)}" in table
    assert report.to_json()["means"]["own_side"] == 1.0


def test_negative_counts_are_refused():
    assert main(["synthetic", "--gestures", "-1"]) == 2
