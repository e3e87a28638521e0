"""Options of a fit: the dataclasses behind ``dsr.fit_images``, ``dsr.fit_sequence`` and ``dsr-fit``."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from dsr.errors import UsageError
from dsr.files import expand_user

SYSTEMS = ("dsr", "perspose")
"""Networks that ``--regressor`` takes (:data:`dsr.regressors.REGRESSORS`)."""
BROUGHT = {"instanthmr": "FILE.onnx", "sam3dbody": "PATH"}
"""What else it takes: files of other projects that give 3D keypoints (:mod:`dsr.regressors.brought`)."""
PARSERS = ("graphonomy", "lip", "atr", "transformers", "mediapipe")
"""Kinds of clothing labels that ``--parser`` takes beside the built-in (:mod:`dsr.people.brought_labels`)."""
EXPRESSIVE = ("hands", "face", "expressive")
"""Options that need a body with fingers and a face that moves."""
CHECKPOINT_FORMS = " or ".join(f"{name}:CHECKPOINT" for name in SYSTEMS)
"""How ``--regressor`` names them, for messages."""


@dataclass(frozen=True)
class FitOptions:
    """Options of :func:`dsr.fit_images`; the line under a field is its help text in ``dsr-fit``."""

    person: str = "all"
    """Who to fit: all, largest, largest:N (up to N people), or a number that counts from the left, from 0."""
    min_score: float = 0.5
    """Detections below this score are ignored (0 to 1)."""
    keypoints: Path | None = None
    """Keypoints instead of the detector's: a folder of OpenPose files (NAME_keypoints.json) or one COCO JSON."""
    boxes: Path | None = None
    """JSON file of boxes instead of the detector's: {"photo.jpg": [[x, y, width, height], ...]}."""
    landmarks: Path | None = None
    """Another BlazePose landmark model than the installed one: the heavy or lite .tflite file or .task bundle."""
    focal: float | None = None
    """Focal length in pixels of the full, upright picture."""
    focal35: float | None = None
    """35 mm equivalent focal length in millimetres (by the picture's diagonal)."""
    fov: float | None = None
    """Horizontal field of view in degrees."""
    height: float | None = None
    """Body height in metres; fixes the metric scale for everybody in the picture. 1.20 is a child."""
    mass: float | None = None
    """Body mass in kilograms, for everybody in the picture; with --height or alone."""
    body: str = "open"
    """Body model: open, or a path to a licensed SMPL or SMPL-X file."""
    hands: bool = False
    """Also fingers and the turn of wrists, from the picture or clip; the open body is then open-x."""
    face: bool = False
    """Also jaw, gaze, eyelids and facial actions, from the picture or clip, on open-x."""
    expressive: bool = False
    """Both --hands and --face."""
    regressor: str = "default"
    """First guess: default, or yours: dsr:CHECKPOINT, perspose:CHECKPOINT, instanthmr:FILE.onnx, sam3dbody:PATH."""
    mirror: Literal["auto", "on", "off"] = "auto"
    """Average the network with its answer for the mirrored picture; auto does so for perspose, as published."""
    refine: Literal["none", "joints", "semantic", "all"] = "none"
    """Extra refinement: joints (more starts, then by each joint's uncertainty), semantic (to the silhouette), all."""
    quality: Literal["fast", "standard", "best"] = "standard"
    """How much time to spend on finding people and fitting them."""
    clothing: Literal["auto", "tight", "off"] = "auto"
    """Semantic refinement of clothing: auto keeps the body inside of it, tight and off treat it as skin."""
    parser: str = "built-in"
    """Clothing labels: built-in, graphonomy:DIR, lip:DIR, atr:DIR of PNGs, transformers:DIR, mediapipe:FILE."""
    device: str = "auto"
    """auto, cpu or cuda."""
    seed: int = 0
    """Seed of everything random; the same seed gives the same bodies."""

    def __post_init__(self) -> None:
        """Refuse a size that nobody has: centimetres and pounds are easily said.

        Raises:
            UsageError: naming the option, the value and what is allowed.
        """
        if self.height is not None:
            _check_height(self.height)
        if self.mass is not None:
            _check_mass(self.mass, self.height)

    def record(self) -> dict[str, Any]:
        """Plain JSON values: what is written beside a result, and compared when a run is resumed."""
        record = {
            name: str(Path(value).absolute()) if isinstance(value, Path) else value
            for name, value in ((name, getattr(self, name)) for name in asdict(FitOptions()))
        }
        for name in EXPRESSIVE:  # as in files written before they could be asked for
            if not record[name]:
                del record[name]
        kind, colon, place = self.parser.partition(":")
        if colon:
            record["parser"] = f"{kind}:{expand_user(place).absolute()}"
        system, colon, path = self.regressor.partition(":")
        if colon:
            record["regressor"] = f"{system}:{expand_user(path).absolute()}"
        return record


