"""The comparison of refinements in tight and loose clothes: the people, the figures, the table."""

from __future__ import annotations

import numpy as np
import pytest

from dsr.body import load_asset
from dsr.cli.eval import main
from dsr.cli.eval_dressed import dressed_table
from dsr.evaluation.dressed import (
    CLOTHES,
    MEASURES,
    POSE,
    WAYS,
    DressedReport,
    DressedScore,
    evaluate_dressed,
    shape_and_pose_errors,
    whole_people,
)
from dsr.options import FitOptions
from dsr.results.picture import PersonResult
from dsr.synthetic.people import SyntheticSource


def report(errors):
    """One person per seed, clothes and way with the same error everywhere."""
    return DressedReport(
        [
            DressedScore(clothes, seed, 0, way, True, **dict.fromkeys((*MEASURES, *POSE), sign * errors[way] * factor))
            for clothes, factor in (("tight", 1.0), ("loose", 2.0))
            for seed, sign in ((0, 1.0), (1, -1.0))
            for way in WAYS
        ]
    )


def test_gains_are_shares_of_the_other_ways_errors():
    made = report({"none": 80.0, "outline": 100.0, "published": 120.0, "dressed": 70.0})
    assert made.mean("waist_mm", "loose", "outline") == 200.0  # signs do not cancel
    assert made.gain_percent("loose") == pytest.approx(30.0)
    assert made.gain_percent("tight", "none", seed=1) == pytest.approx(12.5)
    table = dressed_table(made)
    assert "loose: errors of shape of (iv) are 30 % below those of (ii) (seeds: 30, 30)" in table
    assert len([line for line in table.splitlines() if line.startswith(("tight ", "loose "))]) == 8
    stored = made.to_json()
    assert stored["means"]["tight"]["dressed"]["chest_mm"] == 70.0 and len(stored["scores"]) == 16


def test_the_same_people_wear_tight_and_loose_clothes():
    pictures = {}
    for clothes, looseness in CLOTHES.items():
        source = SyntheticSource(count=200, seed=3, size=448, occluders=False, facing_deg=60, looseness_m=looseness)
        pictures[clothes] = [record for _, record in whole_people(source, 2)]
    tight, loose = pictures["tight"][0], pictures["loose"][0]
    np.testing.assert_array_equal(tight.betas, loose.betas)
    np.testing.assert_array_equal(tight.pose_aa, loose.pose_aa)
    assert np.isin(loose.labels, (6, 12)).mean() < 0.3  # no free-hanging skirts


def test_a_perfect_body_has_no_errors():
    asset = load_asset("open")
    source = SyntheticSource(count=3, seed=1, size=128, occluders=False)
    record = source.record(0)
    betas = np.pad(record.betas, (0, asset.num_betas - len(record.betas)))
    from dsr.body import pose_vertices

    vertices = pose_vertices(asset, betas, record.pose_aa[1:], record.pose_aa[0], record.transl)
    person = PersonResult(
        id="p0",
        box_px=record.box_px,
        score=1.0,
        keypoint_set="blazepose33",
        keypoints_px=np.zeros((33, 3)),
        betas=betas,
        global_orient=record.pose_aa[0],
        body_pose=record.pose_aa[1:],
        transl=record.transl,
        vertices_cam_m=vertices,
        joints_cam_m=np.zeros((24, 3)),
        height_m=1.7,
    )
    assert max(map(abs, shape_and_pose_errors(record, person, asset).values())) < 1e-3
    person.betas = betas + np.eye(asset.num_betas)[0]
    assert shape_and_pose_errors(record, person, asset)["t_pose_mm"] > 2


@pytest.mark.slow
def test_everybody_is_refined_in_every_way():
    steps = []
    made = evaluate_dressed(1, [4], FitOptions(quality="fast"), lambda *step: steps.append(step[:2]))
    assert steps == [(1, 2), (2, 2)] and {score.way for score in made.scores} == set(WAYS)
    assert len(made.scores) + 4 * made.missed == 8
    assert not any(score.refined for score in made.scores if score.way == "none")


def test_numbers_that_cannot_be_are_refused(capsys):
    assert main(["synthetic", "--dressed", "-1"]) == 2
    assert main(["synthetic", "--dressed", "2", "--seeds", "0"]) == 2
    assert "--seeds at least 1" in capsys.readouterr().err
