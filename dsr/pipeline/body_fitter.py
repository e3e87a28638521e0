"""Bodies for the people of a picture: what a fitter of pictures asks for, and the fit that is usual."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from dsr.options import FitOptions
from dsr.results.picture import PersonResult

if TYPE_CHECKING:
    from dsr.body import Body
    from dsr.body.transfer import PosedBody
    from dsr.camera import PictureCamera
    from dsr.people import Detection

_log = logging.getLogger(__name__)


class BodyFitter(Protocol):
    """Bodies for the people of a picture, in the order of the detections; :func:`fit_bodies` is one."""

    def __call__(  # noqa: D102
        self,
        detections: list[Detection],
        camera: PictureCamera,
        body: Body,
        options: FitOptions,
        start: PosedBody | None = None,
    ) -> list[PersonResult]: ...


def fit_bodies(
    detections: list[Detection],
    camera: PictureCamera,
    body: Body,
    options: FitOptions,
    start: PosedBody | None = None,
) -> list[PersonResult]:
    """Bodies for all people of a picture at once; where a GPU's memory is too small, for half of them at a time.

    Args:
        detections: people, left to right.
        camera: of the full, upright picture.
        body: body layer.
        options: with ``refine`` ``none`` or ``semantic`` a network's bodies are taken as they are.
        start: a network's bodies, if there is one.

    Returns:
        One result per detection, in the same order.

    Raises:
        BodyError: if the body has no regressor for a keypoint set.
        FittingError: if no keypoint of a person is usable.
    """
    import torch

    from dsr.fitting import describe_people, fit_people

    if start is not None and options.refine in ("none", "semantic"):
        return describe_people(detections, camera, body, start)
    try:
        return fit_people(detections, camera, body, options, start)
    except torch.OutOfMemoryError:
        if len(detections) == 1:
            raise
        torch.cuda.empty_cache()
        _log.warning("the device's memory is too small for %d people at once; halving", len(detections))
    half = len(detections) // 2
    return [
        person
        for part in (slice(None, half), slice(half, None))
        for person in fit_bodies(detections[part], camera, body, options, None if start is None else start.select(part))
    ]
