"""Render dressed people with exactly known bodies: the example pictures and the generated benchmark.

    python examples/render_people.py --out examples/images                      # the committed pictures
    python examples/render_people.py --count 200 --seed 1000 --out DIR --size 640   # a benchmark, one person each

Needs the ``blender`` extra (the ``bpy`` wheel) and the CC0 MakeHuman garments (``--garments``, a folder or .tar.xz).
Every picture gets its focal length in EXIF and ``NAME.truth.json`` beside it: intrinsics, and per person shape, pose,
orientation and translation in the OpenCV camera, joints and keypoints in metres and pixels. Picture N of a run
depends on ``--seed`` + N alone, so a set can be rendered in parts.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT)]

import _cast as cast  # noqa: E402
import _poses  # noqa: E402
import _wardrobe as wardrobe  # noqa: E402

FULL_FRAME_DIAGONAL_MM = 43.2666
TRUTH_VERSION = 1


@dataclass(frozen=True)
class Plan:
    """What one picture should be; anything left None is drawn from the seed.

    Attributes:
        name: stem of the files.
        seed: everything random follows from it.
        width: pixels.
        height: pixels.
        samples: Cycles samples per pixel.
        place: ``room``, ``street``, ``park`` or ``studio``.
        poses: names of hand-written poses, or ``prior``, one per person.
        focal35: 35 mm equivalent focal length, millimetres.
        yaw_deg: how far each person is turned from facing the camera.
        fill: height of the tallest person as a share of the picture's height.
        cut: let the border cut the outermost person.
        outfits: garment names, one per person.
        hair: hair names, one per person.
    """

    name: str
    seed: int
    width: int
    height: int
    samples: int = 16
    place: str | None = None
    poses: tuple[str, ...] = ()
    focal35: int | None = None
    yaw_deg: tuple[float, ...] = ()
    fill: float | None = None
    cut: bool = False
    outfits: tuple[str, ...] = ()
    hair: tuple[str, ...] = ()
    people: int = 1


@dataclass
class View:
    """A camera: intrinsics, and ``X_cam = rotation @ X_world + translation``."""

    K: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    focal35: int
    distance: float
    people: list[cast.Person] = field(default_factory=list)

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Project world points (N, 3) to pixels (N, 2)."""
        camera = points @ self.rotation.T + self.translation
        return np.asarray(camera[:, :2] / camera[:, 2:] * self.K[0, 0] + self.K[:2, 2])


EXAMPLES = (
    Plan(
        "park_wave",
        11,
        1280,
        960,
        16,
        "park",
        ("wave",),
        35,
        (12.0,),
        0.72,
        outfits=("male_casualsuit02",),
        hair=("short02",),
    ),
    Plan(
        "street_walk",
        25,
        960,
        1280,
        16,
        "street",
        ("walk",),
        50,
        (-38.0,),
        0.74,
        outfits=("female_casualsuit01",),
        hair=("ponytail01",),
    ),
    Plan(
        "room_sit",
        32,
        1280,
        960,
        20,
        "room",
        ("sit_lean",),
        28,
        (30.0,),
        0.6,
        outfits=("male_casualsuit06",),
        hair=("short04",),
    ),
    Plan(
        "studio_lunge",
        47,
        960,
        1280,
        16,
        "studio",
        ("lunge",),
        70,
        (-62.0,),
        0.58,
        outfits=("female_sportsuit01",),
        hair=("bob02",),
    ),
    Plan(
        "street_pair",
        56,
        1280,
        960,
        16,
        "street",
        ("contrapposto", "hands_on_hips"),
        40,
        (18.0, -20.0),
        0.7,
        outfits=("male_elegantsuit01", "female_elegantsuit01"),
        hair=("short03", "long01"),
        people=2,
    ),
    Plan(
        "park_three",
        63,
        1280,
        960,
        16,
        "park",
        ("stand", "arms_up", "carry"),
        30,
        (-15.0, 5.0, 25.0),
        0.66,
        outfits=("male_worksuit01", "female_casualsuit02", "male_casualsuit04"),
        hair=("afro01", "braid01", "short01"),
        people=3,
    ),
    Plan(
        "park_kick",
        75,
        1280,
        960,
        16,
        "park",
        ("kick",),
        85,
        (55.0,),
        0.62,
        outfits=("male_casualsuit04",),
        hair=("short01",),
    ),
    Plan(
        "room_border",
        88,
        960,
        1280,
        20,
        "room",
        ("stand", "reach"),
        24,
        (160.0, -35.0),
        0.66,
        cut=True,
        outfits=("male_casualsuit03", "female_casualsuit01"),
        hair=("short02", "bob01"),
        people=2,
    ),
)


