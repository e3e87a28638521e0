"""Shape in tight and in loose clothes: the same made-up people refined in four ways, against their known bodies.

Everybody is made twice, alike but for how far off the skin tops and trousers lie (:data:`CLOTHES`). The ways are no
refinement; the bare body's outline against the mask; DSR-MC and DSR-C as published, with labels and prior as here; and
the dressed body's outline, by the clothing prior, its looseness and the parsed labels. Clothes of these people are
painted, not those the prior was learned from.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from dsr.body import BodyAsset, measure_body, pose_vertices
from dsr.evaluation.metrics import mpjpe, pa_mpjpe
from dsr.evaluation.posture import LIMB12_HIPS
from dsr.evaluation.scores import limb12_index
from dsr.fitting.semantic import SemanticWeights
from dsr.options import FitOptions
from dsr.results.picture import PersonResult
from dsr.synthetic.people import SyntheticSource
from dsr.synthetic.records import PersonRecord

CLOTHES: Final = MappingProxyType({"tight": (0.002, 0.008), "loose": (0.025, 0.05)})
"""Metres between skin and cloth, from and to."""
WAYS: Final[Mapping[str, SemanticWeights | None]] = MappingProxyType(
    {
        "none": None,
        "outline": SemanticWeights(objective="outline"),
        "published": SemanticWeights(objective="published"),
        "dressed": SemanticWeights(objective="dressed"),
    }
)
"""Ways of refining: no refinement, plain silhouette, DSR as published, DSR with this project's prior."""
MEASURES: Final = ("stature_mm", "chest_mm", "waist_mm", "hips_mm", "t_pose_mm")
"""Errors of shape."""
POSE: Final = ("mpjpe_mm", "pa_mpjpe_mm")
"""Errors of pose, 12 limb joints."""

_SIZE, _FACING_DEG, _TRIES = 448, 60.0, 40


@dataclass
class DressedScore:
    """Errors of one person refined in one way, millimetres; sizes are fitted minus true."""

    clothes: str
    seed: int
    index: int
    way: str
    refined: bool
    stature_mm: float
    chest_mm: float
    waist_mm: float
    hips_mm: float
    t_pose_mm: float
    mpjpe_mm: float
    pa_mpjpe_mm: float


