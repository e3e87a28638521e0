"""What a network said about the people of a data set, kept in one npz so that scoring it again needs no pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsr.errors import DatasetError, UsageError
from dsr.npz import read_npz

if TYPE_CHECKING:
    from dsr.body import Body
    from dsr.synthetic.records import PersonRecord, RecordSource

_MOST_BYTES = 1 << 34
_SHAPES: dict[str, tuple[int | None, ...]] = {
    "keys": (),
    "pose_rotmat": (24, 3, 3),
    "orient_crop": (3, 3),
    "betas": (None,),
    "transl": (3,),
    "K": (3, 3),
}


@dataclass(frozen=True, eq=False)
class Predictions:
    """Bodies of N people of a data set.

    Attributes:
        keys: (N,) keys of their records.
        pose_rotmat: (N, 24, 3, 3) rotations of SMPL's joints, 0 is the global orientation in the full picture's camera.
        orient_crop: (N, 3, 3) the global orientation in the camera of the crop, as the network said it: what the
            published DSR evaluation compares.
        betas: (N, nb) shape.
        transl: (N, 3) metres, in the full picture's camera.
        K: (N, 3, 3) intrinsics of the full pictures that ``transl`` belongs to, pixels; made up where unknown.
        system: name of the network.
        crop: kind of its crops, ``square`` or ``perspective``.
    """

    keys: np.ndarray
    pose_rotmat: np.ndarray
    orient_crop: np.ndarray
    betas: np.ndarray
    transl: np.ndarray
    K: np.ndarray
    system: str = ""
    crop: str = "square"

    def __len__(self) -> int:
        return len(self.keys)


def rows_of(source: RecordSource, every: int = 1, limit: int | None = None) -> range:
    """Rows of a data set to look at: every so many, at most ``limit``.

    Raises:
        UsageError: if that leaves nobody.
    """
    if every < 1 or (limit is not None and limit < 1):
        raise UsageError(f"--every {every} and --limit {limit}: use whole numbers from 1.")
    rows = range(0, len(source), every)[:limit]
    if not rows:
        raise UsageError(f"The data set {source.name} is empty; there is nobody to evaluate.")
    return rows


def predict_source(
    source: RecordSource,
    model: Any,
    body: Body,
    *,
    every: int = 1,
    limit: int | None = None,
    batch_size: int = 32,
    mirror: bool | None = None,
    system: str = "",
    crop_bodies: Mapping[str, Body] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Predictions:
    """Run a network over a data set.

    Args:
        source: the data set; its pictures are read.
        model: a :class:`dsr.regressors.Regressor`.
        body: the body it was trained with.
        every: take every so many rows.
        limit: at most so many.
        batch_size: people at a time.
        mirror: average with the mirrored crops; by default as published for the network.
        system: name to remember.
        crop_bodies: gender to body: perspective crops are fitted to the true mesh, as PersPose's published figures
            have it, where a record has one and K; otherwise, and by default, to the data set's box.
        on_progress: called with the number of people done and that of all.

    Raises:
        DatasetError: if a picture cannot be read.
        UsageError: if there is nobody.
    """
    from dsr.evaluation.record_crops import crop_record, crop_true_mesh
    from dsr.regressors.crops import PeopleCrops
    from dsr.regressors.inference import regress

    rows = rows_of(source, every, limit)
    records = (source.record(row) for row in rows)
    parts: list[dict[str, np.ndarray]] = []
    done = 0
    while some := list(islice(records, batch_size)):
        crops = PeopleCrops.join(
            [crop_true_mesh(record, model, crop_bodies) or crop_record(record, model) for record in some]
        )
        bodies = regress(model, crops, body, batch_size, mirror=mirror)
        parts.append(
            {
                "keys": np.array([record.key for record in some]),
                "pose_rotmat": bodies.pose_rotmat.numpy(),
                "orient_crop": bodies.prediction.pose_rotmat[:, 0].numpy(),
                "betas": bodies.betas.numpy(),
                "transl": bodies.transl.numpy(),
                "K": crops.K.numpy(),
            }
        )
        done += len(some)
        if on_progress is not None:
            on_progress(done, len(rows))
    joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return Predictions(**joined, system=system, crop=str(getattr(model, "crop", "square")))


def save_predictions(predictions: Predictions, path: str | Path) -> None:
    """Write predictions as npz, complete or not at all.

    Raises:
        ExportError: if it cannot be written.
    """
    from dsr.files import write_atomic

    arrays = {key: getattr(predictions, key) for key in _SHAPES}
    arrays |= {"system": np.array(predictions.system), "crop": np.array(predictions.crop)}

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # a name without .npz stays as it is
            np.savez(file, **arrays)

    write_atomic(Path(path), write)


def load_predictions(path: str | Path) -> Predictions:
    """Read predictions back; nothing in the file is executed.

    Raises:
        DatasetError: naming the file and the column, if something is missing, misshapen or not to be read.
    """
    path = Path(path)
    try:
        arrays = read_npz(path, most=_MOST_BYTES)
    except FileNotFoundError:
        raise DatasetError(f"{path} does not exist: check the name, or make it with --save-predictions.") from None
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as predictions ({error}): make it again.") from error
    for key, row in _SHAPES.items():
        if key not in arrays:
            raise DatasetError(f"{path} has no '{key}'; it is no file of predictions.")
        shape = arrays[key].shape
        count = len(arrays["keys"]) if arrays["keys"].ndim else 0
        fits = len(shape) == len(row) + 1 and all(w in (None, s) for w, s in zip((count, *row), shape, strict=True))
        if not fits:
            expected = "(" + ", ".join("n" if w is None else str(w) for w in (count, *row)) + ")"
            raise DatasetError(f"{path}: '{key}' has shape {shape}; {expected} is needed.")
        if key == "keys":
            if arrays[key].dtype.kind != "U":
                raise DatasetError(f"{path}: 'keys' holds {arrays[key].dtype}, not names.")
        elif arrays[key].dtype.kind != "f" or not np.isfinite(arrays[key]).all():
            raise DatasetError(f"{path}: '{key}' holds something else than finite numbers.")
    system, crop = (str(arrays.get(key, default)) for key, default in (("system", ""), ("crop", "square")))
    return Predictions(**{key: arrays[key] for key in _SHAPES}, system=system, crop=crop)


def matched(predictions: Predictions, source: RecordSource, rows: range) -> Iterator[tuple[int, PersonRecord]]:
    """Records beside the places of their predictions.

    Raises:
        DatasetError: if the predictions are for other people.
    """
    if len(predictions) != len(rows):
        raise DatasetError(
            f"The predictions are for {len(predictions)} people, but {len(rows)} of {source.name} are to be scored: "
            "give the same data, --every and --limit as when they were made."
        )
    for place, row in enumerate(rows):
        record = source.record(row)
        if record.key != predictions.keys[place]:
            raise DatasetError(
                f"Prediction {place} is for {predictions.keys[place]}, but row {row} of {source.name} is {record.key}: "
                "the predictions belong to another file."
            )
        yield place, record
