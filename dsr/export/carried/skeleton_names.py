"""What bones are called in the rigs of other programs, and which bone of any armature stands for which joint.

This module needs Python alone: the Blender add-on carries a copy of it (``blender_addon/build.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

_CENTRE = (
    # joint, Mixamo, Rigify's metarig, Unreal's mannequin, VRM, MakeHuman's default rig (MPFB)
    ("pelvis", "Hips", "spine", "pelvis", "hips", "root"),
    ("spine1", "Spine", "spine.001", "spine_01", "spine", "spine04"),
    ("spine2", "Spine1", "spine.002", "spine_02", "chest", "spine03"),
    ("spine3", "Spine2", "spine.003", "spine_03", "upperChest", "spine01"),
    ("neck", "Neck", "spine.004", "neck_01", "neck", "neck01"),
    ("head", "Head", "spine.006", "head", "head", "head"),
    ("jaw", "Jaw", "jaw", "jaw", "jaw", "jaw"),
)
_SIDE = (
    ("collar", "Shoulder", "shoulder", "clavicle", "Shoulder", "clavicle"),
    ("shoulder", "Arm", "upper_arm", "upperarm", "UpperArm", "upperarm01"),
    ("elbow", "ForeArm", "forearm", "lowerarm", "LowerArm", "lowerarm01"),
    ("wrist", "Hand", "hand", "hand", "Hand", "wrist"),
    ("hand", "HandMiddle1", "palm", "middle_01", "", ""),  # of bodies without fingers
    ("hip", "UpLeg", "thigh", "thigh", "UpperLeg", "upperleg01"),
    ("knee", "Leg", "shin", "calf", "LowerLeg", "lowerleg01"),
    ("ankle", "Foot", "foot", "foot", "Foot", "foot"),
    ("foot", "ToeBase", "toe", "ball", "Toes", "toe1-1"),
    ("eye_smplhf", "Eye", "eye", "eye", "Eye", "eye"),
)
_FINGERS = ("thumb", "index", "middle", "ring", "pinky")
_VRM_SEGMENTS = ("Proximal", "Intermediate", "Distal")

RIGS = ("mixamo", "rigify", "unreal", "vrm", "makehuman")
"""Rigs with a column in :data:`RIG_NAMES`."""


def _rig_names() -> dict[str, dict[str, str]]:
    table: dict[str, dict[str, str]] = {rig: {} for rig in RIGS}

    def add(joint: str, *names: str) -> None:
        for rig, name in zip(RIGS, names, strict=True):
            if name:
                table[rig][joint] = name

    for joint, mixamo, *others in _CENTRE:
        add(joint, f"mixamorig:{mixamo}", *others)
    for side, letter in (("left", "L"), ("right", "R")):
        for joint, mixamo, rigify, unreal, vrm, makehuman in _SIDE:
            add(
                f"{side}_{joint}",
                f"mixamorig:{side.title()}{mixamo}",
                f"{rigify}.{letter}",
                f"{unreal}_{letter.lower()}",
                vrm and f"{side}{vrm}",
                makehuman and f"{makehuman}.{letter}",
            )
        for number, finger in enumerate(_FINGERS, 1):
            for k in (1, 2, 3):
                vrm = f"{side}{'Little' if finger == 'pinky' else finger.title()}{_VRM_SEGMENTS[k - 1]}"
                add(
                    f"{side}_{finger}{k}",
                    f"mixamorig:{side.title()}Hand{finger.title()}{k}",
                    f"{'' if finger == 'thumb' else 'f_'}{finger}.0{k}.{letter}",
                    f"{finger}_0{k}_{letter.lower()}",
                    vrm,
                    f"finger{number}-{k}.{letter}",
                )
    return table


RIG_NAMES = _rig_names()
"""Rig -> the body's joint -> the bone's name there."""

BODY_JOINTS = (
    *(joint for joint, *_ in _CENTRE if joint != "jaw"),
    *(f"{side}_{row[0]}" for row in _SIDE[:9] if row[0] != "hand" for side in ("left", "right")),
)
"""Joints a bone map is about: those of a body without hands, parents before children."""
FINGER_JOINTS = tuple(f"{side}_{finger}{k}" for side in ("left", "right") for finger in _FINGERS for k in (1, 2, 3))
NEEDED = ("pelvis", *(f"{side}_{j}" for side in ("left", "right") for j in ("shoulder", "elbow", "hip", "knee")))
"""Joints without which no pose can be put on an armature."""

ROOT = "root"
"""Key of a bone map beside the joints: the bone that carries the whole body, where it is not the pelvis."""
_RIGIFY_FK = {
    ROOT: "torso",
    "pelvis": "spine_fk",  # turns the hips about the first joint of the spine
    "spine1": "spine_fk.001",
    "spine2": "spine_fk.002",
    "spine3": "spine_fk.003",
    "neck": "neck",
    "head": "head",
    **{
        f"{side}_{joint}": f"{bone}.{letter}"
        for side, letter in (("left", "L"), ("right", "R"))
        for joint, bone in (
            ("collar", "shoulder"),
            ("shoulder", "upper_arm_fk"),
            ("elbow", "forearm_fk"),
            ("wrist", "hand_fk"),
            ("hip", "thigh_fk"),
            ("knee", "shin_fk"),
            ("ankle", "foot_fk"),
            ("foot", "toe_fk"),
        )
    },
    **{
        joint: name
        for joint, name in RIG_NAMES["rigify"].items()
        if re.search(r"_(thumb|index|middle|ring|pinky)\d", joint)
    },
}


def guess_bone_map(names: Sequence[str], parents: Sequence[int] | None = None) -> dict[str, str]:
    """Which bone of an armature stands for which joint, by their names.

    Rigify's generated rig gives its FK controls; the rigs of :data:`RIG_NAMES` are known by name; any other is read
    word by word (``Bip01 L UpperArm``, ``lShldr``, ``J_Bip_R_LowerLeg``, ``upper_arm.R``).

    Args:
        names: of all bones.
        parents: index of each bone's parent, -1 for none; orders several bones of a spine. The order of the names
            where not given.

    Returns:
        joint -> bone; joints without one are left out.

    Example:
        >>> guess_bone_map(["Hips", "LeftUpLeg", "LeftLeg"])
        {'pelvis': 'Hips', 'left_hip': 'LeftUpLeg', 'left_knee': 'LeftLeg'}
    """
    if "torso" in names and "upper_arm_fk.L" in names:
        present = set(names)
        found = {joint: bone for joint, bone in _RIGIFY_FK.items() if bone in present}
        for side, letter in (("left", "L"), ("right", "R")):  # its name before Rigify 0.6
            if f"{side}_foot" not in found and f"toe.{letter}" in present:
                found[f"{side}_foot"] = f"toe.{letter}"
        return found
    known = max((_known(names, table) for table in _tables()), key=len)
    if sum(joint in known for joint in BODY_JOINTS) >= 17 and all(joint in known for joint in NEEDED):
        return known
    return _read(names, parents)


def missing_joints(bone_map: Mapping[str, str]) -> list[str]:
    """Joints that a map lacks and that are needed."""
    return [joint for joint in NEEDED if not bone_map.get(joint)]


def _tables() -> Iterable[Mapping[str, str]]:
    yield from RIG_NAMES.values()
    yield {joint: joint for joint in (*BODY_JOINTS, *FINGER_JOINTS)}


def _known(names: Sequence[str], table: Mapping[str, str]) -> dict[str, str]:
    """The bones of one known rig; its prefix may be another one or none."""
    plain = {_without_prefix(name): name for name in reversed(names)}
    pairs = ((joint, plain.get(_without_prefix(bone))) for joint, bone in table.items())
    return {joint: bone for joint, bone in pairs if bone and _is_map_joint(joint)}


def _is_map_joint(joint: str) -> bool:
    return joint in BODY_JOINTS or joint in FINGER_JOINTS


def _without_prefix(name: str) -> str:
    return re.sub(r"^(.*:|mixamorig\d*[_:])", "", name)


_NOISE = re.compile(
    r"twist|roll|\bik\b|_ik|ik_|pole|target|ctrl|control|heel|nub|end$|_end|helper|site|metacarpal|mch|tweak"
)
_IGNORED = {"bip", "bip01", "bip001", "bone", "joint", "jnt", "bind", "skin", "def", "org", "j", "c", "cc", "base"}
_IGNORED |= {"valvebiped", "b", "sk", "character", "rig", "f"}
_SPINE = {"spine", "abdomen", "chest", "waist", "torso", "belly", "back", "upperchest", "abdomenlower", "abdomenupper"}
_SPINE |= {
    "chestlower",
    "chestupper",
    "spinelower",
    "spineupper",
    "spinemiddle",
    "lowerback",
    "upperback",
    "ribs",
    "thorax",
}
_CENTRE_WORDS = {"neck": "neck", "neckbase": "neck", "lowerneck": "neck", "necklower": "neck", "head": "head"}
_CENTRE_WORDS |= {"pelvis": "pelvis", "hips": "pelvis", "hip": "pelvis"}
_SIDE_WORDS = {
    "collar": "clavicle collar collarbone clav shoulderblade scapula",
    "shoulder": "upperarm uparm arm shldr humerus armupper uarm biceps",
    "elbow": "forearm lowerarm elbow lowarm loarm armlower ulna radius",
    "wrist": "hand wrist",
    "hip": "thigh upperleg upleg hip legupper femur",
    "knee": "shin calf lowerleg lowleg knee leglower tibia crus",
    "ankle": "foot ankle",
    "foot": "toe toes toebase ball football",
}
_WORD_TO_JOINT = {word: joint for joint, words in _SIDE_WORDS.items() for word in words.split()}
_FINGER_WORDS = {**{finger: finger for finger in _FINGERS}, "mid": "middle", "little": "pinky"}
_SEGMENT_WORDS = {"proximal": 1, "intermediate": 2, "distal": 3}


def _words(name: str) -> tuple[str, str]:
    """Side ("left", "right", "") and words of a name run together, without numbers."""
    name = re.sub(r"^.*:", "", name)
    tokens = [t.lower() for t in re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+", name)]
    side, words = "", []
    for token in tokens:
        if token in ("l", "left") and not side:
            side = "left"
        elif token in ("r", "right") and not side:
            side = "right"
        elif not token.isdigit() and token not in _IGNORED:
            words.append(token)
    word = "".join(words)
    for long in ("left", "right"):  # "leftknee"
        if not side and word.startswith(long) and len(word) > len(long):
            side, word = long, word[len(long) :]
        elif not side and word.endswith(long) and len(word) > len(long):
            side, word = long, word[: -len(long)]
    if not side and word[:1] in "lr" and word[1:] in _WORD_TO_JOINT:  # "lfemur"
        side, word = {"l": "left", "r": "right"}[word[0]], word[1:]
    return side, word


def _read(names: Sequence[str], parents: Sequence[int] | None) -> dict[str, str]:
    """A map of bones whose names say in some way what they are."""
    depth = _depths(len(names), parents)
    sides: dict[str, dict[str, str]] = {"left": {}, "right": {}}
    found: dict[str, str] = {}
    spine: list[tuple[int, str]] = []
    fingers: dict[str, list[tuple[int, str]]] = {}
    for index, name in enumerate(names):
        if _NOISE.search(name.lower()):
            continue
        side, word = _words(name)
        finger = _finger(word)
        if side and finger:
            segment = _SEGMENT_WORDS.get(finger[1], depth[index])
            fingers.setdefault(f"{side}_{finger[0]}", []).append((segment, name))
        elif side:
            sides[side].setdefault(word, name)
        elif word in _SPINE:
            spine.append((depth[index], name))
        elif word in _CENTRE_WORDS:
            found.setdefault(_CENTRE_WORDS[word], name)
    spine.sort(key=lambda entry: entry[0])
    ordered = [name for _, name in spine]
    for side, bones in sides.items():
        found |= {f"{side}_{joint}": bone for joint, bone in _limbs(bones).items()}
    pelvis = found.setdefault("pelvis", _pelvis(names, parents, found.get("left_hip"), ordered))
    found |= _spine([name for name in ordered if name != pelvis])
    for finger_name, bones_of in fingers.items():
        bones_of.sort(key=lambda entry: entry[0])
        found |= {f"{finger_name}{k}": bone for k, (_, bone) in enumerate(bones_of[:3], 1)}
    return {joint: found[joint] for joint in (*BODY_JOINTS, *FINGER_JOINTS) if found.get(joint)}


def _pelvis(names: Sequence[str], parents: Sequence[int] | None, thigh: str | None, spine: list[str]) -> str:
    """What the thighs hang on, where no bone is called a pelvis; else the first bone of the spine."""
    if thigh is not None and parents is not None:
        at = int(parents[names.index(thigh)])
        while at >= 0 and _words(names[at])[0]:
            at = int(parents[at])
        return names[at] if at >= 0 else ""
    return spine[0] if len(spine) > 1 else ""


def _finger(word: str) -> tuple[str, str] | None:
    match = re.fullmatch(r"(?:hand|f)?(thumb|index|middle|mid|ring|pinky|little)(?:finger)?(\w*)", word)
    if match is None or (match[2] and match[2] not in _SEGMENT_WORDS):
        return None
    return _FINGER_WORDS[match[1]], match[2]


def _spine(bones: list[str]) -> dict[str, str]:
    """Up to three of the bones between pelvis and neck, spread over them."""
    if not bones:
        return {}
    if len(bones) == 1:
        return {"spine2": bones[0]}
    if len(bones) == 2:
        return {"spine1": bones[0], "spine3": bones[1]}
    return {"spine1": bones[0], "spine2": bones[len(bones) // 2], "spine3": bones[-1]}


def _limbs(bones: Mapping[str, str]) -> dict[str, str]:
    """Joints of one side; words that mean different bones in different rigs are settled by their neighbours."""
    found: dict[str, str] = {}
    for word, bone in bones.items():
        joint = _WORD_TO_JOINT.get(word)
        if joint is not None:
            found.setdefault(joint, bone)
    if "shoulder" in bones:
        found.setdefault("collar" if "shoulder" in found else "shoulder", bones["shoulder"])
    if "leg" in bones:
        found.setdefault("knee" if "hip" in found else "hip", bones["leg"])
    if "wrist" in bones and "hand" in bones:
        found["wrist"] = bones["wrist"]
    if "ankle" in bones and "foot" in bones:  # as SMPL has it
        found["ankle"] = bones["ankle"]
        found.setdefault("foot", bones["foot"])
    return found


def _depths(count: int, parents: Sequence[int] | None) -> list[int]:
    if parents is None:
        return list(range(count))
    depths = []
    for index in range(count):
        depth, at = 0, int(parents[index])
        while at >= 0 and depth <= count:
            depth, at = depth + 1, int(parents[at])
        depths.append(depth)
    return depths
