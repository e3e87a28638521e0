"""The models themselves: found without importing mediapipe, equal to mediapipe's own graph, clear when missing."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageOps
from shared_data import photos

from dsr.errors import DetectionError, MissingExtraError, UsageError
from dsr.image.types import Photo
from dsr.people import PeopleDetector
from dsr.people.candidates import person_detector
from dsr.people.landmarks import LandmarkModel
from dsr.people.models import LANDMARK_MODEL, LiteModel, find_model
from dsr.people.regions import Pyramid, Region


def picture(name: str, longest: int) -> np.ndarray:
    image = ImageOps.exif_transpose(Image.open(photos() / name)).convert("RGB")
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return np.asarray(image)


def test_mediapipe_is_read_but_never_imported() -> None:
    code = (
        "import sys, numpy as np\nfrom pathlib import Path\nfrom dsr.image.types import Photo\n"
        "from dsr.people import PeopleDetector\n"
        "photo = Photo(Path('x'), np.zeros((300, 400, 3), np.uint8), 400, 300, 1.0, '', 'PNG')\n"
        "assert PeopleDetector('fast').detect(photo) == []\n"
        "print([name for name in ('mediapipe', 'jax', 'torch') if name in sys.modules])\n"
        "assert PeopleDetector().detect(photo) == []\n"
        "print([name for name in ('mediapipe', 'jax') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["[]", "[]"]


def test_missing_package_and_missing_file_say_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"mediapipe==0\.10\.21"):
        PeopleDetector()
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(DetectionError, match=r"does not carry .*pose_detection.*mediapipe==0\.10\.21"):
        find_model("pose_detection/pose_detection.tflite")
    broken = tmp_path / "modules" / LANDMARK_MODEL
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"not a model")
    with pytest.raises(DetectionError, match="is not the file that mediapipe"):
        LiteModel(LANDMARK_MODEL)


def test_a_changed_model_file_is_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    good = find_model(LANDMARK_MODEL)
    package = tmp_path / "mediapipe"
    (package / "modules" / LANDMARK_MODEL).parent.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    copy = package / "modules" / LANDMARK_MODEL
    copy.write_bytes(good.read_bytes())
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "mediapipe"]:
        monkeypatch.delitem(sys.modules, name)
    assert find_model(LANDMARK_MODEL) == copy
    copy.write_bytes(good.read_bytes()[:-1] + b"?")
    with pytest.raises(DetectionError, match="is not the file that mediapipe"):
        find_model(LANDMARK_MODEL)


def test_missing_runtime_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(MissingExtraError, match="ai-edge-litert"):
        LiteModel(LANDMARK_MODEL)


def test_unknown_quality() -> None:
    with pytest.raises(UsageError, match="fast, standard, best"):
        PeopleDetector("superb")  # type: ignore[arg-type]


def test_threads_do_not_change_a_bit() -> None:
    image = np.random.default_rng(0).random((256, 256, 3), dtype=np.float32)
    for one, two in zip(LiteModel(LANDMARK_MODEL, 1)(image), LiteModel(LANDMARK_MODEL, 2)(image), strict=True):
        assert np.array_equal(one, two)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 700), (900, 5), (2000, 60)])
def test_odd_sizes_have_nobody(width: int, height: int) -> None:
    rgb = np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8)
    assert PeopleDetector().detect(Photo(Path("x"), rgb, width, height, 1.0, "", "PNG")) == []


def graph_of_mediapipe() -> object:
    """mediapipe's own landmark graph with the region it used as one more output."""
    pytest.importorskip("mediapipe")
    from mediapipe.python.solution_base import SolutionBase

    return SolutionBase(
        binary_graph_path="mediapipe/modules/pose_landmark/pose_landmark_cpu.binarypb",
        side_inputs={
            "model_complexity": 1,
            "smooth_landmarks": False,
            "enable_segmentation": True,
            "smooth_segmentation": False,
            "use_prev_landmarks": False,
        },
        calculator_params={},
        outputs=["pose_landmarks", "pose_world_landmarks", "segmentation_mask", "pose_rect_from_detection"],
    )


def crop_of_mediapipe(rgb: np.ndarray, region: Region, size: int) -> np.ndarray:
    """The crop as mediapipe takes it: pixel centres at integers, no smoothing, edges repeated."""
    import cv2

    target = np.array([[0, size], [0, 0], [size, 0], [size, size]], np.float32)
    matrix = cv2.getPerspectiveTransform(region.to_picture(target, size).astype(np.float32), target)
    return cv2.warpPerspective(rgb, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


@pytest.mark.parametrize("name", ["lunge_portrait.jpg", "dancing.jpg", "000000000785.jpg"])
def test_landmarks_equal_mediapipe(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same region and same crop: equal to 0.1 px and 1 mm. Our crop (half-pixel centres, smoothed): a few pixels.

    The world landmarks move by 2 to 4 cm when the crop moves by half a pixel, in mediapipe as well, so that only the
    first comparison is tight.
    """
    rgb = picture(name, 900)
    height, width = rgb.shape[:2]
    result = graph_of_mediapipe().process(input_data={"image": rgb})  # type: ignore[attr-defined]
    theirs = np.array([[p.x * width, p.y * height] for p in result.pose_landmarks.landmark])
    world = np.array([[p.x, p.y, p.z] for p in result.pose_world_landmarks.landmark])
    visibility = np.array([p.visibility for p in result.pose_landmarks.landmark])
    rect = result.pose_rect_from_detection
    region = Region(rect.x_center * width, rect.y_center * height, rect.width * width, rect.rotation)
    model, pyramid = LandmarkModel(), Pyramid(rgb)
    unit = 256 / region.side

    ours = model(pyramid, region)
    distance = np.linalg.norm(ours.points - theirs, axis=1) * unit
    assert distance.mean() < 1.5 and np.percentile(distance, 90) < 3
    assert np.linalg.norm(ours.world_m - world, axis=1).mean() < 0.045
    assert np.abs(ours.confidence - visibility).max() < 0.15

    candidate = person_detector().in_tiles(pyramid, float(max(width, height)), 0.5)[0]
    found = Region.from_points(candidate[5:7], candidate[7:9])
    assert np.hypot(found.u - region.u, found.v - region.v) < 0.03 * region.side
    assert found.side == pytest.approx(region.side, rel=0.12) and found.angle == pytest.approx(region.angle, abs=0.08)

    monkeypatch.setattr(Pyramid, "crop", lambda self, where, size: crop_of_mediapipe(rgb, where, size))
    same = model(pyramid, region)
    assert np.linalg.norm(same.points - theirs, axis=1).max() * unit < 0.1
    assert np.linalg.norm(same.world_m - world, axis=1).max() < 0.001
    assert np.abs(same.mask_logits > 0).sum() > 0


def test_loading_a_model_says_nothing_and_gives_standard_error_back(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LiteModel(LANDMARK_MODEL)
    assert capfd.readouterr() == ("", "")
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"not a model")
    monkeypatch.setattr("dsr.people.models.find_model", lambda name: broken)
    with pytest.raises(DetectionError):
        LiteModel(LANDMARK_MODEL)
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"
