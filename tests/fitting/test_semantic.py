"""Refinement by the silhouette: shape and place move to the mask's, nobody gets worse, others' masks do not pull."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from dsr.body import load_body, measure_body
from dsr.camera import PictureCamera, project
from dsr.clothing.labels import LABELS
from dsr.clothing.prior import load_clothing_prior
from dsr.fitting import fit_people, network_start
from dsr.fitting.clothed_surface import TOGETHER, ClothedSurface, clothed_surface
from dsr.fitting.residuals import silhouette_iou
from dsr.fitting.semantic import SemanticWeights, refine_semantic
from dsr.options import FitOptions
from dsr.people.body_view import view_body
from dsr.people.types import Detection, PersonMask
from dsr.rendering import rasterise

SIZE = (640, 480)
K = np.array([[600.0, 0, 320], [0, 600.0, 240], [0, 0, 1]])
CAMERA = PictureCamera(K, SIZE)


@pytest.fixture(scope="module")
def body():
    return load_body("open")


def picture(body, vertices):
    """Raster of a body over the whole picture."""
    outside = body.asset.faces[~body.asset.interior]
    return rasterise(vertices, outside, K, SIZE, cull_back=True).covered


def person(body, betas, place=(0.1, 0.0, 3.0)):
    """A true body: vertices (V, 3), betas, and its detection, off by as much as a good detector's."""
    orient = torch.tensor([[math.pi, 0.0, 0.0]])
    pose = torch.zeros(1, body.num_joints - 1, 3)
    pose[0, 15, 2], pose[0, 16, 2] = -0.9, 0.9  # arms down
    output = body(betas[None], pose, orient, torch.tensor([place]))
    points = body.keypoints(output.vertices, "blazepose33")
    pixels = project(points, torch.tensor(K, dtype=torch.float32))[0].numpy()
    world = points[0].numpy() - points[0].numpy()[[23, 24]].mean(0)
    vertices = output.vertices[0].numpy()
    rng = np.random.default_rng(0)
    pixels = pixels + 0.007 * np.ptp(pixels[:, 1]) * rng.normal(size=pixels.shape)
    world = world + 0.05 * rng.normal(size=world.shape)
    box = np.concatenate([pixels.min(0), pixels.max(0)])
    mask = PersonMask(np.array([0.0, 0.0, *SIZE]), picture(body, vertices).astype(np.float32))
    return vertices, Detection(box, 0.9, "blazepose33", pixels, np.ones(33), world, mask)


@pytest.fixture(scope="module")
def heavy(body):
    betas = torch.zeros(body.num_betas)
    betas[[0, 1, 2]] = torch.tensor([1.0, 2.0, -1.0])
    return betas, *person(body, betas)


def test_shape_moves_to_the_mask(body, heavy):
    betas, vertices, detection = heavy
    start = fit_people([detection], CAMERA, body, FitOptions())
    (refined,) = refine_semantic(start, [detection], CAMERA, body, FitOptions(clothing="tight"))
    before, after = start[0].residuals["fit"], refined.residuals["semantic"]
    assert after["silhouette_iou"] > before["silhouette_iou"] + 0.01
    assert after["reprojection_px"] <= 1.3 * before["reprojection_px"]
    outside = body.asset.faces[~body.asset.interior]
    again = silhouette_iou(detection.mask, refined.vertices_cam_m, outside, K)
    assert again == pytest.approx(after["silhouette_iou"])

    def waist(v):  # girth in the picture is what the mask knows
        return float(np.ptp(v[rows, 0]))

    rest = body().vertices[0].numpy()
    rows = np.flatnonzero((abs(rest[:, 1] - rest[:, 1].mean()) < 0.1) & (abs(rest[:, 0]) < 0.25))
    assert abs(waist(refined.vertices_cam_m) - waist(vertices)) < abs(waist(start[0].vertices_cam_m) - waist(vertices))

    def shape_error(p):
        fitted = torch.nn.functional.pad(torch.from_numpy(p.betas), (0, body.num_betas - len(p.betas)))
        return (body(fitted[None]).vertices - body(betas[None]).vertices).norm(dim=-1).mean()

    assert shape_error(refined) < shape_error(start[0])


def test_shifted_start_comes_back(body, heavy):
    _, vertices, detection = heavy
    (start,) = fit_people([detection], CAMERA, body, FitOptions())
    aside = np.array([0.06, 0.03, 0], np.float32)  # 12 and 6 pixels
    outside = body.asset.faces[~body.asset.interior]
    shifted = dataclasses.replace(
        start,
        transl=start.transl + aside,
        vertices_cam_m=start.vertices_cam_m + aside,
        joints_cam_m=start.joints_cam_m + aside,
    )
    overlap = silhouette_iou(detection.mask, shifted.vertices_cam_m, outside, K)
    error = float(np.hypot(12, 6))
    shifted.residuals = {"fit": {"silhouette_iou": overlap, "reprojection_px": error, "reprojection_rel": 0.1}}
    (refined,) = refine_semantic([shifted], [detection], CAMERA, body, FitOptions())
    assert refined.residuals["semantic"]["silhouette_iou"] > max(overlap + 0.1, 0.8)
    centre = vertices.mean(0)[:2]
    assert np.linalg.norm(refined.vertices_cam_m.mean(0)[:2] - centre) < 0.03
    assert refined.residuals["fit"] == shifted.residuals["fit"]


