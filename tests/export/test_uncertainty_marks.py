"""Discs of one standard deviation around joints."""

import numpy as np

from dsr.export.uncertainty_marks import colour_of, draw_uncertainty

K = np.array([[500.0, 0, 100], [0, 500.0, 100], [0, 0, 1]])


def drawn(joints, sigmas):
    picture = np.full((200, 200, 3), 128, np.uint8)
    draw_uncertainty(picture, [(np.array(joints, float), None if sigmas is None else np.array(sigmas, float))], K)
    return (picture != 128).any(-1), picture


def test_a_disc_is_as_large_as_the_standard_deviation_in_the_picture():
    for z, sigma in ((5.0, 100.0), (5.0, 300.0), (2.0, 100.0)):
        changed, _ = drawn([[0, 0, z]], [sigma])
        rows, columns = np.nonzero(changed)
        radius = 500 * sigma / 1000 / z
        assert abs(np.ptp(columns) / 2 - radius) < 1.5 and abs(columns.mean() - 100) < 1 and abs(rows.mean() - 100) < 1


def test_sure_joints_are_green_and_unsure_ones_red():
    _, sure = drawn([[0, 0, 2.0]], [20.0])
    _, unsure = drawn([[0, 0, 2.0]], [200.0])
    assert sure[100, 100, 1] > sure[100, 100, 0] and unsure[100, 100, 0] > unsure[100, 100, 1]
    assert np.allclose(colour_of(0), [60, 200, 80]) and np.allclose(colour_of(500), [235, 60, 50])
    assert (colour_of(75)[:2] > 200).all()


def test_nothing_is_drawn_where_nothing_is_known():
    for joints, sigmas in (([[0, 0, 2.0]], None), ([[0, 0, 2.0]], [np.nan]), ([[0, 0, -2.0]], [50.0]), ([], [])):
        assert not drawn(np.reshape(joints, (-1, 3)), sigmas)[0].any()
