"""PA-MPJPE of the plain fit on photographs with 3D truth, twelve limb joints of blazepose33.

    python benchmarks/real_views.py --views VIEWS
    DSR_BODY_MODELS=FOLDER python benchmarks/real_views.py ...     # with another open body, FOLDER/open/DSR_OPEN.npz

VIEWS holds pictures and `truth.json`: `views`, each with `file`, `person`, `K`, `joints_px` and `joints_cam_mm` in the
order of real_joints.py.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from real_joints import POINTS

import dsr
from dsr.body import load_asset
from dsr.evaluation import pa_mpjpe
from dsr.options import FitOptions


def main() -> None:
    """Fit every view with its own focal length and print the errors by person."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--views", type=Path, required=True)
    args = parser.parse_args()
    views = json.loads((args.views / "truth.json").read_text(encoding="utf-8"))["views"]
    asset = load_asset("open")
    regressor = asset.keypoint_regressor("blazepose33")[POINTS]
    errors: dict[str, list[float]] = {}
    heights = []
    for focal in sorted({v["K"][0][0] for v in views}):
        group = {v["file"]: v for v in views if v["K"][0][0] == focal}
        for result in dsr.fit_images([args.views / f for f in group], FitOptions(focal=focal, person="all"), jobs=1):
            view = group[Path(result.input_path).name]
            if not result.people:
                print(f"{view['file']}: nobody ({result.message})")
                continue
            truth_px, intrinsics = np.array(view["joints_px"]), np.array(view["K"])
            points = [np.asarray(regressor @ p.vertices_cam_m) for p in result.people]
            pixels = [(p @ intrinsics.T)[:, :2] / p[:, 2:] for p in points]
            nearest = int(np.argmin([np.linalg.norm(p - truth_px, axis=1).mean() for p in pixels]))
            truth = np.array(view["joints_cam_mm"]) / 1000
            errors.setdefault(view["person"], []).append(1000 * float(np.mean(pa_mpjpe(points[nearest], truth))))
            heights.append(result.people[nearest].height_m)
    for person, values in errors.items():
        print(f"{person}: PA-MPJPE {np.mean(values):.1f} mm, median {np.median(values):.1f}, {len(values)} views")
    every = [value for values in errors.values() for value in values]
    print(f"all: PA-MPJPE {np.mean(every):.1f} mm, {len(every)} of {len(views)} views")
    print(f"{asset.path}, sha256 {asset.sha256[:12]}; heights {np.mean(heights):.2f} m, spread {np.std(heights):.2f}")


if __name__ == "__main__":
    main()
