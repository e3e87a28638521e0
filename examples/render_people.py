"""Render dressed people with exactly known bodies: the example pictures and the generated benchmark.

    python examples/render_people.py --out examples/images                      # the committed pictures
    python examples/render_people.py --count 200 --seed 1000 --out DIR --size 640   # a benchmark, one person each
    python examples/render_people.py --strata --count 300 --seed 3000 --out DIR     # 300 people in strata (_plans.py)

Needs the ``blender`` extra (the ``bpy`` wheel) and the CC0 MakeHuman garments (``--garments``, a folder or .tar.xz).
Every picture gets its focal length in EXIF and ``NAME.truth.json`` beside it: intrinsics, and per person shape, pose,
orientation and translation in the OpenCV camera, joints and keypoints in metres and pixels. Picture N of a run
depends on ``--seed`` + N alone, so a set can be rendered in parts, and a run goes on where it was stopped. Poses of a
set in strata are hand-written, and for the rest frames of the motion-capture clips kept for validation (``--mocap``),
or without clips draws from the shipped prior; ``NAME.truth.npz`` holds the true vertices, so that another body of the
same mesh can be scored too.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT)]

import _cast as cast  # noqa: E402
import _poses  # noqa: E402
import _wardrobe as wardrobe  # noqa: E402
from _camera import View, draw_view  # noqa: E402
from _plans import EXAMPLES, Plan, benchmark_plan, strata_plans  # noqa: E402

from dsr.body import BodyAsset  # noqa: E402
from dsr.errors import DatasetError  # noqa: E402
from dsr.synthetic.poses import MocapPoses, load_poses  # noqa: E402
from dsr.synthetic.wardrobe import Wardrobe, unpack  # noqa: E402

TRUTH_VERSION = 1


def draw_people(
    plan: Plan, rng: np.random.Generator, clothes: Wardrobe, clips: MocapPoses | None = None
) -> list[cast.Person]:
    """Choose and pose everybody, standing side by side along the world's x axis; ``clips`` instead of the prior."""
    people: list[cast.Person] = []
    x = 0.0
    for index in range(plan.people):
        drawn = str(rng.choice(["prior", *_poses.POSES], p=_pose_odds())) if index >= len(plan.poses) else ""
        kind = drawn or plan.poses[index]
        if kind == "prior" and clips is not None:
            pose, tilt = cast.clip_pose(clips, rng)
        elif kind == "prior":
            pose, tilt = cast.prior_pose(rng), np.zeros(3)
        else:
            full = cast.named_pose(kind, rng)
            pose, tilt = full[1:], full[0]
        yaw = np.radians(plan.yaw_deg[index]) if index < len(plan.yaw_deg) else cast.draw_yaw(rng)
        orient = cast.rotation_matrices(np.array([0.0, yaw, 0.0])) @ cast.rotation_matrices(tilt)
        if index:
            x += float(rng.uniform(0.95, 1.25))
        person = wardrobe.draw_person(
            rng,
            clothes.body,
            pose,
            orient,
            kind,
            adult=bool(plan.poses) and not plan.stratum,
            child=plan.child,
            mass=plan.mass,
        )
        depth = float(rng.uniform(-2.5, 1.0) if plan.deep else rng.uniform(-0.5, 0.5)) if index else 0.0
        person.position = _place_in_crowd(index, plan.people, rng) if plan.crowd else np.array([x, depth])
        wardrobe.dress(
            person,
            rng,
            plan.outfits[index] if index < len(plan.outfits) else None,
            plan.hair[index] if index < len(plan.hair) else None,
        )
        cast.pose_person(person, clothes)
        people.append(person)
    middle = np.mean([person.position[0] for person in people])
    for person in people:
        person.shift(np.array([-middle, 0.0, 0.0]))
    if not plan.crowd:
        cast.separate(people)
    return people


def _place_in_crowd(index: int, people: int, rng: np.random.Generator) -> np.ndarray:
    """Where somebody of a crowd stands, x and z: in two or three rows, those behind between those before."""
    rows = 2 if people < 7 else 3
    row, place = index % rows, index // rows
    return np.array([0.85 * place + 0.4 * (row % 2), -0.95 * row]) + rng.uniform(-0.1, 0.1, 2)


def _pose_odds() -> np.ndarray:
    odds = np.full(len(_poses.POSES) + 1, 0.5 / len(_poses.POSES))
    odds[0] = 0.5
    return odds