def draw_people(plan: Plan, rng: np.random.Generator, clothes: cast.Wardrobe) -> list[cast.Person]:
    """Choose and pose everybody, standing side by side along the world's x axis."""
    people: list[cast.Person] = []
    x = 0.0
    for index in range(plan.people):
        drawn = str(rng.choice(["prior", *_poses.POSES], p=_pose_odds())) if index >= len(plan.poses) else ""
        kind = drawn or plan.poses[index]
        if kind == "prior":
            pose, tilt = cast.prior_pose(rng), np.zeros(3)
        else:
            full = cast.named_pose(kind, rng)
            pose, tilt = full[1:], full[0]
        yaw = np.radians(plan.yaw_deg[index]) if index < len(plan.yaw_deg) else cast.draw_yaw(rng)
        orient = cast.rotation_matrices(np.array([0.0, yaw, 0.0])) @ cast.rotation_matrices(tilt)
        if index:
            x += float(rng.uniform(0.95, 1.25))
        person = wardrobe.draw_person(rng, clothes.body.num_betas, pose, orient, kind in _poses.SEATED)
        person.position = np.array([x, float(rng.uniform(-0.5, 0.5)) if index else 0.0])
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
    cast.separate(people)
    return people


def _pose_odds() -> np.ndarray:
    odds = np.full(len(_poses.POSES) + 1, 0.5 / len(_poses.POSES))
    odds[0] = 0.5
    return odds


def draw_view(plan: Plan, rng: np.random.Generator, people: list[cast.Person]) -> View:
    """Choose a camera that sees the people whole (unless ``cut``), not too small, off centre and slightly tilted."""
    width, height = plan.width, plan.height
    focal35 = plan.focal35 or round(float(np.exp(rng.uniform(np.log(24), np.log(85)))))
    focal = focal35 * float(np.hypot(width, height)) / FULL_FRAME_DIAGONAL_MM
    K = np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
    points = np.concatenate([person.vertices for person in people])
    low, high = points.min(axis=0), points.max(axis=0)
    fill = plan.fill or float(rng.uniform(0.5, 0.82))
    tall = max(high[1] - low[1], 1.0)
    distance = max(focal * tall / (fill * height), 1.6)
    elevation = float(np.clip(rng.normal(1.35, 0.4), 0.4, 2.4))
    roll = np.radians(rng.normal(0.0, 1.2))
    aim = np.array([rng.uniform(-0.16, 0.16), rng.uniform(-0.06, 0.06)])
    target = (low + high) / 2
    view = None
    for _ in range(40):
        eye = np.array([target[0] + 0.0, elevation, distance])
        rotation = _look(eye, target, aim * (width, height) / focal, roll)
        view = View(K, rotation, -rotation @ eye, focal35, distance, people)
        seen = view.pixels(points)
        margin = 0.02 * min(width, height)
        inside = (seen > margin).all() and (seen[:, 0] < width - margin).all() and (seen[:, 1] < height - margin).all()
        if inside or plan.cut:
            break
        distance *= 1.05
        aim *= 0.9
    assert view is not None
    if plan.cut:
        view = _cut_outermost(plan, view)
    return view


def _cut_outermost(plan: Plan, view: View) -> View:
    """Turn the camera sideways until the border runs through the leftmost person."""
    outer = min(view.people, key=lambda person: float(view.pixels(person.joints)[:, 0].mean()))
    for _ in range(60):
        seen = view.pixels(outer.vertices)[:, 0]
        if np.quantile(seen, 0.4) < 0:
            break
        turn = cast.rotation_matrices(np.array([0.0, -np.radians(0.5), 0.0]))
        view.rotation, view.translation = turn @ view.rotation, turn @ view.translation
    return view