def test_without_a_mask_nothing_moves(body, heavy):
    detection = dataclasses.replace(heavy[2], mask=None)
    start = fit_people([detection], CAMERA, body, FitOptions())
    (kept,) = refine_semantic(start, [detection], CAMERA, body, FitOptions())
    for name in ("betas", "body_pose", "global_orient", "transl", "vertices_cam_m"):
        assert np.array_equal(getattr(kept, name), getattr(start[0], name))
    assert "semantic" not in kept.residuals
    assert "there is no mask" in kept.warnings[-1] and "there is no mask" not in "".join(start[0].warnings)


def test_a_mask_that_contradicts_the_keypoints_is_refused(body, heavy):
    detection = heavy[2]
    astray = np.roll(detection.mask.probability, -90, axis=1)
    detection = dataclasses.replace(detection, mask=PersonMask(detection.mask.box_px, astray))
    start = fit_people([detection], CAMERA, body, FitOptions())
    strong = SemanticWeights(silhouette=1e5, learning_rate=1.0)
    (refined,) = refine_semantic(start, [detection], CAMERA, body, FitOptions(), weights=strong)
    after = refined.residuals.get("semantic", start[0].residuals["fit"])
    assert after["reprojection_px"] <= 1.3 * start[0].residuals["fit"]["reprojection_px"]
    assert after["silhouette_iou"] >= start[0].residuals["fit"]["silhouette_iou"]
    if "semantic" not in refined.residuals:
        assert np.array_equal(refined.vertices_cam_m, start[0].vertices_cam_m)
        assert "Not refined" in refined.warnings[-1]


def test_what_another_person_hides_is_left_alone(body, monkeypatch):
    """A mask cut in half by somebody in front must not shrink the body behind."""
    monkeypatch.setattr(network_start, "default_network", lambda: None)  # true landmarks start as well as can be
    vertices, behind = person(body, torch.zeros(body.num_betas))
    _, front = person(body, torch.zeros(body.num_betas), (0.2, 0.0, 2.0))
    hidden = behind.mask.probability * (1 - front.mask.probability)
    assert hidden.sum() < 0.8 * behind.mask.probability.sum()
    behind = dataclasses.replace(behind, mask=PersonMask(behind.mask.box_px, hidden))
    both = [behind, front]
    start = fit_people(both, CAMERA, body, FitOptions())

    def distance(p):
        return np.linalg.norm((p.vertices_cam_m - vertices)[:, :2], axis=1).mean()

    def waist(p):
        return measure_body(body.asset, p.betas).waist_m

    together = refine_semantic(start, both, CAMERA, body, FitOptions())[0]
    alone = refine_semantic(start[:1], both[:1], CAMERA, body, FitOptions())[0]
    assert abs(waist(together) - waist(start[0])) < 0.05 < waist(together) - waist(alone)
    assert distance(together) < distance(start[0]) + 0.005
    assert [p.id for p in refine_semantic(start, both, CAMERA, body, FitOptions())] == ["p0", "p1"]


def dressed(body, thickness):
    """Somebody in a shirt and trousers so many metres off the skin: true vertices, photograph, detection."""
    vertices, detection = person(body, torch.zeros(body.num_betas))
    x, y, _ = body.asset.v_template.T
    cloth = ((np.abs(x) < 0.6) & (y < 0.5)) & (y > -0.82)
    nothing = torch.zeros(1, len(x))
    worn = ClothedSurface(torch.tensor(thickness * cloth)[None].float(), nothing, nothing, nothing[0])
    outer = worn.worn(torch.from_numpy(vertices)[None], body.faces, torch.zeros(1, 2))[0].numpy()
    outside = body.asset.faces[~body.asset.interior]
    seen = rasterise(outer, outside, K, SIZE, cull_back=True)
    share = seen.interpolate(cloth[:, None].astype(float))[:, 0]
    height = seen.interpolate(body.asset.v_template)[:, 1]
    photo = np.full((SIZE[1], SIZE[0], 3), (120, 150, 120), np.uint8)
    photo[seen.covered] = np.where(
        share[:, None] > 0.5, np.where(height[:, None] > 0, (60, 70, 160), (50, 50, 60)), (205, 150, 120)
    )
    photo = np.clip(photo + np.random.default_rng(0).normal(0, 3, photo.shape), 0, 255).astype(np.uint8)
    mask = PersonMask(detection.mask.box_px, seen.covered.astype(np.float32))
    return vertices, photo, dataclasses.replace(detection, mask=mask)


