"""Clothing labels of a person without a parsing network: from the mask, the fitted body and the picture's colours.

Every pixel of the person has a prior: what usually covers the part of the body that is seen there
(:class:`~dsr.clothing.ClothingPrior`). The colours decide: skin by a model calibrated on this person's face and hands,
everything else by colours that are learned in turns from where each group is likely. Pixels of like colour beside each
other vote together, so that hems follow the edges in the picture. Groups are background, skin, hair, upper, lower and
shoes (:mod:`dsr.clothing.groups`).
"""

from __future__ import annotations

import numpy as np

from dsr.body import BodyAsset
from dsr.body.joints import joint_names
from dsr.camera import PictureCamera
from dsr.clothing.groups import GROUP_NAMES, HAIR, LOWER, SHOES, SKIN, UPPER
from dsr.clothing.labels import IGNORE, LABELS
from dsr.clothing.prior import ClothingPrior
from dsr.people.bare_parts import BareParts, bare_parts, skin_of_limbs
from dsr.people.body_view import BodyView, view_body
from dsr.people.clothing_map import ClothingMap
from dsr.people.crop_grid import CropGrid, person_grid
from dsr.people.skin import LIMB_LIGHT, SkinModel, calibrate_skin, colour_features
from dsr.people.types import Detection

SIDE = 160
"""Pixels a side of the square a person is parsed in."""

_ROUNDS = 4
_GROUPS = len(GROUP_NAMES)
_HANDS = ("index", "pinky", "thumb", "wrist")
_FACE = ("nose", "eye", "ear", "mouth")
_VISIBLE = 0.5
_BINS = (10, 14, 14)
_LOW, _HIGH = np.array([2.2, -0.9, -1.2]), np.array([5.6, 1.1, 0.9])
_VOTES = 6.0  # what neighbours of one mind say against a colour, in logarithms
_EVIDENCE = 0.3  # pixels of one garment are no independent witnesses: what they say together is worth this share
_SELDOM = 1.5  # how seldom cloth has the very colour of the skin, in logarithms
_NO_TOP = 0.9  # a bare trunk makes a top elsewhere so unlikely
_SHADED = 0.5  # of a bare part: skin that does not look like it
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0))


def parse_clothing(
    detection: Detection,
    vertices_cam: np.ndarray,
    asset: BodyAsset,
    prior: ClothingPrior,
    camera: PictureCamera,
    photo_rgb: np.ndarray,
) -> ClothingMap | None:
    """Labels of one person.

    Args:
        detection: the person; the mask and the keypoints of face and hands are used.
        vertices_cam: (V, 3) metres, the body fitted to the person, in the picture's camera.
        asset: that body.
        prior: of that body.
        camera: of the full, upright picture.
        photo_rgb: (h, w, 3) uint8, that picture at any size.

    Returns:
        The map in a square around the person, or None where there is no mask or the body is not in it.
    """
    if detection.mask is None:
        return None
    grid = person_grid(detection, SIDE)
    body = view_body(vertices_cam, asset, prior, grid.camera(camera))
    if body is None:
        return None
    mask = grid.sample(detection.mask)
    rgb = grid.colours(photo_rgb, camera.size)
    posterior = group_posterior(rgb, mask, body, _sure_skin(detection, grid, body, mask))
    group = posterior.argmax(-1)
    labels = np.select(
        [group == SKIN, group == HAIR, group == UPPER, group == LOWER, group == SHOES],
        [
            body.skin_label,
            LABELS.index("hair"),
            LABELS.index("upperclothes"),
            LABELS.index("pants"),
            np.where(np.isin(body.skin_label, _LEFT), LABELS.index("leftShoe"), LABELS.index("rightShoe")),
        ],
        0,
    )
    u, v = grid.pixels()
    outside = ~(((v > 0) & (v < camera.size[1]))[:, None] & ((u > 0) & (u < camera.size[0]))[None])
    labels[outside] = IGNORE
    return ClothingMap(grid.box_px, labels, np.where(outside, 0.0, posterior.max(-1)).astype(np.float32))


_LEFT = [k for k, name in enumerate(LABELS) if name.startswith("left")]