@dataclass
class DressedReport:
    """All scores, and how many made-up people the detector did not find."""

    scores: list[DressedScore] = field(default_factory=list)
    missed: int = 0

    def mean(self, measure: str, clothes: str, way: str, seed: int | None = None) -> float:
        """Mean absolute error; NaN where there is none."""
        values = [
            abs(getattr(score, measure))
            for score in self.scores
            if score.clothes == clothes and score.way == way and seed in (None, score.seed)
        ]
        return float(np.mean(values)) if values else float("nan")

    def gain_percent(self, clothes: str, over: str = "outline", seed: int | None = None) -> float:
        """By how much the dressed body's errors of shape lie below another way's, mean over the measures."""
        return 100.0 * float(
            np.mean([1 - self.mean(m, clothes, "dressed", seed) / self.mean(m, clothes, over, seed) for m in MEASURES])
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        seeds = sorted({score.seed for score in self.scores})
        means = {
            clothes: {way: {m: self.mean(m, clothes, way) for m in (*MEASURES, *POSE)} for way in WAYS}
            for clothes in CLOTHES
        }
        gains = {clothes: [self.gain_percent(clothes, seed=seed) for seed in seeds] for clothes in CLOTHES}
        return {**asdict(self), "means": means, "gain_over_outline_percent_by_seed": gains, "seeds": seeds}


def evaluate_dressed(
    people: int,
    seeds: Iterable[int],
    options: FitOptions | None = None,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> DressedReport:
    """Make people, fit them, refine them in every way, and score.

    Args:
        people: per seed and kind of clothes.
        seeds: of the people.
        options: how to fit; focal length, ``refine`` and ``clothing`` are set here.
        on_progress: called with people done, people in all and what is done.
    """
    options, seeds = options or FitOptions(), list(seeds)
    report = DressedReport()
    total, done = people * len(seeds) * len(CLOTHES), 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            for clothes, looseness in CLOTHES.items():
                source = SyntheticSource(
                    count=_TRIES * people,
                    seed=seed,
                    size=_SIZE,
                    occluders=False,
                    facing_deg=_FACING_DEG,
                    looseness_m=looseness,
                )
                for index, record in whole_people(source, people):
                    _score(report, record, (clothes, seed, index), Path(folder), options)
                    done += 1
                    if on_progress is not None:
                        on_progress(done, total, f"{clothes}, seed {seed}")
    return report


def whole_people(source: SyntheticSource, people: int) -> Iterable[tuple[int, PersonRecord]]:
    """The first so many people of a source who are wholly in their picture, and large enough."""
    count = 0
    for index in range(len(source)):
        record = source.record(index)
        inside = (record.box_px[:2] > 0).all() and (record.box_px[2:] < _SIZE).all()
        if inside and record.mask is not None and record.mask.mean() > 0.06:
            yield index, record
            count += 1
        if count == people:
            return


def _score(
    report: DressedReport, record: PersonRecord, what: tuple[str, int, int], folder: Path, options: FitOptions
) -> None:
    """Fit one person and add a score per way."""
    from PIL import Image

    from dsr.body import load_body
    from dsr.camera import PictureCamera
    from dsr.fitting import refine_semantic
    from dsr.pipeline.picture_fitter import fit_images

    assert record.K is not None and isinstance(record.image, np.ndarray)
    path = folder / "person.png"
    Image.fromarray(record.image).save(path)
    options = replace(options, focal=float(record.K[0, 0]), refine="none", clothing="auto", person="largest")
    result = next(iter(fit_images([path], options, jobs=1, keep_stages=True)))
    if result.status != "ok" or not result.detections:
        report.missed += 1
        return
    body, camera = load_body("open"), PictureCamera(record.K, (_SIZE, _SIZE))
    clothes, seed, index = what
    for way, weights in WAYS.items():
        people = result.people
        if weights is not None:
            people = refine_semantic(people, result.detections, camera, body, options, record.image, weights)
        errors = shape_and_pose_errors(record, people[0], body.asset)
        refined = "semantic" in people[0].residuals
        report.scores.append(DressedScore(clothes, seed, index, way, refined, **errors))


def shape_and_pose_errors(record: PersonRecord, person: PersonResult, asset: BodyAsset) -> dict[str, float]:
    """Errors of a fitted open body, by the names of :data:`MEASURES` and :data:`POSE`."""
    assert record.betas is not None and record.pose_aa is not None and record.transl is not None
    true_betas = np.zeros(asset.num_betas)
    true_betas[: len(record.betas)] = record.betas
    betas = np.asarray(person.betas, np.float64)
    sizes, true_sizes = measure_body(asset, betas), measure_body(asset, true_betas)
    skin = np.unique(asset.faces[~asset.interior])
    rest, true_rest = (asset.v_template[skin] + asset.shapedirs[skin][..., : len(b)] @ b for b in (betas, true_betas))
    apart = np.linalg.norm((rest - rest.mean(0)) - (true_rest - true_rest.mean(0)), axis=1)
    true = pose_vertices(asset, true_betas, record.pose_aa[1:], record.pose_aa[0], record.transl)
    limbs = limb12_index()
    regressor = asset.keypoint_regressor("blazepose33")
    joints, true_joints = (np.asarray(regressor @ v)[limbs] for v in (person.vertices_cam_m, true))
    return {
        "stature_mm": 1000 * (sizes.height_m - true_sizes.height_m),
        "chest_mm": 1000 * (sizes.chest_m - true_sizes.chest_m),
        "waist_mm": 1000 * (sizes.waist_m - true_sizes.waist_m),
        "hips_mm": 1000 * (sizes.hip_m - true_sizes.hip_m),
        "t_pose_mm": 1000 * float(apart.mean()),
        "mpjpe_mm": 1000 * float(mpjpe(joints, true_joints, root=LIMB12_HIPS)),
        "pa_mpjpe_mm": 1000 * float(pa_mpjpe(joints, true_joints)),
    }