def truth_of(
    plan: Plan, view: View, clothes: Wardrobe, occluders: Sequence[tuple[np.ndarray, np.ndarray]] = ()
) -> dict[str, Any]:
    """What is known about a picture, as plain JSON values; ``occluders``: low and high corners of boxes, world."""
    from scipy.spatial.transform import Rotation

    body = clothes.body
    people = []
    order = sorted(view.people, key=lambda person: float(view.pixels(person.joints)[:, 0].mean()))
    seen = visible_sizes(plan, view, order, clothes.body, occluders) if plan.stratum else []
    for number, person in enumerate(order):
        camera = person.vertices @ view.rotation.T + view.translation
        rest = body.v_template + body.shapedirs @ person.betas
        root = np.asarray(body.J_regressor @ rest)[0]
        orient = view.rotation @ person.orient
        # vertices = R0 (x - root) + root + t in the world; turned into the camera the root joint moves with the camera.
        transl = view.rotation @ (root + person.transl) + view.translation - root
        pixels = view.pixels(person.vertices)
        inside = ((pixels >= 0) & (pixels < (plan.width, plan.height))).all(axis=1)
        keypoints = {}
        for name in ("coco17", "blazepose33", "h36m17"):
            points = np.asarray(body.keypoint_regressor(name) @ camera)
            keypoints[name] = {
                "cam_m": _rounded(points, 5),
                "px": _rounded(points[:, :2] / points[:, 2:] * view.K[0, 0] + view.K[:2, 2], 2),
            }
        people.append(
            {
                "betas": _rounded(person.betas, 5),
                "global_orient": _rounded(Rotation.from_matrix(orient).as_rotvec(), 6),
                "body_pose": _rounded(person.body_pose, 6),
                "transl": _rounded(transl, 6),
                "box_px": _rounded(np.concatenate([pixels.min(axis=0), pixels.max(axis=0)]), 2),
                "visible_share": round(float(inside.mean()), 4),
                "joints_cam_m": _rounded(person.joints @ view.rotation.T + view.translation, 5),
                "keypoints": keypoints,
                "height_m": round(float(np.ptp(rest[:, 1])), 4),
                "outfit": person.outfit,
                **({"strata": _person_strata(plan, view, person), **seen[number]} if plan.stratum else {}),
            }
        )
    return {
        "version": TRUTH_VERSION,
        "image": f"{plan.name}.jpg",
        "image_size": [plan.width, plan.height],
        "K": _rounded(view.K, 4),
        "focal35_mm": view.focal35,
        "body": {"name": body.name, "sha256": body.sha256},
        "seed": plan.seed,
        "stratum": plan.stratum,
        "floor_cam": _rounded(np.append(view.rotation[:, 1], view.rotation[:, 1] @ view.translation), 6),
        "people": people,
    }


def visible_sizes(
    plan: Plan,
    view: View,
    people: Sequence[cast.Person],
    body: BodyAsset,
    occluders: Sequence[tuple[np.ndarray, np.ndarray]],
) -> list[dict[str, float]]:
    """Longer side of the box around what the picture shows of everybody's head and trunk, in pixels; 0 for nothing."""
    from dsr.rendering.zbuffer import rasterise

    boxes = [_box_mesh(low, high) for low, high in occluders]
    meshes = [(person.vertices, body.faces) for person in people] + boxes
    starts = np.cumsum([0] + [len(points) for points, _ in meshes])
    points = np.concatenate([points for points, _ in meshes]) @ view.rotation.T + view.translation
    faces = np.concatenate([faces + start for (_, faces), start in zip(meshes, starts, strict=False)])
    parts = {"head_px": (15,), "trunk_px": (0, 3, 6, 9)}
    belongs = {name: (body.weights[:, joints].sum(1) > 0.5)[body.faces[:, 0]] for name, joints in parts.items()}
    seen = rasterise(points, faces, view.K, (plan.width, plan.height))
    sizes = []
    for number in range(len(people)):
        face = seen.face_index - number * len(body.faces)
        mine = seen.covered & (face >= 0) & (face < len(body.faces))
        size = {}
        for name, of_part in belongs.items():
            rows, columns = np.nonzero(mine & of_part[np.clip(face, 0, len(body.faces) - 1)])
            size[name] = float(max(np.ptp(rows), np.ptp(columns)) + 1) if len(rows) else 0.0
        sizes.append(size)
    return sizes