def group_posterior(rgb: np.ndarray, mask: np.ndarray, body: BodyView, sure_skin: np.ndarray) -> np.ndarray:
    """Probabilities of the groups.

    Args:
        rgb: (S, S, 3) colours, 0 to 255.
        mask: (S, S) probability of the person.
        body: the fitted body there.
        sure_skin: (S, S) how likely each pixel shows face or hands, 0 to 1.

    Returns:
        (S, S, 6), sums to 1.
    """
    features = colour_features(rgb)
    skin = calibrate_skin(features[sure_skin > 0], sure_skin[sure_skin > 0])
    if not skin.calibrated:
        skin = skin_of_limbs(rgb, features, mask, body)
    prior = _spatial_prior(mask, body)
    bins = _bins(features)
    links = _links(features)
    head = body.skin_label == LABELS.index("face")
    skin_log = _skin_log(skin, features, np.where(head, 0.0, LIMB_LIGHT))
    found = bare_parts(rgb, features, mask, body, skin)
    # Limbs that look like this person's skin teach no cloth its colours: else trousers would take bare legs in.
    bare = np.maximum(np.minimum(4.0 * prior[..., SKIN], 1.0), found.bare)
    doubt = (1.0 - 0.95 * found.like_skin * bare)[..., None]
    prior = posterior = logs = _bared(prior, found)
    log_prior = np.log(prior + 1e-4).astype(np.float32)
    cloth = np.isin(np.arange(_GROUPS), (UPPER, LOWER, SHOES))
    teaching = np.sqrt(prior) * np.where(cloth, doubt, 1.0)
    teachers = prior**6 * np.where(cloth, doubt, 1.0)  # at first only where the body itself says what is there
    for turn in range(_ROUNDS):
        likelihood = _log_likelihood(bins, teachers if turn == 0 else posterior * teaching, skin_log)
        likelihood[..., cloth] -= _SELDOM * found.like_skin[..., None]
        posterior = _normalised(log_prior + likelihood)
        for _ in range(3):
            logs = log_prior + likelihood + _VOTES * _vote(posterior, links)
            posterior = _normalised(logs)
    return _normalised(_EVIDENCE * logs)


def _bared(prior: np.ndarray, found: BareParts) -> np.ndarray:
    """(S, S, 6) the prior of somebody some parts of whom are bare.

    Who wears no top wears none at the hips either, so that shorts are no tops.
    """
    prior = prior.copy()
    looks = _SHADED + (1.0 - _SHADED) * found.like_skin
    prior[..., SKIN] += found.bare * looks * prior[..., [UPPER, LOWER, SHOES]].sum(-1)
    prior[..., UPPER] *= 1.0 - _NO_TOP * found.no_top
    person = prior[..., 1:]
    person *= ((1.0 - prior[..., 0]) / np.maximum(person.sum(-1), 1e-9))[..., None]
    return prior


def _spatial_prior(mask: np.ndarray, body: BodyView) -> np.ndarray:
    """(S, S, 6) before any colour is looked at."""
    from scipy.ndimage import gaussian_filter

    side = len(mask)
    groups = body.groups.copy()
    blurred = np.stack([gaussian_filter(groups[..., g], 0.012 * side) for g in range(_GROUPS)], -1)
    groups = 0.5 * groups + 0.5 * blurred
    # hair stands off the head, cloth off the body, skin does not
    reach = np.clip(body.distance / (0.03 * side), 0.0, 2.0)
    groups[..., SKIN] *= np.exp(-reach)
    head = (body.skin_label == LABELS.index("face")) & (body.distance > 0)
    groups[head, HAIR] += 0.3 * reach[head]
    below = body.skin_label != LABELS.index("face")
    groups[below, SKIN] = np.maximum(groups[below, SKIN], 0.04)  # bathing, sport and summer: no garment of the prior's
    groups[below] = np.sqrt(groups[below])  # how long sleeves and trousers usually are says less than what is seen
    groups = 0.92 * groups / np.maximum(groups.sum(-1, keepdims=True), 1e-9)
    groups[..., 1:] += 0.08 / (_GROUPS - 1)
    person = np.clip(mask, 0.01, 0.99)[..., None]
    far = np.exp(-np.clip(body.distance - 0.08 * side, 0.0, None) / (0.04 * side))[..., None]
    prior = groups * person * far
    prior[..., 0] = 1.0 - (person * far)[..., 0]
    return np.asarray(prior / prior.sum(-1, keepdims=True))


