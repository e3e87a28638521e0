"""The table of ``dsr-eval synthetic --dressed``: shape in tight and loose clothes by four ways of refining."""

from __future__ import annotations

from dsr.evaluation.dressed import CLOTHES, MEASURES, POSE, WAYS, DressedReport

_TITLES = {
    "none": "(i) no refinement",
    "outline": "(ii) plain silhouette",
    "published": "(iii) DSR as published",
    "dressed": "(iv) with the clothing prior",
}
_COLUMNS = (*MEASURES, *POSE)


def dressed_table(report: DressedReport) -> str:
    """The report for people to read."""
    seeds = sorted({score.seed for score in report.scores})
    people = len({(score.clothes, score.seed, score.index) for score in report.scores})
    lines = [
        f"people {people}, seeds {', '.join(map(str, seeds))}, not found {report.missed}; mean absolute errors in mm",
        f"{'clothes':<8}{'refinement':<30}" + "".join(f"{name.removesuffix('_mm'):>10}" for name in _COLUMNS),
    ]
    for clothes in CLOTHES:
        for way in WAYS:
            cells = "".join(f"{report.mean(measure, clothes, way):>10.1f}" for measure in _COLUMNS)
            lines.append(f"{clothes:<8}{_TITLES[way]:<30}{cells}")
    for clothes in CLOTHES:
        gains = [report.gain_percent(clothes, seed=seed) for seed in seeds]
        spread = f" (seeds: {', '.join(f'{gain:.0f}' for gain in gains)})" if len(seeds) > 1 else ""
        lines.append(
            f"{clothes}: errors of shape of (iv) are {report.gain_percent(clothes):.0f} % below those of (ii){spread}, "
            f"{report.gain_percent(clothes, 'none'):.0f} % below (i); mean over the first {len(MEASURES)} columns"
        )
    return "\n".join(lines) + "\n"