def _box_mesh(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners and triangles of an upright box."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * (high - low) + low
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    return corners, np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def _person_strata(plan: Plan, view: View, person: cast.Person) -> list[str]:
    """What a person is a case of beside the picture's own stratum: clothes, side seen, lens."""
    forward = view.rotation @ person.orient @ np.array([0.0, 0.0, 1.0])
    tags = ["loose" if person.outfit[0] in wardrobe.LOOSE else "tight"]
    tags.append("from behind" if forward[2] > 0.5 else "from the side" if forward[2] > -0.5 else "from the front")
    if view.focal35 <= 28:
        tags.append("wide lens")
    elif view.focal35 >= 85:
        tags.append("long lens")
    return [*([f"cut at the {plan.cut_at}"] if plan.cut_at else []), *tags]


def _rounded(values: np.ndarray, digits: int) -> Any:
    return np.round(np.asarray(values, dtype=np.float64), digits).tolist()


def make_picture(plan: Plan, clothes: Wardrobe, out: Path, clips: MocapPoses | None = None) -> dict[str, Any]:
    """Draw, render, develop and save one picture with its truth."""
    import _sets
    import _studio

    rng = np.random.default_rng([plan.seed, 7])
    place = plan.place or str(rng.choice(["room", "street", "park", "studio"], p=[0.3, 0.28, 0.28, 0.14]))
    people = draw_people(plan, rng, clothes, clips)
    view = draw_view(plan, rng, people)
    scene = _studio.new_scene(plan.width, plan.height, plan.samples, plan.seed)
    exposure = _sets.build_set(place, rng, scene, view.distance)
    for person in people:
        wardrobe.add_person(person, clothes, rng)
    occluders = wardrobe.add_occluder(people[0], rng) if plan.occluder else []
    _studio.set_camera(scene, view.K, view.rotation, view.translation)
    scene.view_settings.exposure = exposure + float(rng.normal(0.0, 0.2))
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.png"
        _studio.render(scene, raw)
        develop(raw, out / f"{plan.name}.jpg", view.focal35, rng)
    truth = truth_of(plan, view, clothes, occluders)
    truth["place"] = place
    if plan.stratum:
        order = sorted(people, key=lambda person: float(view.pixels(person.joints)[:, 0].mean()))
        vertices = [person.vertices @ view.rotation.T + view.translation for person in order]
        np.savez_compressed(out / f"{plan.name}.truth.npz", vertices_cam_m=np.asarray(vertices, np.float32))
    (out / f"{plan.name}.truth.json").write_text(json.dumps(truth, separators=(",", ":")) + "\n", encoding="utf-8")
    return truth


def develop(raw: Path, target: Path, focal35: int, rng: np.random.Generator) -> None:
    """Grain, a little vignetting and white balance, then JPEG with the focal length in EXIF."""
    from PIL import Image

    with Image.open(raw) as opened:
        pixels = np.asarray(opened.convert("RGB"), dtype=np.float64)
    height, width = pixels.shape[:2]
    v, u = np.mgrid[0:height, 0:width]
    radius = np.hypot(u - width / 2, v - height / 2) / np.hypot(width / 2, height / 2)
    pixels = pixels * (1.0 - float(rng.uniform(0.0, 0.16)) * radius[..., None] ** 2) * rng.normal(1.0, 0.02, 3)
    pixels = (
        pixels + rng.normal(0.0, float(rng.uniform(1.0, 3.5)), (height, width, 1)) + rng.normal(0.0, 0.8, pixels.shape)
    )
    picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0131] = "dsr examples/render_people.py"
    exif.get_ifd(0x8769)[0xA405] = int(focal35)
    picture.save(target, quality=int(rng.integers(84, 93)), exif=exif)


def load_clips(folder: Path) -> MocapPoses:
    """Poses of the clips that training leaves out."""
    poses = load_poses(folder, "val")
    assert isinstance(poses, MocapPoses)
    return poses


def main(argv: list[str] | None = None) -> int:
    """Render; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures and truth")
    parser.add_argument("--count", type=int, default=0, help="pictures of a benchmark; without it the example pictures")
    parser.add_argument("--seed", type=int, default=1000, help="seed of the first benchmark picture")
    parser.add_argument("--size", type=int, default=640, help="longer side of benchmark pictures in pixels")
    parser.add_argument("--samples", type=int, default=4, help="Cycles samples per pixel of benchmark pictures")
    parser.add_argument("--people", type=int, default=1, help="people per benchmark picture")
    parser.add_argument("--strata", action="store_true", help="a set in strata; --count is then that of people")
    parser.add_argument("--mocap", type=Path, default=None, help="folder of BVH clips: poses of its validation clips")
    parser.add_argument("--only", nargs="*", default=None, help="names of example pictures to render")
    parser.add_argument("--overwrite", action="store_true", help="render pictures that are there already")
    parser.add_argument(
        "--garments",
        type=Path,
        default=ROOT.parent / "shared/makehuman/makehuman_assets_cc0.tar.xz",
        help="MakeHuman CC0 assets, unpacked folder or archive",
    )
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.strata:
        plans = strata_plans(args.count or 300, args.seed, args.size, args.samples)
    elif args.count:
        plans = [benchmark_plan(i, args.seed, args.size, args.samples, args.people) for i in range(args.count)]
    else:
        plans = [plan for plan in EXAMPLES if args.only is None or plan.name in args.only]
    with tempfile.TemporaryDirectory() as folder:
        try:
            clothes = Wardrobe(unpack(args.garments, Path(folder)))
        except DatasetError as error:
            raise SystemExit(f"{error} (--garments)") from error
        clips = load_clips(args.mocap) if args.mocap is not None else None
        for number, plan in enumerate(plans, start=1):
            if not args.overwrite and (args.out / f"{plan.name}.truth.json").is_file():
                continue
            start = time.perf_counter()
            truth = make_picture(plan, clothes, args.out.resolve(), clips)
            seconds = time.perf_counter() - start
            print(
                f"{number}/{len(plans)} {plan.name}: {truth['place']}, {len(truth['people'])} people, {seconds:.1f} s",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