def girth(body, result):
    return measure_body(body.asset, result.betas.astype(float)).waist_m


def test_loose_clothes_make_nobody_fat(body):
    _, photo, detection = dressed(body, 0.05)
    start = fit_people([detection], CAMERA, body, FitOptions())
    true = measure_body(body.asset, np.zeros(body.num_betas)).waist_m
    (plain,) = refine_semantic(start, [detection], CAMERA, body, FitOptions(clothing="tight"), photo)
    (auto,) = refine_semantic(start, [detection], CAMERA, body, FitOptions(), photo)
    assert girth(body, plain) - true > 0.08
    assert girth(body, auto) - true < 0.75 * (girth(body, plain) - true)
    loose = auto.residuals["semantic"]
    assert loose["looseness_upper"] > 0 and loose["looseness_lower"] > 0
    assert "looseness_upper" not in plain.residuals["semantic"]


def test_looser_clothes_are_seen_to_be_looser(body):
    factors = []
    for thickness in (0.005, 0.04):
        _, photo, detection = dressed(body, thickness)
        start = fit_people([detection], CAMERA, body, FitOptions())
        (refined,) = refine_semantic(start, [detection], CAMERA, body, FitOptions(), photo)
        factors.append(refined.residuals["semantic"]["looseness_lower"])
    assert factors[1] > 1.2 * factors[0]


def test_an_adult_that_a_fit_made_a_little_of_a_child_is_one_again_and_a_child_stays(body, heavy):
    axis = body.asset.child_beta
    (start,) = fit_people([heavy[2]], CAMERA, body, FitOptions())
    found = []
    for child in (0.05, 0.3):
        betas = start.betas.copy()
        betas[axis] = child
        (refined,) = refine_semantic([dataclasses.replace(start, betas=betas)], [heavy[2]], CAMERA, body, FitOptions())
        found.append(refined.betas[axis])
    assert abs(found[0]) < 0.025 and found[1] > 0.2


def test_the_published_losses_refine_too(body):
    """The third way of the comparison: labels against the rendered prior."""
    _, photo, detection = dressed(body, 0.01)
    start = fit_people([detection], CAMERA, body, FitOptions())
    weights = SemanticWeights(objective="published")
    (refined,) = refine_semantic(start, [detection], CAMERA, body, FitOptions(), photo, weights)
    assert not np.array_equal(refined.vertices_cam_m, start[0].vertices_cam_m)
    assert refined.residuals["semantic"]["silhouette_iou"] > 0.6


def test_what_is_seen_bare_has_nothing_over_it(body):
    """The parser's labels decide where a vertex is seen, its neighbours elsewhere, and the prior where nobody is."""
    asset = body.asset
    prior = load_clothing_prior(asset)
    vertices, _, _ = dressed(body, 0.0)
    view = view_body(vertices.astype(float), asset, prior, CAMERA)
    labels = np.where(view.covered, LABELS.index("leftLeg"), 0)
    bare = clothed_surface(prior, asset, [(view, labels, asset)])
    usual = clothed_surface(prior, asset, [None])
    clothed = clothed_surface(prior, asset, [(view, np.where(view.covered, LABELS.index("pants"), 0), asset)])
    thighs = (asset.v_template[:, 1] < -0.2) & (asset.v_template[:, 1] > -0.5)
    nothing = torch.zeros(1, 2)
    mean = [float(surface.thickness(nothing)[0, torch.from_numpy(thighs)].mean()) for surface in (bare, usual, clothed)]
    assert mean[0] < 0.3 * mean[1] and mean[1] < mean[2] < 0.05


def test_looseness_goes_by_the_spread_of_the_prior_and_never_below_the_skin(body):
    """A standard deviation of what both unknowns share is the prior's own spread; no cloth is ever negative."""
    asset = body.asset
    prior = load_clothing_prior(asset)
    clothed = clothed_surface(prior, asset, [None])
    trunk = torch.from_numpy((asset.v_template[:, 1] > 0.05) & (asset.v_template[:, 1] < 0.3))
    one = torch.tensor([[(2 / (1 + TOGETHER)) ** 0.5, 0.0]])
    more = (clothed.thickness(one) - clothed.thickness(0 * one))[0, trunk].mean()
    assert float(more) == pytest.approx(float(clothed.spread_m[0, trunk].mean()), rel=0.1)
    none = clothed.thickness(-20 * one)[0] - clothed.fixed_m[0]
    assert float(none.min()) >= 0 and float(none.max()) < 0.004
    usual, loose = clothed.looseness(0 * one)[0], clothed.looseness(one)[0]
    assert float(usual.sub(1).abs().max()) < 0.15 and (loose > 1.5).all()
    apart = clothed.looseness(torch.tensor([[0.0, 1.0]]))[0]  # the other unknown tells upper from lower
    assert apart[0] > usual[0] and apart[1] < usual[1]
