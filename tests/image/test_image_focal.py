"""Where a focal length comes from: flag, sidecar, file name, EXIF, default; and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from dsr.errors import CameraError, UsageError
from dsr.image import FocalHint, Photo, read_photo, resolve_focal

FILM = math.hypot(36, 24)


def save(path: Path, size: tuple[int, int] = (400, 300), orientation: int = 1, **details) -> Path:
    """A picture with the given entries in its EXIF data."""
    names = {"focal": 0x920A, "focal35": 0xA405, "x": 0xA002, "y": 0xA003, "resolution": 0xA20E, "unit": 0xA210}
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x8769] = {names[name]: value for name, value in details.items()}
    Image.new("RGB", size, (90, 120, 60)).save(path, exif=exif.tobytes())
    return path


def photo_of(path: str = "a.jpg", width: int = 400, height: int = 300, hint: FocalHint | None = None) -> Photo:
    return Photo(Path(path), np.zeros((height, width, 3), np.uint8), width, height, 1.0, "", "JPEG", hint=hint)


def test_default_is_the_diagonal() -> None:
    found = resolve_focal(photo_of())
    assert (found.focal_px, found.source) == (500.0, "default")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_exif_35mm_by_the_diagonal(tmp_path, suffix, orientation) -> None:
    path = save(tmp_path / f"a.{suffix}", orientation=orientation, focal35=26, focal=4.2)
    photo = read_photo(path)
    assert (photo.width, photo.height) == ((300, 400) if orientation == 6 else (400, 300))
    found = resolve_focal(photo)
    assert found.source == "exif" and "26 mm" in found.detail
    assert found.focal_px == pytest.approx(26 / FILM * 500)
    # pixels of the full picture, however small the working one
    assert resolve_focal(read_photo(path, work_pixels=9000)) == found


def test_exif_35mm_is_found_in_heic(tmp_path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="the heic extra is not installed")
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 28
    pillow_heif.from_pillow(Image.new("RGB", (400, 300))).save(tmp_path / "a.heic", exif=exif.tobytes())
    assert resolve_focal(read_photo(tmp_path / "a.heic")).focal_px == pytest.approx(28 / FILM * 500)


# 50 mm on a sensor 36 mm wide with 400 pixels across: 555.6 pixels
SENSOR = {"focal": 50.0, "x": 400, "y": 300}


@pytest.mark.parametrize(
    ("unit", "resolution"), [(2, 400 / 36 * 25.4), (3, 400 / 36 * 10), (4, 400 / 36), (None, 400 / 36 * 25.4)]
)
def test_exif_sensor_data_in_every_unit(tmp_path, unit, resolution) -> None:
    details = dict(SENSOR, resolution=resolution, **({"unit": unit} if unit else {}))
    found = resolve_focal(read_photo(save(tmp_path / "a.jpg", **details)))
    assert found.source == "exif"
    assert found.focal_px == pytest.approx(50 * 400 / 36, rel=1e-3)


def test_exif_sensor_data_follows_resizing_and_turning_but_not_cropping(tmp_path) -> None:
    details = dict(SENSOR, resolution=400 / 36 * 10, unit=3)
    half = resolve_focal(read_photo(save(tmp_path / "half.jpg", size=(200, 150), **details)))
    assert half.focal_px == pytest.approx(50 * 200 / 36, rel=1e-3) and "resized" in half.detail
    turned = resolve_focal(read_photo(save(tmp_path / "turned.jpg", size=(300, 400), **details)))
    assert turned.focal_px == pytest.approx(50 * 400 / 36, rel=1e-3)
    cropped = resolve_focal(read_photo(save(tmp_path / "cropped.jpg", size=(200, 300), **details)))
    assert cropped.focal_px == pytest.approx(50 * 400 / 36, rel=1e-3) and "resized" not in cropped.detail


@pytest.mark.parametrize(
    "details",
    [
        {"focal35": 60000},
        {"focal35": 1},
        dict(SENSOR, resolution=IFDRational(0, 1), unit=3),
        dict(SENSOR, resolution=1e6, unit=3),  # a sensor of 4 micrometres
        dict(SENSOR, resolution=400 / 36 * 10, unit=77),
        {"focal": IFDRational(5, 0), "resolution": 100.0, "unit": 3},
        {"focal": IFDRational(5, 0)},
    ],
)
def test_nonsense_in_exif_is_ignored_with_a_warning(tmp_path, details) -> None:
    photo = read_photo(save(tmp_path / "a.jpg", **details))
    assert photo.hint is None
    assert len(photo.warnings) == 1 and "ignored" in photo.warnings[0]
    assert resolve_focal(photo).source == "default"


def test_unknown_in_exif_is_no_warning(tmp_path) -> None:
    photo = read_photo(save(tmp_path / "a.jpg", focal35=0))  # the standard: 0 means unknown
    assert photo.hint is None and photo.warnings == ()


@pytest.mark.parametrize("span", [(0, 8), (8, 10), (10, 22), (12, 40)])
def test_damaged_exif_costs_nothing_but_the_focal_length(tmp_path, span) -> None:
    path = save(tmp_path / "a.jpg", focal35=26)
    data = bytearray(path.read_bytes())
    start = data.index(b"Exif\0\0") + 6
    data[start + span[0] : start + span[1]] = b"\xff" * (span[1] - span[0])
    path.write_bytes(data)
    photo = read_photo(path)
    assert photo.rgb.shape == (300, 400, 3)
    if span[1] > 30 or span[0] == 0:  # what stood there is gone
        assert photo.hint is None


@pytest.mark.parametrize("limit", [10**6, 9000])
def test_damaged_exif_in_png(tmp_path, limit) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (400, 300)).save(path, exif=b"no EXIF data at all")
    photo = read_photo(path, work_pixels=limit)
    assert photo.hint is None and photo.orientation == 1 and (photo.width, photo.height) == (400, 300)


def test_name_takes_the_width_and_beats_exif(tmp_path) -> None:
    found = resolve_focal(read_photo(save(tmp_path / "party_32_f35.jpg", size=(300, 400), focal35=26)))
    assert found.source == "name"
    assert found.focal_px == pytest.approx(32 / 36 * 300)
    photo = read_photo(save(tmp_path / "party_big_f35.jpg", focal35=26))
    assert resolve_focal(photo).source == "exif" and "big" in photo.warnings[0]


def test_sidecar_beats_the_name_and_a_flag_beats_all(tmp_path) -> None:
    photo = read_photo(save(tmp_path / "party_32_f35.jpg", focal35=26))
    (tmp_path / "party_32_f35.camera.json").write_text(json.dumps({"focal_px": 611, "note": "measured"}))
    found = resolve_focal(photo)
    assert (found.focal_px, found.source) == (611.0, "sidecar")
    (tmp_path / "party_32_f35.jpg.camera.json").write_text('{"focal_px": 622}')
    assert resolve_focal(photo).focal_px == 622.0
    found = resolve_focal(photo, focal=633)
    assert (found.focal_px, found.source) == (633.0, "flag")


def test_flags() -> None:
    photo = photo_of()
    assert resolve_focal(photo, focal35=50).focal_px == pytest.approx(50 / FILM * 500)
    assert resolve_focal(photo, fov=90).focal_px == pytest.approx(200)
    assert {resolve_focal(photo, **{name: 80}).source for name in ("focal", "focal35", "fov")} == {"flag"}
    with pytest.raises(UsageError, match="--focal and --fov"):
        resolve_focal(photo, focal=500, fov=60)


@pytest.mark.parametrize("name", ["focal", "focal35", "fov"])
@pytest.mark.parametrize("value", [0, -5, math.nan, math.inf, 1e9])
def test_nonsense_flags_raise(name, value) -> None:
    with pytest.raises(CameraError, match=f"--{name}"):
        resolve_focal(photo_of(), **{name: value})


def test_millimetres_given_as_pixels_are_noticed() -> None:
    with pytest.raises(CameraError, match="--focal35 35"):
        resolve_focal(photo_of(width=4000, height=3000), focal=35)
    with pytest.raises(CameraError, match="180"):
        resolve_focal(photo_of(), fov=181)


def test_sidecar_forms(tmp_path) -> None:
    photo = read_photo(save(tmp_path / "a.jpg"))
    sidecar = tmp_path / "a.camera.json"

    def read(content: object) -> FocalHint:
        sidecar.write_text(json.dumps(content))
        return resolve_focal(photo)

    assert read({"focal35_mm": 50}).focal_px == pytest.approx(50 / FILM * 500)
    assert read({"fov_deg": 90}).focal_px == pytest.approx(200)
    found = read({"K": [[640, 0, 190], [0, 640.0, 160], [0, 0, 1]]})
    assert (found.focal_px, found.principal_px, found.source) == (640.0, (190.0, 160.0), "sidecar")
    sidecar.write_bytes(b"\xef\xbb\xbf" + b'{"focal_px": 300}')  # Windows editors write a byte-order mark
    assert resolve_focal(photo).focal_px == 300


@pytest.mark.parametrize(
    "content",
    [
        "not json",
        "[1, 2]",
        "{}",
        '{"focal": 500}',
        '{"focal_px": 500, "fov_deg": 60}',
        '{"focal_px": "500"}',
        '{"focal_px": true}',
        '{"focal_px": -1}',
        '{"focal_px": NaN}',
        '{"fov_deg": 200}',
        '{"K": [[1, 2], [3, 4]]}',
        '{"K": 5}',
        '{"K": [[500, 0, 200], [0, 700, 150], [0, 0, 1]]}',
        '{"K": [[500, 3, 200], [0, 500, 150], [0, 0, 1]]}',
        '{"K": [[-500, 0, 200], [0, -500, 150], [0, 0, 1]]}',
        "\xff\xfe",
        "[" * 100_000,
    ],
)
def test_wrong_sidecars_are_named(tmp_path, content) -> None:
    photo = read_photo(save(tmp_path / "a.jpg"))
    (tmp_path / "a.camera.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(CameraError, match=r"a\.camera\.json"):
        resolve_focal(photo)


def test_a_sidecar_of_another_size_is_scaled(tmp_path) -> None:
    """The picture is 400 x 300."""
    photo = read_photo(save(tmp_path / "a.jpg"))
    sidecar = tmp_path / "a.camera.json"

    def read(**content: object) -> FocalHint:
        sidecar.write_text(json.dumps(content))
        return resolve_focal(photo)

    found = read(K=[[1600, 0, 780], [0, 1600, 610], [0, 0, 1]], width=1600, height=1200)
    assert found.focal_px == pytest.approx(400) and found.principal_px == pytest.approx((195, 152.5))
    assert read(focal_px=1600, width=1600, height=1200).focal_px == pytest.approx(400)
    assert read(fov_deg=90, width=1600, height=1200).focal_px == pytest.approx(200), "angles have no size"
    cropped = read(K=[[1600, 0, 800], [0, 1600, 600], [0, 0, 1]], width=400, height=300)
    assert cropped.focal_px == 1600 and cropped.principal_px == (800, 600)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            {"K": [[1600, 0, 800], [0, 1600, 600], [0, 0, 1]]},
            "the middle of a picture of 1600 x 1200; this one is 400 x 300",
        ),
        ({"K": [[100, 0, 100], [0, 100, 75], [0, 0, 1]]}, "the middle of a picture of 200 x 150"),
        ({"focal_px": 500, "width": 300, "height": 400}, "cropped or turned"),
        ({"focal_px": 500, "width": 400}, "two positive numbers"),
        ({"focal_px": 500, "width": 400, "height": 0}, "two positive numbers"),
        ({"focal_px": 500, "width": "400", "height": 300}, "two positive numbers"),
    ],
)
def test_sidecars_of_other_pictures_are_refused(tmp_path, content, says) -> None:
    photo = read_photo(save(tmp_path / "a.jpg"))
    (tmp_path / "a.camera.json").write_text(json.dumps(content))
    with pytest.raises(CameraError, match=says):
        resolve_focal(photo)


@pytest.mark.parametrize(
    ("size", "orientation", "x", "y", "focal35", "pixels", "cropped"),
    [
        ((400, 300), 1, 1600, 1200, 26, 26 / FILM * 500, False),
        ((400, 300), 1, 800, 600, 26, 26 / FILM * 500, False),
        ((300, 300), 1, 400, 300, 26, 26 / FILM * 500, True),
        ((300, 200), 6, 400, 300, 26, 26 / FILM * 500, True),
        ((120, 290), 1, 400, 300, 26, 26 / FILM * 500, True),
        ((900, 300), 1, 400, 300, 26, 26 / FILM * math.hypot(900, 300), False),
    ],
    ids=["resized", "halved", "square", "turned", "a strip", "of something else"],
)
def test_cropping_keeps_the_focal_length_in_pixels(tmp_path, size, orientation, x, y, focal35, pixels, cropped) -> None:
    photo = read_photo(save(tmp_path / "a.jpg", size, orientation, x=x, y=y, focal35=focal35))
    assert photo.hint is not None and photo.hint.focal_px == pytest.approx(pixels)
    assert ("cropped after capture (from 400 x 300)" in " ".join(photo.warnings)) == cropped
    assert ("captured 400 x 300" in photo.hint.detail) == cropped


@pytest.mark.parametrize("resolution", [1e-300, IFDRational(1, 4294967295), 5e-324, 1e300])
def test_sensor_numbers_out_of_range_are_ignored_with_a_warning(tmp_path, resolution) -> None:
    photo = read_photo(save(tmp_path / "a.jpg", focal=5.0, resolution=resolution, unit=2))
    assert photo.hint is None and "cannot be" in photo.warnings[0]


@pytest.mark.parametrize(
    "content",
    [
        '{"focal_px": 1' + "0" * 400 + "}",
        '{"fov_deg": 1e-322}',
        '{"K": [[1' + "0" * 400 + ", 0, 50], [0, 1, 50], [0, 0, 1]]}",
        '{"focal35_mm": 1e308}',
        '{"focal_px": ' + "[" * 100_000,
        '{"focal_px": 500, "width": 1' + "0" * 400 + ', "height": 5}',
    ],
    ids=["integer", "field of view", "K", "millimetres", "nested", "size"],
)
def test_sidecar_numbers_out_of_range_are_named(tmp_path, content) -> None:
    (tmp_path / "a.camera.json").write_text(content)
    with pytest.raises(CameraError, match=r"a\.camera\.json"):
        resolve_focal(photo_of(str(tmp_path / "a.jpg")))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_sidecars_with_byte_order_marks(tmp_path, encoding) -> None:
    (tmp_path / "a.camera.json").write_bytes('{"focal_px": 450}'.encode(encoding))
    assert resolve_focal(photo_of(str(tmp_path / "a.jpg"))).focal_px == 450
