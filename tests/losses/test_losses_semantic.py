"""What the corrected DSR losses and silhouette terms must do: pull the right way, stay finite, mirror, beat compat."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from harness import gradcheck

from dsr import clothing, losses
from dsr.errors import LossError

VARIANTS = ("iou", "row_iou", "distance")
SIZE = 48


def disc(u, v, radius=9.0, soft=1.0) -> torch.Tensor:
    """A soft disc (1, SIZE, SIZE) that gradients can move; u, v in pixels."""
    axis = torch.arange(SIZE) + 0.5
    distance = ((axis[None, :] - u) ** 2 + (axis[:, None] - v) ** 2 + 1e-9).sqrt()
    return torch.sigmoid((radius - distance) / soft)[None]


def square(u0, v0, u1, v1, dtype=torch.float32) -> torch.Tensor:
    mask = torch.zeros(1, SIZE, SIZE, dtype=dtype)
    mask[:, v0:v1, u0:u1] = 1
    return mask


TARGET = square(14, 10, 32, 38)


def person() -> torch.Tensor:
    """A label map (1, SIZE, SIZE): head, shirt, trousers, the person's left arm at the right of the picture, a shoe."""
    ids = {name: i for i, name in enumerate(clothing.LABELS)}
    labels = torch.zeros(1, SIZE, SIZE, dtype=torch.int64)
    labels[:, 2:11, 20:29] = ids["face"]
    labels[:, 11:26, 16:32] = ids["upperclothes"]
    labels[:, 26:42, 16:32] = ids["pants"]
    labels[:, 12:24, 32:40] = ids["leftArm"]
    labels[:, 42:47, 16:30] = ids["rightShoe"]
    return labels


def one_hot_prior(labels: torch.Tensor, sure: float = 1.0) -> torch.Tensor:
    """A body with one face per pixel, whose prior is the label map: its render is its attributes."""
    return sure * torch.nn.functional.one_hot(labels.flatten(), 20).float() + (1 - sure) / 20


def render(prior: torch.Tensor, tight: clothing.MinimallyClothedTarget) -> torch.Tensor:
    return clothing.semantic_attributes(prior, tight.valid).movedim(-1, 1).unflatten(2, (SIZE, SIZE))


# ---------------------------------------------------------------- perfect predictions and the way to them


@pytest.mark.parametrize("variant", VARIANTS)
def test_perfect_render_costs_nothing(variant):
    assert losses.dsr_mc_loss(TARGET, TARGET, variant=variant) == pytest.approx(0, abs=1e-6)
    half = losses.dsr_mc_loss(TARGET, TARGET, alpha=0.5 * TARGET, variant=variant)
    assert half > 0.1  # a half transparent body is not there


def test_published_rows_cost_their_empty_share_at_a_perfect_render():
    published = losses.dsr_mc_loss(TARGET, TARGET, variant="row_iou", compat=True)
    assert published == pytest.approx(1 - 28 / SIZE, abs=1e-5)


