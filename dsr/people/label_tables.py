"""Label sets of parsing networks, each mapped to the 20 labels of this project by a table.

Graphonomy's ids are ours. LIP's differ in 10 alone (jumpsuits, where CIHP has the skin of the trunk). ATR's are the 18
that SegFormer's and other clothes checkpoints have. Sets that say "skin" or "clothes" and no more are completed by the
part of the body that is seen (:func:`resolve`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from dsr.clothing.groups import LOWER, UPPER
from dsr.clothing.labels import LABELS
from dsr.errors import DetectionError
from dsr.people.body_view import BodyView

ANY_SKIN, ANY_CLOTH = len(LABELS), len(LABELS) + 1
"""Ids of skin and of cloth of an unknown part, until :func:`resolve`."""

_ID: Final = {name: k for k, name in enumerate(LABELS)}
_ATR = (
    *("background", "hat", "hair", "sunglasses", "upperclothes", "skirt", "pants", "dress", "upperclothes"),
    *("leftShoe", "rightShoe", "face", "leftLeg", "rightLeg", "leftArm", "rightArm", "background", "scarf"),
)
TABLES: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {
        "graphonomy": tuple(range(len(LABELS))),
        "lip": tuple(_ID["dress"] if name == "jumpsuits" else k for k, name in enumerate(LABELS)),
        "atr": tuple(_ID[name] for name in _ATR),
        # MediaPipe's multiclass selfie segmenter: background, hair, body skin, face skin, clothes, things worn
        "mediapipe": (0, _ID["hair"], ANY_SKIN, _ID["face"], ANY_CLOTH, ANY_CLOTH),
    }
)
"""Our id of every id of a set; belts count as clothes and bags as background."""

_NAMES: Final[Mapping[str, int]] = MappingProxyType(
    {
        **{name.lower(): k for k, name in enumerate(LABELS)},
        **{"upper clothes": 5, "upper clothing": 5, "top": 5, "shirt": 5, "belt": 5, "bag": 0, "purse": 0, "cap": 1},
        **{"coat": 7, "jacket": 7, "jumpsuit": 6, "jumpsuits": 6, "torso skin": 10, "torso": 10, "neck": 10},
        **{"trousers": 9, "lower clothing": 9, "lower clothes": 9, "shorts": 9, "glasses": 4, "eyeglass": 4},
        **{"skin": ANY_SKIN, "body skin": ANY_SKIN, "face skin": 13, "face neck": 13, "clothes": ANY_CLOTH},
        **{"apparel": ANY_CLOTH, "others": 0, "unlabeled": 0, "upper lip": 13, "lower lip": 13, "teeth": 13},
        **{"upper teeth": 13, "lower teeth": 13, "tongue": 13, "nose": 13, "ear": 13, "eye": 13, "head": 13},
        **{f"{s} {p}": _ID[f"{s}{w}"] for s in ("left", "right") for p, w in (("arm", "Arm"), ("leg", "Leg"))},
        **{f"{s} {p}": _ID[f"{s}{'Shoe'}"] for s in ("left", "right") for p in ("shoe", "boot")},
        **{f"{s} {p}": _ID[f"{s}Arm"] for s in ("left", "right") for p in ("hand", "lower arm", "upper arm")},
        **{f"{s} {p}": _ID[f"{s}Leg"] for s in ("left", "right") for p in ("foot", "lower leg", "upper leg")},
        **{f"{s} sock": _ID["socks"] for s in ("left", "right")},
        **{"sock": _ID["socks"], "stockings": _ID["socks"], "gloves": _ID["glove"]},
    }
)


def table_of_names(names: Mapping[int, str], where: str) -> np.ndarray:
    """Our id of every id of a set that names its labels.

    Args:
        names: a network's ids and names.
        where: the network, for messages.

    Returns:
        (N,) int64; N is the largest id plus 1.

    Raises:
        DetectionError: if it is no set of clothes and body parts, or a name is not known.
    """
    ours: dict[int, int] = {}
    unknown = []
    for key, name in names.items():
        plain = re.sub(r"[^a-z]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()).strip()
        found = _NAMES.get(plain, _NAMES.get(plain.replace(" ", "")))
        if found is None:
            unknown.append(name)
        else:
            ours[int(key)] = found
    cloth = {5, 6, 7, 9, 12, ANY_CLOTH} & set(ours.values())
    if not cloth or 0 not in ours.values():
        raise DetectionError(
            f"{where} labels {', '.join(list(names.values())[:6])}, ...: no set of clothes and body parts. Give a "
            "network of human parsing (labels of Graphonomy, LIP, ATR or Sapiens)."
        )
    if unknown:
        raise DetectionError(f"{where} has the label {unknown[0]!r}, which is not known here.")
    table = np.zeros(max(ours) + 1, np.int64)
    table[list(ours)] = list(ours.values())
    return table


def resolve(labels: np.ndarray, body: BodyView) -> np.ndarray:
    """Label ids (S, S) with skin and cloth of unknown part named after the part of the body that is seen there."""
    upper = body.groups[..., UPPER] >= body.groups[..., LOWER]
    cloth = np.where(upper, _ID["upperclothes"], _ID["pants"])
    return np.asarray(np.select([labels == ANY_SKIN, labels == ANY_CLOTH], [body.skin_label, cloth], labels))