def body_to_load(options: FitOptions) -> str:
    """The body that a fit is made with: where hands or face are asked for, the open body is the one that has them."""
    return "open-x" if is_expressive(options) and options.body == "open" else options.body


def is_expressive(options: FitOptions) -> bool:
    """Whether hands or face are asked for."""
    return options.hands or options.face or options.expressive


@dataclass(frozen=True)
class SequenceOptions:
    """Options of clips beyond :class:`FitOptions`.

    Attributes:
        fps: frames per second instead of what the file says; 30 for a folder of frames where not given.
        lifter: ``shipped``, ``none``, or the path of a lifter's weights.
        max_gap_s: seconds for which somebody may be hidden and still be the same person.
    """

    fps: float | None = None
    lifter: str = "shipped"
    max_gap_s: float = 1.0

    def record(self) -> dict[str, Any]:
        """Plain JSON values, compared when a run is resumed."""
        lifter = self.lifter
        if lifter not in ("shipped", "none"):
            lifter = str(expand_user(lifter).absolute())
        return {**asdict(self), "lifter": lifter}


def check_options(options: FitOptions) -> None:
    """Refuse option values that cannot work, before any picture is opened.

    Args:
        options: what the user asked for.

    Raises:
        UsageError: naming the option, the value and what is allowed.
    """
    split_person(options.person)
    _in_range("--min-score", options.min_score, 0.0, 1.0)
    given = [name for name in ("focal", "focal35", "fov") if getattr(options, name) is not None]
    if len(given) > 1:
        raise UsageError("Give only one of " + ", ".join(f"--{name}" for name in given) + ": they say the same thing.")
    if options.focal is not None:
        _in_range("--focal", options.focal, 1.0, 1e7, "pixels")
    if options.focal35 is not None:
        _in_range("--focal35", options.focal35, 1.0, 5000.0, "millimetres")
    if options.fov is not None:
        _in_range("--fov", options.fov, 0.1, 179.0, "degrees")
    if options.keypoints is not None and not options.keypoints.exists():
        raise UsageError(f"--keypoints {options.keypoints}: no such folder or file.")
    if options.boxes is not None and not options.boxes.is_file():
        raise UsageError(f"--boxes {options.boxes}: no such file.")
    if options.landmarks is not None and not expand_user(options.landmarks).is_file():
        raise UsageError(f"--landmarks {options.landmarks}: no such file.")
    if options.keypoints is not None and options.boxes is not None:
        raise UsageError("Give only one of --keypoints, --boxes.")
    split_regressor(options.regressor)
    if options.mirror not in ("auto", "on", "off"):
        raise UsageError(f"--mirror {options.mirror!r}: use auto, on or off.")
    if options.refine not in ("none", "joints", "semantic", "all"):
        raise UsageError(f"--refine {options.refine!r}: use none, joints, semantic or all.")
    if options.clothing not in ("auto", "tight", "off"):
        raise UsageError(f"--clothing {options.clothing!r}: use auto, tight or off.")
    _check_parser(options.parser)
    if options.quality not in ("fast", "standard", "best"):
        raise UsageError(f"--quality {options.quality!r}: use fast, standard or best.")
    if options.device not in ("auto", "cpu") and not options.device.startswith("cuda"):
        raise UsageError(f"--device {options.device!r}: use auto, cpu or cuda.")
    if not 0 <= options.seed < 2**63:
        raise UsageError(f"--seed {options.seed}: use a whole number from 0 to 2**63 - 1.")


