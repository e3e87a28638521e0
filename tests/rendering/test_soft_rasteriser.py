"""The soft rasteriser against the published vectors, against a slow reference, and on meshes it cannot draw."""

from __future__ import annotations

import math
from importlib.util import find_spec

import numpy as np
import pytest
import soft_reference
import torch
from harness import gradcheck
from shared_data import vectors

from dsr.errors import MissingExtraError, RenderError
from dsr.rendering import RenderSettings, SemanticRenderer

SIZE = (26, 34)
MODES = [
    RenderSettings(sigma=3e-3, gamma=0.05),
    RenderSettings(sigma=1e-3, gamma=0.1, occlusion="camera", near=1.5, far=4.0, background=(0.3, 0.1, 0.9, 0.5)),
    RenderSettings(sigma=3e-3, gamma=0.05, blend="pytorch3d", background=0.25),
]


def soup(seed=0, num_faces=24, num_vertices=20):
    """Triangles in front of a camera, and that camera; float64."""
    rng = np.random.default_rng(seed)
    vertices = np.stack(
        [rng.uniform(-0.9, 0.9, num_vertices), rng.uniform(-0.7, 0.7, num_vertices), rng.uniform(2, 3.5, num_vertices)],
        -1,
    )
    faces = np.array([rng.permutation(num_vertices)[:3] for _ in range(num_faces)])
    K = np.array([[36.0, 0.4, 17.5], [0, 34.0, 12.6], [0, 0, 1]])
    return torch.tensor(vertices), torch.tensor(faces), torch.tensor(K)


def backend(settings, threads=1, atomics=False):
    renderer = SemanticRenderer(settings, "warp", threads)
    renderer.backend.atomics = atomics
    return renderer


def body_range(vertices):
    near, deep = vertices[:, 2].min().item(), vertices[:, 2].max().item()
    return near, deep + max(deep - near, 1e-3)


def expected(vertices, faces, attributes, K, settings, per_vertex=False, depth_range=None, size=SIZE):
    if settings.occlusion == "body" and depth_range is None:
        depth_range = body_range(vertices)
    return soft_reference.render(vertices, faces, attributes, K, size, settings, per_vertex, depth_range)


@pytest.fixture(scope="module")
def golden():
    return vectors("dsr", "softras_reference")


def golden_scene(ndc, golden):
    """The vectors' normalised coordinates (y up) as camera points with a 32-pixel camera."""
    points = np.stack([ndc[:, 0] * ndc[:, 2], -ndc[:, 1] * ndc[:, 2], ndc[:, 2]], -1)
    K = torch.tensor([[16.0, 0, 16], [0, 16, 16], [0, 0, 1]])
    colours = torch.tensor(golden["colors"], dtype=torch.float32)
    return torch.tensor(points, dtype=torch.float32)[None], torch.tensor(golden["faces"]), colours, K, (32, 32)


@pytest.mark.parametrize("atomics", [False, True])
@pytest.mark.parametrize("key", ["s1e-3_g1e-1", "s1e-4_g1e-4", "s1e-5_g1e-1", "s1e-7_g1e-1"])
def test_softras_vectors(golden, key, atomics):
    sigma, gamma = (float(part[1:]) for part in key.split("_"))
    render = backend(RenderSettings.published(sigma, gamma), atomics=atomics)
    picture = render(*golden_scene(golden["ndc"], golden))
    reference = torch.tensor(golden[f"ref_{key}"])
    # the vectors are float64; float32 rounds corners by 6e-8, against soft edges 3e-4 wide at sigma 1e-7
    assert (picture.alpha[0] - reference[3]).abs().max() < 2e-5
    assert (picture.attributes[0] - reference[:3]).abs().max() < 1e-4
    assert reference[3].max() > 0.9


