"""The walk made of sines: the path, the standing feet, and limbs that move as walkers' do."""

import numpy as np
import pytest

from dsr.errors import DatasetError
from dsr.mocap.gait import walking_motion

LEFT, RIGHT = 0, 1
KNEES, ANKLES, FEET, WRISTS = (4, 5), (7, 8), (10, 11), (20, 21)


@pytest.fixture(scope="module")
def joints():
    """(T, 24, 3) of four seconds along +z, left is +x."""
    return walking_motion(4.0, 30.0).joints()


def swing(joints, joint):
    """(T,) how far before the pelvis a joint is."""
    ahead = joints[:, joint, 2] - joints[:, 0, 2]
    return ahead - ahead.mean()


def test_arms_swing_against_the_legs_of_their_side(joints):
    for side in (LEFT, RIGHT):
        leg, arm = swing(joints, KNEES[side]), swing(joints, WRISTS[side])
        assert np.corrcoef(leg, arm)[0, 1] < -0.85 and np.ptp(arm) > 0.2
    assert np.corrcoef(swing(joints, KNEES[LEFT]), swing(joints, KNEES[RIGHT]))[0, 1] < -0.9


def test_knees_bend_backwards_and_soles_stay_level(joints):
    for side in (LEFT, RIGHT):
        hip, knee, ankle, foot = (joints[:, j] for j in (1 + side, KNEES[side], ANKLES[side], FEET[side]))
        along = (knee[:, 1] - hip[:, 1]) / (ankle[:, 1] - hip[:, 1])
        straight = hip[:, 2] + along * (ankle[:, 2] - hip[:, 2])
        assert (knee[:, 2] > straight).all(), "the knee is before the line from hip to ankle"
        np.testing.assert_allclose(foot[:, 1] - ankle[:, 1], (foot - ankle)[0, 1], atol=1e-9)


def test_one_foot_stands_while_the_walker_goes_on_over_the_ground(joints):
    steps = np.linalg.norm(np.diff(joints[:, ANKLES], axis=0), axis=-1)
    assert (steps.min(1) < 1e-3).mean() > 0.9
    assert joints[-1, 0, 2] - joints[0, 0, 2] > 2.0 and np.ptp(joints[:, 0, 0]) < 0.1
    # The lowest ankle is where it is when the body stands.
    assert joints[:, ANKLES, 1].min() == pytest.approx(0.05, abs=0.03)


@pytest.mark.parametrize(("turn", "cadence"), [(0.0, 2.0), (0.3, 1.6)])
def test_the_walker_stays_on_the_ground(turn, cadence):
    motion = walking_motion(10.0, 40.0, steps_per_s=cadence, turn_rad_s=turn)
    height, lowest = motion.root_position_m[:, 1], motion.joints()[:, ANKLES, 1].min(1)
    assert np.ptp(lowest) < 0.003, "the foot that carries is at one height in every step"
    step = round(40.0 / cadence)
    np.testing.assert_allclose(height[step:], height[:-step], atol=0.002)  # a step is like the one before
    assert 0.02 < np.ptp(height) < 0.1


def test_a_turning_walk_comes_round():
    path = walking_motion(8.0, 20.0, turn_rad_s=2 * np.pi / 8).root_position_m[:, [0, 2]]
    assert np.linalg.norm(path[-1] - path[0]) < 0.3 < 1.0 < np.ptp(path[:, 0])


def test_a_clip_without_frames_is_refused():
    with pytest.raises(DatasetError, match="no frame"):
        walking_motion(0.0)