def check_lifter(name: str) -> None:
    """Refuse a lifter that is neither ``shipped`` nor ``none`` nor a file.

    Raises:
        UsageError: if there is no such file.
    """
    if name not in ("shipped", "none") and not expand_user(name).is_file():
        raise UsageError(f"--lifter {name}: use shipped, none, or the file of a lifter's weights.")


def split_person(text: str) -> tuple[int | None, int | None]:
    """Take the choice of people apart: ``all``, ``largest``, ``largest:N`` or a number.

    Args:
        text: as ``--person`` takes it.

    Returns:
        The number of the one person asked for, counted from 0, and how many of the largest; ``(None, None)`` for all.

    Raises:
        UsageError: if it is none of these.

    Example:
        >>> split_person("largest:3"), split_person("largest"), split_person("0"), split_person("all")
        ((None, 3), (None, 1), (0, None), (None, None))
    """
    word, colon, count = text.partition(":")
    if text == "all":
        return None, None
    if word == "largest" and (not colon or (count.isascii() and count.isdigit() and int(count) > 0)):
        return None, int(count) if colon else 1
    if text.isascii() and text.isdigit():
        return int(text), None
    raise UsageError(
        f"--person {text!r}: use all, largest, largest:N for up to N people, or a number counted from the left "
        "(0, 1, ...)."
    )


def split_regressor(text: str) -> tuple[str, Path] | None:
    """Take ``dsr:CHECKPOINT``, ``instanthmr:FILE.onnx`` and the like apart; None for ``default``.

    Raises:
        UsageError: if it is something else or there is no such file.
    """
    if text == "default":
        return None
    system, _, path = text.partition(":")
    if system not in (*SYSTEMS, *BROUGHT) or not path:
        others = " or ".join(f"{name}:{what}" for name, what in BROUGHT.items())
        raise UsageError(
            f"--regressor {text!r}: use default, or {CHECKPOINT_FORMS} with the file of the network's weights, or "
            f"{others}."
        )
    file = expand_user(path)
    if not file.is_file() and not (system == "sam3dbody" and file.is_dir()):
        raise UsageError(f"--regressor {text}: there is no file {file}.")
    return system, file


def _check_parser(text: str) -> None:
    kind, colon, place = text.partition(":")
    if text != "built-in" and (kind not in PARSERS or not place):
        known = ", ".join(f"{name}:{'FILE' if name == 'mediapipe' else 'DIR'}" for name in PARSERS)
        raise UsageError(f"--parser {text!r}: use built-in, {known}.")
    if colon and not expand_user(place).exists():
        raise UsageError(f"--parser {text}: there is no {place}.")


def _check_height(height: float) -> None:
    if 40 <= height <= 280:
        raise UsageError(f"--height {height:g}: metres are meant; for {height:g} cm say --height {height / 100:g}.")
    _in_range("--height", height, 0.5, 2.6, "metres")


def _check_mass(mass: float, height: float | None) -> None:
    _in_range("--mass", mass, 3.0, 400.0, "kilograms")
    index = 22.0 if height is None else mass / height**2
    if not 9.0 <= index <= 100.0:
        raise UsageError(
            f"--height {height:g} with --mass {mass:g}: a body mass index of {index:.0f}, which nobody has; height in "
            "metres and mass in kilograms are meant."
        )


def _in_range(flag: str, value: float, low: float, high: float, unit: str = "") -> None:
    if not math.isfinite(value) or not low <= value <= high:
        raise UsageError(f"{flag} {value:g}: use a number from {low:g} to {high:g}{' ' + unit if unit else ''}.")