def test_softras_vectors_beyond_the_far_plane_keep_alpha_and_lose_colour(golden):
    scene = golden_scene(golden["ref_far_ndc"], golden)
    picture = backend(RenderSettings.published(1e-5, 0.1))(*scene)
    assert picture.attributes.abs().max() == 0
    assert (picture.alpha[0] - torch.tensor(golden["ref_far"][3])).abs().max() < 2e-5
    whole = backend(RenderSettings(sigma=1e-5))(*scene)
    assert whole.attributes.max() > 0.3  # the depth range of the body has no such end


@pytest.mark.parametrize("channels", ["rgba", "alpha"])
@pytest.mark.parametrize("sigma", ["1e-3", "1e-5"])
def test_softras_gradient_vectors(golden, sigma, channels):
    vertices, faces, colours, K, size = golden_scene(golden["ndc"], golden)
    vertices.requires_grad_()
    colours.requires_grad_()
    picture = backend(RenderSettings.published(float(sigma), 0.1))(vertices, faces, colours, K, size)
    upstream = torch.tensor(golden["grad_upstream"], dtype=torch.float32)
    value = (picture.alpha[0] * upstream[3]).sum()
    if channels == "rgba":
        value = value + (picture.attributes[0] * upstream[:3]).sum()
    value.backward()
    g, ndc = vertices.grad[0].double().numpy(), golden["ndc"]
    z = ndc[:, 2]
    chained = np.stack([g[:, 0] * z, -g[:, 1] * z, g[:, 2] + g[:, 0] * ndc[:, 0] - g[:, 1] * ndc[:, 1]], -1)
    wanted = golden[f"grad_ndc_fd_s{sigma}_{channels}"]
    assert np.abs(chained - wanted).max() < 1e-4 * np.abs(wanted).max()
    if (sigma, channels) == ("1e-5", "rgba"):
        wanted = golden["grad_color_fd_s1e-5_rgba"]
        assert np.abs(colours.grad.numpy() - wanted).max() < 1e-4 * np.abs(wanted).max()


