"""Which parts of a body wear nothing: bare trunks, arms, shins and feet, told by the colour of the person's own skin.

Skin goes on and clothes end at edges: a part of the body most of which looks like the face and the hands is bare, for
cloth of its wearer's own colour is about as rare as no cloth, and has folds, prints and seams. Limbs are lit and tinted
otherwise than the face, so that parts which are bare beyond doubt say what the others would have to look like; where no
face is seen, limbs of one colour that may be skin's say it alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dsr.clothing.bare import PARTS
from dsr.clothing.labels import LABELS
from dsr.people.body_view import BodyView
from dsr.people.skin import LIMB_LIGHT, SkinModel, calibrate_skin

_LEFT = [k for k, name in enumerate(LABELS) if name.startswith("left")]
_TRUNK, _SHIN, _FOOT = (PARTS.index(name) for name in ("trunk", "shin", "foot"))
_PERSON = 0.6
_LEAST = 12  # pixels that say something about a part
_LIKE = 0.45  # what looks like skin
_CLIPPED = 252  # a channel that is full has lost its colour: white cloth and skin are the same there
_NO_SKIN = 4.0  # squared distance to the colours of human skin: gloves and goggles calibrate too
_SHARE, _SOFT = 0.7, 0.05  # share of a part that looks like skin where it is bare, and how softly that counts
_BELOW_SHIN = 0.5  # the same of a foot below a bare shin: feet are lit from above, shoes like skin are rare
_SURE = 0.75
_ARMS = tuple(PARTS.index(name) for name in ("upper arm", "forearm", "hand"))
_LIMBS = (*_ARMS, PARTS.index("thigh"), _SHIN)
_ANYBODYS, _NARROW = 3.0, 0.2  # where no face is seen: colours of skin, and how little they may spread
_AGREE = 3  # limbs of one colour
_LIMB_TO_LIMB = 0.45  # limbs differ less in light from one another than from the face, ln brightness


def skin_of_limbs(rgb: np.ndarray, features: np.ndarray, mask: np.ndarray, body: BodyView) -> SkinModel:
    """The skin of somebody whose face is not seen: what most of the limbs have in common, if it looks like skin.

    Args:
        rgb: (S, S, 3) colours, 0 to 255.
        features: (S, S, 3) of them.
        mask: (S, S) probability of the person.
        body: the fitted body there.

    Returns:
        The model; that of skin in general where hands and limbs have no such colour in common.
    """
    limb = body.covered & (mask > _PERSON) & np.isin(body.part, _LIMBS) & _witness(rgb, features, _ANYBODYS)
    skin = calibrate_skin(features[limb], np.ones(limb.sum()))
    if not skin.has_colour or (skin.spread[1:] > _NARROW).any():
        return SkinModel()
    part, seen = _sided(body, mask)
    shares = _shares(part[seen], (_likeness(skin, features) > _LIKE)[seen])
    sure = [k for k in np.flatnonzero(shares > _SHARE) if k // 2 in _LIMBS]
    agree = len(sure) >= _AGREE and any(k // 2 in _ARMS for k in sure)
    return skin if agree else SkinModel()


def _sided(body: BodyView, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Part and side (S, S) of the body, twice the part and 1 more on the left, and where it is seen, bool."""
    return 2 * body.part + np.isin(body.skin_label, _LEFT), body.covered & (mask > _PERSON)


def _likeness(skin: SkinModel, features: np.ndarray, light: float = LIMB_LIGHT) -> np.ndarray:
    """(S, S) how much pixels look like a skin, 0 to 1."""
    return np.asarray(np.exp(-0.25 * skin.distance2(features, light)))


def _witness(rgb: np.ndarray, features: np.ndarray, far: float) -> np.ndarray:
    """(S, S) bool: pixels whose colour can be told, and is somebody's skin's."""
    return (np.asarray(rgb).max(-1) < _CLIPPED) & (SkinModel().chroma2(features) < far)


@dataclass(frozen=True)
class BareParts:
    """What is bare.

    Attributes:
        bare: (S, S) how likely the part that is seen there is bare, 0 to 1.
        like_skin: (S, S) how much each pixel looks like this person's skin, 0 to 1.
        no_top: how likely the trunk is bare, 0 to 1.
    """

    bare: np.ndarray
    like_skin: np.ndarray
    no_top: float


def bare_parts(rgb: np.ndarray, features: np.ndarray, mask: np.ndarray, body: BodyView, skin: SkinModel) -> BareParts:
    """Find the bare parts.

    Args:
        rgb: (S, S, 3) colours, 0 to 255.
        features: (S, S, 3) of them, of :func:`dsr.people.skin.colour_features`.
        mask: (S, S) probability of the person.
        body: the fitted body there.
        skin: of this person.

    Returns:
        The parts; nothing is bare or looks like skin where the person's own colour is not known.
    """
    if not skin.has_colour:
        nothing = np.zeros(mask.shape)
        return BareParts(nothing, nothing, 0.0)
    part, seen = _sided(body, mask)
    witness = _witness(rgb, features, _NO_SKIN)
    like = _likeness(skin, features)
    shares = _shares(part[seen], (witness & (like > _LIKE))[seen])
    sure = seen & witness & (like > _LIKE) & (shares > _SURE)[part]
    limbs = calibrate_skin(features[sure], np.ones(sure.sum()))
    if limbs.has_colour:
        like = np.maximum(like, _likeness(limbs, features, _LIMB_TO_LIMB))
        shares = _shares(part[seen], (witness & (like > _LIKE))[seen])
    needed = np.full(len(shares), _SHARE)
    for s in range(2):
        if shares[2 * _SHIN + s] > _SHARE:
            needed[2 * _FOOT + s] = _BELOW_SHIN
    bare = 1.0 / (1.0 + np.exp((needed - shares) / _SOFT))
    return BareParts(bare[part], like, float(bare[2 * _TRUNK]))


def _shares(part: np.ndarray, like: np.ndarray) -> np.ndarray:
    """(2 P,) share of the pixels (N,) of each part and side that look like skin, 0 where too few are seen."""
    count = np.bincount(part, minlength=2 * len(PARTS))
    skin = np.bincount(part, like, 2 * len(PARTS))
    return np.where(count >= _LEAST, skin / np.maximum(count, 1), 0.0)