def _skin_log(skin: SkinModel, features: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Log-likelihood of skin (S, S) per unit of the colour histogram's cells."""
    cell = np.prod((_HIGH - _LOW) / _BINS)
    norm = np.sqrt(skin.spread[0] ** 2 + light**2) * np.prod(skin.spread[1:]) * (2 * np.pi) ** 1.5
    general = -0.5 * np.minimum(SkinModel().distance2(features), 16.0)
    own = np.exp(-0.5 * np.minimum(skin.distance2(features, light), 30.0)) * cell / norm
    return np.asarray(np.log(own + 1e-5) + (0.3 * general if skin.calibrated else 0.0))


def _bins(features: np.ndarray) -> np.ndarray:
    """(S, S) cell of the colour histogram."""
    place = ((features - _LOW) / (_HIGH - _LOW) * _BINS).astype(int)
    place = np.clip(place, 0, np.array(_BINS) - 1)
    return np.asarray(np.ravel_multi_index(tuple(np.moveaxis(place, -1, 0)), _BINS))


def _log_likelihood(bins: np.ndarray, teachers: np.ndarray, skin_log: np.ndarray) -> np.ndarray:
    """(S, S, 6) log-likelihoods of the colours; each group's histogram by how much each pixel teaches it."""
    from scipy.ndimage import gaussian_filter

    out = np.empty(teachers.shape, np.float32)
    everything = None
    for group in range(_GROUPS):
        counts = np.bincount(bins.ravel(), teachers[..., group].ravel(), int(np.prod(_BINS))).reshape(_BINS)
        smooth = gaussian_filter(counts, (1.0, 0.7, 0.7), mode="constant")
        total = smooth.sum()
        if everything is None:
            everything = gaussian_filter(
                np.bincount(bins.ravel(), minlength=int(np.prod(_BINS))).reshape(_BINS).astype(float), 1.5
            )
            everything /= everything.sum()
        few = 40.0  # pixels' worth of the whole picture's colours: rare groups do not make up colours of their own
        density = (smooth + few * (0.5 * everything + 0.5 / everything.size)) / (total + few)
        log = np.log(density.ravel()[bins] + 1e-6)
        if group == SKIN:
            log = np.logaddexp(np.log(0.65) + skin_log, np.log(0.35) + log)
        out[..., group] = log
    out[..., 0] = 0.5 * out[..., 0] + 0.5 * out.max(-1)  # the mask knows more about the background than colours do
    return out


def _links(features: np.ndarray) -> list[np.ndarray]:
    """Strength of the link of every pixel to its neighbours in eight directions and two steps further, 0 to 1."""
    scaled = features / (0.12, 0.05, 0.05)
    links = []
    for dy, dx in _NEIGHBOURS:
        other = np.roll(scaled, (-dy, -dx), (0, 1))
        strength = np.exp(-0.5 * np.minimum(np.square(scaled - other).sum(-1), 30.0))
        strength[len(strength) - dy :] = 0
        if dx > 0:
            strength[:, strength.shape[1] - dx :] = 0
        elif dx < 0:
            strength[:, :-dx] = 0
        links.append((0.1 + 0.9 * strength).astype(np.float32))
    return links


def _vote(posterior: np.ndarray, links: list[np.ndarray]) -> np.ndarray:
    """(S, S, 6) mean of the neighbours' probabilities, the more like in colour the more they count."""
    total, weight = np.zeros_like(posterior), np.zeros(posterior.shape[:2], np.float32)
    for (dy, dx), link in zip(_NEIGHBOURS, links, strict=True):
        total += link[..., None] * np.roll(posterior, (-dy, -dx), (0, 1))
        back = np.roll(link, (dy, dx), (0, 1))
        total += back[..., None] * np.roll(posterior, (dy, dx), (0, 1))
        weight += link + back
    return np.asarray(total / np.maximum(weight, 1e-9)[..., None])


def _normalised(log: np.ndarray) -> np.ndarray:
    shifted = np.exp(log - log.max(-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(-1, keepdims=True))


def _sure_skin(detection: Detection, grid: CropGrid, body: BodyView, mask: np.ndarray) -> np.ndarray:
    """(S, S) how likely face or hands are seen: around their keypoints, where the body has them."""
    u, v = grid.pixels()
    names = joint_names(detection.keypoint_set)
    points = {
        name: xy
        for name, xy, confidence in zip(names, detection.keypoints_px, detection.confidence, strict=True)
        if confidence >= _VISIBLE
    }
    near = np.zeros(mask.shape)
    face = np.array([xy for name, xy in points.items() if any(part in name for part in _FACE)])
    if len(face) >= 3:
        centre, spread = face.mean(0), max(float(np.ptp(face, axis=0).max()), 0.01 * (u[-1] - u[0]))
        away = ((u[None] - centre[0]) ** 2 + (v[:, None] - centre[1]) ** 2) / (0.6 * spread) ** 2
        near = np.where(away < 1, 1.0, 0.0)
    reach = 0.012 * (v[-1] - v[0])
    for name, (x, y) in points.items():
        if any(part in name for part in _HANDS):
            near = np.maximum(near, 0.5 * ((u[None] - x) ** 2 + (v[:, None] - y) ** 2 < reach**2))
    bare = np.where(body.distance < 0.03 * len(mask), body.groups[..., SKIN], 0.0)
    return np.asarray(near * (mask > 0.6) * np.where(bare > 0.4, bare, 0.0))