@pytest.mark.parametrize("per_vertex", [False, True])
@pytest.mark.parametrize("settings", MODES, ids=["body", "camera", "pytorch3d"])
def test_reference_gradients_are_right(settings, per_vertex):
    vertices, faces, K = soup(3, num_faces=5, num_vertices=7)
    attributes = torch.rand(7 if per_vertex else 5, 4, dtype=torch.float64)
    fixed = body_range(vertices) if settings.occlusion == "body" else None

    size = (9, 11)
    weights = torch.randn(2, 5, *size, dtype=torch.float64)  # two mixtures of all pixels stand for the pictures

    def pictures(*inputs):
        colour, alpha, _, _ = expected(inputs[0], faces, inputs[1], inputs[2], settings, per_vertex, fixed, size)
        return (weights * torch.cat((colour, alpha[None]))).sum((1, 2, 3))

    K = torch.diag(torch.tensor([1 / 3, 1 / 3, 1.0], dtype=torch.float64)) @ K
    gradcheck(pictures, vertices, attributes, K, eps=1e-8, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("atomics", [False, True], ids=["plain", "atomics"])
@pytest.mark.parametrize("per_vertex", [False, True], ids=["faces", "vertices"])
@pytest.mark.parametrize("settings", MODES, ids=["body", "camera", "pytorch3d"])
def test_warp_agrees_with_the_reference(settings, per_vertex, atomics):
    vertices, faces, K = soup()
    generator = torch.Generator().manual_seed(1)
    attributes = torch.rand(len(vertices) if per_vertex else len(faces), 4, generator=generator, dtype=torch.float64)
    exact = [one.clone().requires_grad_() for one in (vertices, attributes, K)]
    colour, alpha, depth, index = expected(exact[0], faces, exact[1], exact[2], settings, per_vertex)
    single = [one.float().requires_grad_() for one in (vertices[None], attributes, K[None])]
    at = "vertices" if per_vertex else "faces"
    picture = backend(settings, atomics=atomics)(single[0], faces, single[1], single[2], SIZE, attributes_at=at)
    assert (picture.attributes[0] - colour).abs().max() < 1e-4
    assert (picture.alpha[0] - alpha).abs().max() < 2e-5
    assert (picture.face_index[0] == index).float().mean() == 1
    assert (picture.depth[0] - depth).abs().max() < 1e-4
    to_colour, to_alpha = torch.randn(4, *SIZE, generator=generator), torch.randn(SIZE, generator=generator)
    wanted = torch.autograd.grad((colour * to_colour).sum() + (alpha * to_alpha).sum(), exact)
    got = torch.autograd.grad((picture.attributes[0] * to_colour).sum() + (picture.alpha[0] * to_alpha).sum(), single)
    for one, other in zip(got, wanted, strict=True):
        assert other.abs().max() > 0
        assert (one.reshape(other.shape) - other).abs().max() < 1e-3 * other.abs().max()


@pytest.mark.parametrize("atomics", [False, True], ids=["plain", "atomics"])
def test_batches_with_their_own_attributes_and_cameras(atomics):
    parts = [soup(seed) for seed in range(3)]
    faces = parts[0][1]
    vertices = torch.stack([part[0] for part in parts]).float().requires_grad_()
    K = torch.stack([part[2] + torch.eye(3)[:, [0, 1, 1]] * seed for seed, part in enumerate(parts)]).float()
    attributes = torch.rand(3, len(faces), 2).requires_grad_()
    render = backend(MODES[0], threads=2, atomics=atomics)
    together = render(vertices, faces, attributes, K, SIZE)
    weights = torch.randn_like(together.attributes)
    grads = torch.autograd.grad((together.attributes * weights).sum() + together.alpha.sum(), (vertices, attributes))
    for i in range(3):
        one = [t[i : i + 1].detach().requires_grad_() for t in (vertices, attributes)]
        alone = render(one[0], faces, one[1], K[i], SIZE)
        assert torch.equal(alone.attributes[0], together.attributes[i])
        assert torch.equal(alone.face_index[0], together.face_index[i])
        value = (alone.attributes * weights[i]).sum() + alone.alpha.sum()
        for grad, whole in zip(torch.autograd.grad(value, one), grads, strict=True):
            assert torch.allclose(grad[0], whole[i], rtol=1e-4, atol=1e-5 * float(whole.abs().max()))


def test_pictures_do_not_depend_on_the_number_of_threads():
    vertices, faces, K = (one.float() if one.is_floating_point() else one for one in soup(5, 60, 50))
    vertices = vertices.requires_grad_()
    attributes = torch.rand(60, 5)
    results = []
    for threads in (1, 2, 3, 7, 64):
        picture = backend(RenderSettings(sigma=1e-3), threads)(vertices[None], faces, attributes, K, SIZE)
        (grad,) = torch.autograd.grad(picture.attributes.square().sum() + picture.alpha.sum(), vertices)
        results.append((picture, grad))
    first, first_grad = results[0]
    for picture, grad in results[1:]:
        for name in ("attributes", "alpha", "depth", "face_index"):
            assert torch.equal(getattr(picture, name), getattr(first, name)), name
        assert (grad - first_grad).abs().max() < 1e-5 * first_grad.abs().max()


def test_bands_share_the_work_evenly():
    renderer = backend(RenderSettings(), threads=2)
    work = torch.cat([torch.ones(90), torch.full((10,), 50.0)])  # nearly all of it in the last rows
    (first, cut), (start, last) = renderer.backend.bands(lambda: work, 100, torch.device("cpu"))
    assert (first, start, last) == (0, cut, 100)
    assert abs(work[:cut].sum() - work[cut:].sum()) <= 100


def layers(gap):
    """A front sheet of value 1 over a back sheet of value 0, both larger than the picture."""
    sheet = torch.tensor([[-9.0, -9, 0], [9, -9, 0], [0, 18, 0]])
    vertices = torch.cat([sheet + torch.tensor([0, 0, 3.0]), sheet + torch.tensor([0, 0, 3.0 + gap])])
    return vertices[None], torch.tensor([[0, 1, 2], [3, 4, 5]]), torch.tensor([[1.0], [0.0]])


def test_occlusion_by_the_body_hides_the_back_where_the_published_range_mixes():
    K = torch.tensor([[16.0, 0, 16], [0, 16, 16], [0, 0, 1]])
    xray = backend(RenderSettings.published())(*layers(0.3), K, (32, 32))
    hidden = backend(RenderSettings())(*layers(0.3), K, (32, 32))
    assert 0.48 < xray.attributes.min() <= xray.attributes.max() < 0.53
    assert hidden.attributes.min() > 0.999
    assert (hidden.face_index == 0).all()
    assert torch.allclose(hidden.depth, torch.tensor(3.0))


def test_what_cannot_be_drawn_adds_nothing_and_has_finite_gradients():
    settings = RenderSettings(sigma=1e-3)
    vertices, faces, K = soup(2, 12, 16)
    vertices, K = vertices.float(), K.float()
    bad = torch.tensor(
        [
            [0.1, 0, -1],  # 16: behind
            [0.1, 0.2, 0],  # 17: in the camera's plane
            [0.3, 0.1, 1e-4],  # 18: too near
            [1e30, 0, 2.5],  # 19: beside every picture
            [0.2, 0.2, 1e20],  # 20: at the horizon
            [40.0, 0, 2.5],  # 21-23: outside of the picture
            [41.0, 1, 2.5],
            [41.0, 0, 2.5],
        ]
    )
    more = torch.tensor([[0, 1, 16], [0, 1, 17], [18, 2, 3], [19, 2, 3], [21, 22, 23], [4, 4, 5], [6, 6, 6]])
    attributes = torch.rand(12 + len(more), 3)
    fixed = {"near": 1.0, "far": 10.0, "occlusion": "camera"}
    for blend in ("softras", "pytorch3d"):
        for atomics in (False, True):
            settings = RenderSettings(sigma=1e-3, blend=blend, **fixed)
            render = backend(settings, atomics=atomics)
            plain = render(vertices[None], faces, attributes[:12], K, SIZE)
            inputs = [torch.cat([vertices, bad])[None].requires_grad_(), attributes.clone().requires_grad_(), K.clone()]
            inputs[2].requires_grad_()
            picture = render(inputs[0], torch.cat([faces, more]), inputs[1], inputs[2], SIZE)
            assert torch.allclose(picture.alpha, plain.alpha, atol=1e-6)
            assert torch.allclose(picture.attributes, plain.attributes, atol=1e-6)
            for grad in torch.autograd.grad(picture.attributes.sum() + picture.alpha.sum(), inputs):
                assert torch.isfinite(grad).all()
    # the body's own depth range stays finite too, though one vertex is at the horizon
    picture = backend(RenderSettings())(torch.cat([vertices, bad])[None], faces, attributes[:12], K, SIZE)
    assert torch.isfinite(picture.attributes).all()


@pytest.mark.parametrize("atomics", [False, True], ids=["plain", "atomics"])
def test_empty_meshes_show_the_background(atomics):
    render = backend(RenderSettings(background=(0.25, 0.75)), threads=2, atomics=atomics)
    K = torch.eye(3)
    behind = torch.tensor([[[0.0, 0, -2], [1, 0, -2], [0, 1, -2]]])
    for vertices, faces in (
        (torch.zeros(2, 0, 3), torch.zeros(0, 3, dtype=torch.int64)),
        (torch.zeros(2, 4, 3), torch.zeros(0, 3, dtype=torch.int64)),
        (behind, torch.tensor([[0, 1, 2]])),
    ):
        vertices.requires_grad_()
        picture = render(vertices, faces, torch.zeros(len(faces), 2), K, (5, 7), attributes_at="faces")
        assert picture.attributes.shape == (len(vertices), 2, 5, 7)
        assert (picture.attributes == torch.tensor([0.25, 0.75])[:, None, None]).all()
        assert picture.alpha.abs().max() == 0
        assert (picture.face_index == -1).all()
        (grad,) = torch.autograd.grad(picture.attributes.sum() + picture.alpha.sum(), vertices)
        assert grad.shape == vertices.shape
        assert (grad == 0).all()


def test_a_pixel_deep_inside_a_triangle_is_covered_exactly_once():
    vertices, faces, values = layers(0.3)
    K = torch.tensor([[16.0, 0, 16], [0, 16, 16], [0, 0, 1]])
    picture = backend(RenderSettings(sigma=1e-9, gamma=1e-6))(vertices, faces, values, K, (32, 32))
    assert (picture.alpha == 1).all()
    assert (picture.attributes == 1).all()


WRONG = {
    "vertices_cam": [
        lambda v: v[0],
        lambda v: v.double(),
        lambda v: v.numpy(),
        lambda v: v[..., :2],
        lambda v: v.masked_fill(v > 0, math.nan),
        lambda v: v.masked_fill(v > 0, math.inf),
        lambda v: v[:0],
        lambda v: v.to("meta"),
    ],
    "faces": [lambda f: f.float(), lambda f: f.flatten(), lambda f: f + 5, lambda f: f - 2, lambda f: f.to("meta")],
    "attributes": [
        lambda a: a[:-1],
        lambda a: a[..., :0],
        lambda a: a.double(),
        lambda a: a[None].repeat(3, 1, 1),
        lambda a: a * math.nan,
        lambda a: a.to("meta"),
        lambda a: None,
    ],
    "K": [lambda k: k[:2], lambda k: k.double(), lambda k: k[None].repeat(2, 1, 1), lambda k: k * math.nan],
    "size": [lambda s: (0, 5), lambda s: (5,), lambda s: (5.0, 5), lambda s: 5],
}


@pytest.mark.parametrize(("name", "which"), [(name, i) for name, cases in WRONG.items() for i in range(len(cases))])
def test_wrong_arguments_are_named(name, which):
    vertices, faces, _ = layers(0.3)
    arguments = {"vertices_cam": vertices, "faces": faces, "attributes": torch.rand(2, 3), "K": torch.eye(3)}
    arguments["size"] = (4, 4)
    arguments[name] = WRONG[name][which](arguments[name])
    with pytest.raises(RenderError, match=name):
        backend(RenderSettings())(**arguments)


def test_attributes_that_fit_faces_and_vertices_have_to_be_told_apart():
    vertices = torch.tensor([[[0.0, 0, 2], [1, 0, 2], [0, 1, 2]]])
    arguments = (vertices, torch.tensor([[0, 1, 2]] * 3), torch.rand(3, 2), torch.eye(3), (4, 4))
    with pytest.raises(RenderError, match="attributes_at"):
        backend(RenderSettings())(*arguments)
    assert backend(RenderSettings())(*arguments, attributes_at="faces").alpha.shape == (1, 4, 4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sigma": 0.0},
        {"sigma": math.nan},
        {"gamma": -1.0},
        {"near": 5.0, "far": 5.0},
        {"dist_eps": 0.7},
        {"eps": -1.0},
        {"blend": "hard"},
        {"occlusion": "none"},
        {"background": (0.0, math.nan)},
        {"min_depth": 0.0},
    ],
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(RenderError, match=next(iter(wrong))):
        RenderSettings(**wrong)


def test_wrong_backends_and_backgrounds_are_named():
    with pytest.raises(RenderError, match="backend"):
        SemanticRenderer(backend="opengl")
    with pytest.raises(RenderError, match="threads"):
        SemanticRenderer(threads=0)
    with pytest.raises(RenderError, match="background"):
        backend(RenderSettings(background=(0.0, 0.0)))(*layers(0.1), torch.eye(3), (4, 4))
    if find_spec("pytorch3d") is None:
        with pytest.raises(MissingExtraError, match="pytorch3d"):
            SemanticRenderer(backend="pytorch3d")


def test_auto_is_warp_here():
    assert SemanticRenderer().backend.name == "warp"