def _look(eye: np.ndarray, target: np.ndarray, aim: np.ndarray, roll: float) -> np.ndarray:
    """World to camera rotation with ``target`` seen from ``eye``, ``aim`` (in focal lengths) off the centre."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, (0.0, 1.0, 0.0))
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    pan, tilt = np.arctan(aim[0]), -np.arctan(aim[1])
    turns = cast.rotation_matrices(np.array([[0.0, pan, 0.0], [tilt, 0.0, 0.0], [0.0, 0.0, roll]]))
    return np.asarray(turns[2] @ turns[1] @ turns[0] @ rotation)


def truth_of(plan: Plan, view: View, clothes: cast.Wardrobe) -> dict[str, Any]:
    """What is known about a picture, as plain JSON values."""
    from scipy.spatial.transform import Rotation

    body = clothes.body
    people = []
    order = sorted(view.people, key=lambda person: float(view.pixels(person.joints)[:, 0].mean()))
    for person in order:
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
        "people": people,
    }


def _rounded(values: np.ndarray, digits: int) -> Any:
    return np.round(np.asarray(values, dtype=np.float64), digits).tolist()


def make_picture(plan: Plan, clothes: cast.Wardrobe, out: Path) -> dict[str, Any]:
    """Draw, render, develop and save one picture with its truth."""
    import _sets
    import _studio

    rng = np.random.default_rng([plan.seed, 7])
    place = plan.place or str(rng.choice(["room", "street", "park", "studio"], p=[0.3, 0.28, 0.28, 0.14]))
    people = draw_people(plan, rng, clothes)
    view = draw_view(plan, rng, people)
    scene = _studio.new_scene(plan.width, plan.height, plan.samples, plan.seed)
    exposure = _sets.build_set(place, rng, scene, view.distance)
    for person in people:
        wardrobe.add_person(person, clothes, rng)
    _studio.set_camera(scene, view.K, view.rotation, view.translation)
    scene.view_settings.exposure = exposure + float(rng.normal(0.0, 0.2))
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.png"
        _studio.render(scene, raw)
        develop(raw, out / f"{plan.name}.jpg", view.focal35, rng)
    truth = truth_of(plan, view, clothes)
    truth["place"] = place
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


def benchmark_plan(index: int, seed: int, size: int, samples: int, people: int) -> Plan:
    """Picture ``index`` of a benchmark: landscape, portrait or square with the longer side ``size``."""
    rng = np.random.default_rng([seed + index, 3])
    ratio = float(rng.choice([3 / 4, 2 / 3, 1.0, 9 / 16], p=[0.45, 0.3, 0.1, 0.15]))
    short = round(size * ratio / 2) * 2
    width, height = (size, short) if rng.random() < 0.45 else (short, size)
    return Plan(f"s{seed + index:06d}", seed + index, width, height, samples, people=people)


def main(argv: list[str] | None = None) -> int:
    """Render; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures and truth")
    parser.add_argument("--count", type=int, default=0, help="pictures of a benchmark; without it the example pictures")
    parser.add_argument("--seed", type=int, default=1000, help="seed of the first benchmark picture")
    parser.add_argument("--size", type=int, default=640, help="longer side of benchmark pictures in pixels")
    parser.add_argument("--samples", type=int, default=4, help="Cycles samples per pixel of benchmark pictures")
    parser.add_argument("--people", type=int, default=1, help="people per benchmark picture")
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
    if args.count:
        plans = [benchmark_plan(i, args.seed, args.size, args.samples, args.people) for i in range(args.count)]
    else:
        plans = [plan for plan in EXAMPLES if args.only is None or plan.name in args.only]
    with tempfile.TemporaryDirectory() as folder:
        garments = cast.unpack(args.garments, Path(folder))
        clothes = cast.Wardrobe(garments, ROOT / "body_models/open/DSR_OPEN_HELPERS.npz")
        for number, plan in enumerate(plans, start=1):
            if not args.overwrite and (args.out / f"{plan.name}.truth.json").is_file():
                continue
            start = time.perf_counter()
            truth = make_picture(plan, clothes, args.out.resolve())
            seconds = time.perf_counter() - start
            print(
                f"{number}/{len(plans)} {plan.name}: {truth['place']}, {len(truth['people'])} people, {seconds:.1f} s",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