def test_whole_picture_iou_is_the_same_in_both_forms_up_to_smoothing():
    a, b = disc(20, 20), TARGET
    assert losses.dsr_mc_loss(a, b) == pytest.approx(float(losses.dsr_mc_loss(a, b, compat=True)), abs=2e-3)
    assert losses.dsr_mc_loss(a, b) == pytest.approx(1 - float(losses.soft_iou(a, b)), abs=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_loss_falls_on_the_way_to_the_mask(variant):
    mask = (disc(30, 24) > 0.5).float()
    values = [float(losses.dsr_mc_loss(disc(u, 24), mask, variant=variant)) for u in range(10, 31, 2)]
    assert all(later < earlier for earlier, later in itertools.pairwise(values)), values


@pytest.mark.parametrize("variant", VARIANTS)
def test_descent_brings_a_disc_onto_its_mask(variant):
    mask = (disc(28, 22) > 0.5).float()
    place = torch.tensor([20.0, 28.0], requires_grad=True)
    optimiser = torch.optim.Adam([place], lr=0.5)
    for _ in range(60):
        optimiser.zero_grad()
        losses.dsr_mc_loss(disc(place[0], place[1], soft=2.0), mask, variant=variant).backward()
        optimiser.step()
    assert (place.detach() - torch.tensor([28.0, 22.0])).abs().max() < 0.5


def test_distance_asks_for_coverage_and_never_pays_for_more():
    small, shifted = square(20, 20, 24, 24), square(34, 10, 40, 38)
    larger = square(34, 10, 46, 38)
    kwargs = {"variant": "distance", "distance": clothing.distance_map(TARGET)}
    assert losses.dsr_mc_loss(small, TARGET, **kwargs) > 0.9
    assert losses.dsr_mc_loss(small, TARGET, **kwargs, compat=True) == 0  # published: a spot inside is perfect
    near, far = square(32, 10, 33, 38) * 0.5, square(32, 10, 33, 38)
    assert losses.dsr_mc_loss(far, TARGET, **kwargs) > losses.dsr_mc_loss(near, TARGET, **kwargs)
    # published: more mass at the same distance is cheaper
    assert losses.dsr_mc_loss(far, TARGET, **kwargs, compat=True) < losses.dsr_mc_loss(
        near, TARGET, **kwargs, compat=True
    )
    assert losses.dsr_mc_loss(larger, TARGET, **kwargs) > losses.dsr_mc_loss(shifted, TARGET, **kwargs)


def test_clothed_loss_is_zero_at_a_perfect_render_and_bounded_below_in_compat():
    labels = person()
    tight, clothed = clothing.minimally_clothed_target(labels), clothing.clothed_target(labels)
    nine = render(one_hot_prior(labels), tight)
    alpha = (labels > 0).float()
    both = losses.semantic_losses(nine, tight, clothed, alpha=alpha)
    assert both.c == pytest.approx(0, abs=1e-5)
    assert both.mc == pytest.approx(0, abs=1e-5)
    published = losses.semantic_losses(nine, tight, clothed, compat=True)
    assert published.c >= math.log(1 + 7 / math.e) - 1e-5


def test_clothed_loss_uses_log_probabilities():
    rendered = torch.full((1, 8, 20, 20), 0.1 / 7)
    rendered[:, 4] = 0.9
    target = torch.full((1, 20, 20), 4)
    assert losses.dsr_c_loss(rendered, target, eps=1e-9) == pytest.approx(-math.log(0.9), abs=1e-5)
    logits = -math.log(math.exp(0.9) / (math.exp(0.9) + 7 * math.exp(0.1 / 7)))
    assert losses.dsr_c_loss(rendered, target, compat=True) == pytest.approx(logits, abs=1e-5)


def test_uncertain_prior_is_weighed_by_its_probability_and_alpha():
    rendered = torch.full((1, 8, 20, 20), 0.05)
    rendered[:, 2], rendered[:, 0] = 0.5, 0.2
    alpha = torch.full((1, 20, 20), 0.5)
    shirt, nothing = torch.full((1, 20, 20), 2), torch.zeros(1, 20, 20, dtype=torch.int64)
    kwargs = {"alpha": alpha, "eps": 1e-9}
    assert losses.dsr_c_loss(rendered, shirt, **kwargs) == pytest.approx(-math.log(0.25), abs=1e-5)
    assert losses.dsr_c_loss(rendered, nothing, **kwargs) == pytest.approx(-math.log(0.5 + 0.1), abs=1e-5)
    premultiplied = losses.dsr_c_loss(0.5 * rendered, shirt, eps=1e-9)
    assert premultiplied == pytest.approx(-math.log(0.25), abs=1e-5)


def test_being_outside_the_person_costs_only_in_the_corrected_form():
    labels = person()
    clothed = clothing.clothed_target(labels)
    fat = labels.clone()
    fat[:, 11:26, 8:16] = clothing.LABELS.index("upperclothes")
    tight = clothing.minimally_clothed_target(labels)

    def both(drawn, compat):
        nine = render(one_hot_prior(drawn, 0.95), tight)
        nine[:, :, (drawn == 0)[0]] = 0  # nothing is rendered there
        alpha = None if compat else (drawn > 0).float()
        return float(
            losses.dsr_c_loss(nine[:, 1:], clothed.classes, class_weights=clothed.weights, alpha=alpha, compat=compat)
        )

    corrected = both(fat, False) / both(labels, False)
    published = both(fat, True) / both(labels, True)
    assert corrected > 1.5
    assert published < 1.01


def test_clothed_loss_falls_on_the_way_to_the_labels():
    labels = person()
    tight, clothed = clothing.minimally_clothed_target(labels), clothing.clothed_target(labels)
    values = []
    for shift in (12, 9, 6, 3, 0):
        moved = labels.roll(shift, 2)
        both = losses.semantic_losses(
            render(one_hot_prior(moved, 0.9), tight), tight, clothed, alpha=(moved > 0).float()
        )
        values.append((float(both.mc), float(both.c)))
    for which in (0, 1):
        series = [value[which] for value in values]
        assert all(later < earlier for earlier, later in itertools.pairwise(series)), series


# ---------------------------------------------------------------- inside the clothes


def wavy(radius: float, wave: float) -> torch.Tensor:
    """A disc (1, SIZE, SIZE) whose rim goes in and out, bool."""
    axis = torch.arange(SIZE) + 0.5 - SIZE / 2
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    return ((u * u + v * v).sqrt() < radius + wave * torch.sin(5 * torch.atan2(v, u)))[None]


def settled_radius(region: torch.Tensor, label: int, **kwargs) -> float:
    """Radius of the disc of one label that the clothed loss likes best, by search."""
    target = torch.where(region, label, 0)
    weights = clothing.class_weights(torch.stack([(target == k).sum() for k in range(8)])[None], min_pixels=10)
    rendered = torch.zeros(1, 8, SIZE, SIZE)
    rendered[:, label] = 1
    radii = torch.arange(6.0, 22.0, 0.25)
    costs = [
        float(
            losses.dsr_c_loss(
                rendered, target, alpha=disc(SIZE / 2, SIZE / 2, float(r), 0.1), class_weights=weights, **kwargs
            )
        )
        for r in radii
    ]
    return float(radii[int(np.argmin(costs))])


def test_edges_settle_at_the_quantile_of_the_cloth_that_the_form_asks_for():
    """Cloth of 9 to 15 pixels: near its outermost folds as published, within it inside, midway where it is skin."""
    region = wavy(12, 3)
    shirt, arm, share = 2, 4, float((~region).sum()) / SIZE**2  # of the picture that is background

    def quantile(q: float) -> float:
        return 12 - 3 * math.cos(math.pi * q)

    assert settled_radius(region, shirt) == pytest.approx(quantile(share), abs=0.75)
    assert quantile(share) > 13.5
    assert settled_radius(region, shirt, variant="inside") == pytest.approx(quantile(0.1 / 1.1), abs=0.75)
    assert settled_radius(region, shirt, variant="inside", loose=0.5) == pytest.approx(quantile(1 / 3), abs=0.75)
    assert settled_radius(region, arm, variant="inside") == pytest.approx(quantile(1 / 2), abs=0.75)


def test_inside_is_zero_at_a_perfect_render_and_grows_with_every_error():
    labels = person()
    tight, clothed = clothing.minimally_clothed_target(labels), clothing.clothed_target(labels)

    def cost(drawn):
        nine = render(one_hot_prior(drawn), tight)
        both = losses.semantic_losses(nine, tight, clothed, alpha=(drawn > 0).float(), c_variant="inside")
        return float(both.c)

    assert cost(labels) == pytest.approx(0, abs=1e-5)
    ids = {name: i for i, name in enumerate(clothing.LABELS)}
    fat, thin, bare, wrong = (labels.clone() for _ in range(4))
    fat[:, 11:26, 12:16] = ids["upperclothes"]
    thin[:, 11:26, 16:20] = 0
    bare[:, 12:24, 32:37] = 0  # the same number of pixels of the arm
    wrong[:, 11:26, 16:20] = ids["pants"]
    assert cost(fat) == pytest.approx(10 * cost(thin), rel=1e-3)  # cloth may stand off, the body may not
    assert cost(bare) == pytest.approx(cost(fat), rel=1e-3)  # skin may not
    assert cost(wrong) > cost(thin) > 0


@pytest.mark.parametrize(("side", "share"), [(3, 9 / (0.02 * SIZE**2)), (12, 1.0)])
def test_inside_counts_people_who_hardly_show_as_two_percent_of_the_picture(side, share):
    """An arm that the body leaves bare costs -log of the smallest probability, less where it is a few pixels."""
    labels = torch.zeros(1, SIZE, SIZE, dtype=torch.int64)
    labels[0, 5 : 5 + side, 7 : 7 + side] = 4
    nothing = torch.zeros(1, 8, SIZE, SIZE)
    loss = losses.dsr_c_loss(nothing, labels, alpha=nothing[:, 0], class_weights=torch.ones(1, 8), variant="inside")
    assert loss.item() == pytest.approx(share * -math.log(1e-3 / 1.001), rel=1e-4)


def test_inside_does_not_pay_for_leaving_uncertain_pixels_bare():
    """A sleeve where the prior says half arm, half shirt: covering it is not dearer than leaving it."""
    target = torch.full((1, 20, 20), 2)
    rendered = torch.zeros(1, 8, 20, 20)
    rendered[:, 2], rendered[:, 4] = 0.3, 0.7
    for value in (0.2, 0.9):
        alpha = torch.full((1, 20, 20), value, requires_grad=True)
        losses.dsr_c_loss(rendered, target, alpha=alpha, variant="inside").backward()
        assert (alpha.grad < 0).all()  # more cover is better, a little


@pytest.mark.parametrize("alpha", [None, 0.0, 0.5, 1.0])
@pytest.mark.parametrize("drawn", [0.0, 1e-12, 1 / 8, 1.0])
def test_inside_is_finite_and_skips_pictures_without_a_person(alpha, drawn):
    rendered = torch.full((3, 8, SIZE, SIZE), drawn / 8, requires_grad=True)
    a = None if alpha is None else torch.full((3, SIZE, SIZE), alpha, requires_grad=True)
    target = torch.cat(
        [
            clothing.merge_labels(person()),
            torch.zeros(1, SIZE, SIZE, dtype=torch.int64),
            torch.full((1, SIZE, SIZE), clothing.IGNORE),
        ]
    )
    loss = losses.dsr_c_loss(rendered, target, alpha=a, variant="inside", reduction="none")
    loss.sum().backward()
    assert loss.isfinite().all() and (loss[1:] == 0).all() and loss[0] > 0
    for leaf in (rendered,) if a is None else (rendered, a):
        assert leaf.grad.isfinite().all() and (leaf.grad[1:] == 0).all()


def test_forms_of_the_clothed_loss_are_named():
    rendered, target = torch.zeros(1, 8, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64)
    with pytest.raises(LossError, match="'published' or 'inside'"):
        losses.dsr_c_loss(rendered, target, variant="outside")
    with pytest.raises(LossError, match="loose"):
        losses.dsr_c_loss(rendered, target, variant="inside", loose=2.0)


# ---------------------------------------------------------------- mirrors


@pytest.mark.parametrize("variant", VARIANTS)
def test_mirroring_picture_and_body_changes_nothing(variant):
    labels, body = person(), person().roll((2, -3), (1, 2))
    values = {}
    for name, picture, compat_mirror in (
        ("straight", labels, None),
        ("mirrored", clothing.mirror_labels(labels), False),
        ("published", clothing.mirror_labels(labels, compat=True), True),
    ):
        tight, clothed = clothing.minimally_clothed_target(picture), clothing.clothed_target(picture)
        drawn = body if compat_mirror is None else clothing.mirror_labels(body)
        nine = render(one_hot_prior(drawn, 0.9), tight)
        both = losses.semantic_losses(nine, tight, clothed, alpha=(drawn > 0).float(), variant=variant)
        values[name] = torch.stack([both.mc, both.c])
    torch.testing.assert_close(values["mirrored"], values["straight"])
    # Without the exchange a perfectly mirrored body is pulled towards the wrong arm.
    assert (values["published"] > values["straight"] + 0.02).all()


# ---------------------------------------------------------------- finite everywhere


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("mask", ["empty", "full", "some"])
@pytest.mark.parametrize("drawn", [0.0, 1e-12, 0.5, 1.0])
def test_minimally_clothed_gradients_are_finite_and_bounded(variant, mask, drawn, device):
    target = {"empty": torch.zeros_like(TARGET), "full": torch.ones_like(TARGET), "some": TARGET}[mask].to(device)
    rendered = torch.full_like(target, drawn, requires_grad=True)
    loss = losses.dsr_mc_loss(rendered, target, variant=variant)
    loss.backward()
    assert loss.isfinite()
    assert rendered.grad.isfinite().all()
    assert rendered.grad.abs().max() <= 1.0
    if mask == "empty":
        assert loss == 0
        assert (rendered.grad == 0).all()
    elif mask == "some" and drawn < 1e-6:  # nothing drawn: the mask must pull
        assert (rendered.grad[target > 0] < 0).all()


@pytest.mark.parametrize("alpha", [None, 0.0, 0.5, 1.0])
@pytest.mark.parametrize("drawn", [0.0, 1e-12, 1 / 8, 1.0])
@pytest.mark.parametrize("weights", [0.0, 1.0])
def test_clothed_gradients_are_finite(alpha, drawn, weights, device):
    rendered = torch.zeros(1, 8, SIZE, SIZE, device=device)
    rendered[:, 3] = drawn
    rendered.requires_grad_()
    a = None if alpha is None else torch.full((1, SIZE, SIZE), alpha, device=device, requires_grad=True)
    target = clothing.merge_labels(person()).to(device)
    loss = losses.dsr_c_loss(rendered, target, alpha=a, class_weights=torch.full((1, 8), weights, device=device))
    loss.backward()
    assert loss.isfinite()
    assert loss <= 7
    for leaf in (rendered,) if a is None else (rendered, a):
        assert leaf.grad.isfinite().all()
        if weights == 0:
            assert (leaf.grad == 0).all()
        elif alpha != 0 and drawn > 0:  # a body that is there pulls
            assert (leaf.grad != 0).any()


@pytest.mark.parametrize(("variant", "c_variant"), [*((v, "published") for v in VARIANTS), ("iou", "inside")])
def test_gradcheck_in_double_precision(variant, c_variant):
    generator = torch.Generator().manual_seed(0)
    rendered = torch.rand(2, 9, 6, 5, generator=generator, dtype=torch.float64) / 9
    alpha = 0.05 + 0.9 * torch.rand(2, 6, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(-1, 20, (2, 6, 5), generator=generator)
    tight = clothing.minimally_clothed_target(labels, min_pixels=0)
    clothed = clothing.clothed_target(labels, min_pixels=0)

    def both(r, a):
        result = losses.semantic_losses(r, tight, clothed, alpha=a, variant=variant, c_variant=c_variant)
        return result.mc + result.c

    if c_variant == "inside":  # its labels' part looks at alpha without gradient on purpose
        alpha = alpha.round().add(0.5) / 2
        gradcheck(lambda r: both(r, alpha), rendered)
        return
    gradcheck(both, rendered, alpha)


def test_half_precision_does_not_overflow():
    large = torch.ones(1, 400, 400, dtype=torch.float16)
    assert losses.dsr_mc_loss(large, large) == 0
    assert losses.dsr_mc_loss(large, large).dtype == torch.float32


# ---------------------------------------------------------------- what does not count


def test_unknown_and_occluded_pixels_do_not_count():
    labels = person()
    labels[:, :, 34:] = clothing.IGNORE
    tight, clothed = clothing.minimally_clothed_target(labels, min_pixels=20), clothing.clothed_target(labels)
    nine, alpha = render(one_hot_prior(person(), 0.9), tight), (person() > 0).float()
    covered = torch.ones_like(alpha)
    covered[:, 40:] = 0
    values = []
    for noise in (0.0, 1.0):
        noisy = nine * 1.0
        noisy[..., 34:], noisy[..., 40:, :] = noise, noise / 9
        a = alpha.clone()
        a[..., 34:], a[:, 40:] = noise, noise
        both = losses.semantic_losses(noisy, tight, clothed, alpha=a, weight=covered)
        values.append(torch.stack([both.mc, both.c]))
    assert torch.equal(values[0], values[1])


def test_unknown_classes_do_not_count_without_any_weight_picture():
    target = clothing.merge_labels(person())
    rendered = torch.nn.functional.one_hot(target, 8).movedim(-1, 1).float()
    rendered[:, :, :20] = 1 / 8
    weights = torch.ones(1, 8)
    assert losses.dsr_c_loss(rendered, target, class_weights=weights) > 0.5
    target[:, :20] = clothing.IGNORE
    for chosen in (weights, None):
        assert losses.dsr_c_loss(rendered, target, class_weights=chosen) == pytest.approx(0, abs=1e-6)
    assert losses.dsr_c_loss(rendered, torch.full_like(target, clothing.IGNORE)) == 0


def test_samples_without_evidence_are_skipped_one_by_one():
    labels = torch.cat([person(), torch.zeros_like(person()), torch.full_like(person(), -1)])
    tight, clothed = clothing.minimally_clothed_target(labels), clothing.clothed_target(labels)
    nine = torch.full((3, 9, SIZE, SIZE), 0.1, requires_grad=True)
    both = losses.semantic_losses(nine, tight, clothed, reduction="none")
    assert (both.mc != 0).tolist() == [True, False, False]
    assert (both.c != 0).tolist() == [True, True, False]  # an all-background picture still says: nobody here
    mean = losses.semantic_losses(nine, tight, clothed)
    torch.testing.assert_close(mean.c, both.c.sum() / 3)
    (mean.mc + mean.c).backward()
    assert nine.grad.isfinite().all()
    assert (nine.grad[2] == 0).all()
    first = clothing.minimally_clothed_target(labels[:2], compat=True), clothing.clothed_target(labels[:2], compat=True)
    published = losses.semantic_losses(nine[:2], *first, reduction="none", compat=True)
    assert (published.c != 0).tolist() == [True, False]  # no valid skin or shoe: the released code skips both


# ---------------------------------------------------------------- silhouettes


def test_silhouette_terms_on_countable_squares():
    mask, shifted = square(10, 10, 20, 20), square(15, 10, 25, 20)
    assert losses.soft_iou(shifted, mask, smooth=1e-9) == pytest.approx(50 / 150)
    assert losses.iou_loss(shifted, mask, smooth=1e-9) == pytest.approx(100 / 150)
    assert losses.containment_loss(shifted, mask) == pytest.approx(0.5)
    assert losses.coverage_loss(shifted, mask) == pytest.approx(0.5)
    columns = sum(range(1, 6)) * 10  # distances 1 to 5, ten rows
    d = clothing.distance_map(mask)
    assert losses.containment_loss(shifted, mask, distance=d) == pytest.approx(columns / 100**1.5)
    inner = square(12, 12, 14, 14)
    assert losses.containment_loss(inner, mask) == 0 == losses.containment_loss(inner, mask, distance=d)
    assert losses.coverage_loss(torch.ones_like(mask), mask) == 0


def test_weight_hides_what_another_person_covers():
    mask, body = square(10, 10, 20, 20), square(10, 10, 30, 20)
    weight = 1 - square(20, 0, SIZE, SIZE)
    assert losses.soft_iou(body, mask, weight=weight) == 1
    assert losses.containment_loss(body, mask, weight=weight) == 0
    hidden = 1 - square(10, 10, 15, 20)
    assert losses.coverage_loss(square(15, 10, 20, 20), mask, weight=hidden) == 0


@pytest.mark.parametrize("term", ["iou_loss", "containment_loss", "coverage_loss"])
def test_empty_masks_and_silhouettes_are_harmless(term):
    loss = getattr(losses, term)
    body = torch.rand(2, SIZE, SIZE, requires_grad=True)
    value = loss(body, torch.zeros(2, SIZE, SIZE), reduction="none")
    assert (value == 0).all()
    nothing = torch.zeros(2, SIZE, SIZE, requires_grad=True)
    value = loss(nothing, TARGET.expand(2, -1, -1))
    value.backward()
    assert value.isfinite()
    assert nothing.grad.isfinite().all()


def test_containment_does_not_shrink_by_growing():
    grown = [float(losses.containment_loss(square(5, 5, 5 + n, 40), TARGET)) for n in (5, 15, 25, 35)]
    assert grown == sorted(grown)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("rendered", lambda: losses.dsr_mc_loss(TARGET[0], TARGET)),
        ("rendered", lambda: losses.dsr_mc_loss(TARGET.long(), TARGET)),
        ("rendered", lambda: losses.dsr_mc_loss(TARGET.numpy(), TARGET)),
        ("rendered", lambda: losses.dsr_mc_loss(TARGET * torch.nan, TARGET)),
        ("rendered", lambda: losses.dsr_mc_loss(TARGET / 0, TARGET)),
        ("rendered", lambda: losses.dsr_mc_loss(TARGET * 255, TARGET)),
        ("target", lambda: losses.dsr_mc_loss(TARGET, TARGET[:, :-1])),
        ("target", lambda: losses.dsr_mc_loss(TARGET, TARGET * 255)),
        ("alpha", lambda: losses.dsr_mc_loss(TARGET, TARGET, alpha=TARGET[..., 1:])),
        ("alpha", lambda: losses.dsr_mc_loss(TARGET, TARGET, alpha=TARGET, compat=True)),
        ("weight", lambda: losses.dsr_mc_loss(TARGET, TARGET, weight=-TARGET)),
        ("valid", lambda: losses.dsr_mc_loss(TARGET, TARGET, valid=torch.ones(1, 4))),
        ("distance", lambda: losses.dsr_mc_loss(TARGET, TARGET, distance=TARGET[0], variant="distance")),
        ("variant", lambda: losses.dsr_mc_loss(TARGET, TARGET, variant="nIOU")),
        ("reduction", lambda: losses.dsr_mc_loss(TARGET, TARGET, reduction="sum")),
        ("rendered", lambda: losses.dsr_c_loss(torch.zeros(1, 9, 4, 4), torch.zeros(1, 4, 4).long())),
        ("target", lambda: losses.dsr_c_loss(torch.zeros(1, 8, 4, 4), torch.full((1, 4, 4), 8))),
        ("target", lambda: losses.dsr_c_loss(torch.zeros(1, 8, 4, 4), torch.zeros(1, 4, 4))),
        ("target", lambda: losses.dsr_c_loss(torch.zeros(1, 8, 4, 4), torch.zeros(2, 4, 4).long())),
        (
            "class_weights",
            lambda: losses.dsr_c_loss(
                torch.zeros(1, 8, 4, 4), torch.zeros(1, 4, 4).long(), class_weights=torch.full((1, 8), torch.nan)
            ),
        ),
        ("silhouette", lambda: losses.soft_iou(TARGET[0], TARGET)),
        ("mask", lambda: losses.iou_loss(TARGET, TARGET * torch.nan)),
    ],
)
def test_errors_name_the_argument(argument, call):
    with pytest.raises(LossError, match=rf"\b{argument}\b"):
        call()


def test_nan_in_any_channel_of_the_render_is_refused():
    nine = torch.zeros(1, 9, SIZE, SIZE)
    nine[0, 5, 0, 0] = torch.nan
    labels = person()
    with pytest.raises(LossError, match="rendered contains NaN"):
        losses.semantic_losses(nine, clothing.minimally_clothed_target(labels), clothing.clothed_target(labels))
