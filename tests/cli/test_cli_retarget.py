"""dsr-retarget from the outside: a result and a character in, a copy of the character out."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from dsr.body import load_asset
from dsr.cli.retarget import main
from dsr.export.carried.pose_transfer import body_frame
from dsr.export.movements import movement_of
from dsr.export.retarget_files import read_rig
from dsr.results import load_result

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "export"), str(TESTS / "blender_addon")]
from retarget_toys import Character, write_bvh, write_glb  # noqa: E402
from sample_results import write_clip, write_picture  # noqa: E402


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    light = load_asset("open-light")
    picture, _, _ = write_picture(folder, 2, asset=light)
    clip = write_clip(folder, 20, 2, light)
    return picture, clip


def test_a_photo_on_a_character(results, tmp_path, capsys):
    rig = write_glb(Character("mixamo A"), tmp_path / "rig.glb")
    out = tmp_path / "out.glb"
    assert main([str(results[0]), "--to", str(rig), "--out", str(out), "--person", "p1"]) == 0
    assert "1 frame on 22 bones" in capsys.readouterr().out
    result = load_result(results[0])
    movement = movement_of(result.people[1], load_asset("open-light"))
    posed = read_rig(out).rig
    at = {name: posed.rest[k, :3, 3] for k, name in enumerate(posed.names)}
    own = at["mixamorig:RightForeArm"] - at["mixamorig:RightArm"]
    true = (
        movement.positions[0, movement.names.index("right_elbow")]
        - movement.positions[0, movement.names.index("right_shoulder")]
    )
    assert own @ true / np.linalg.norm(own) / np.linalg.norm(true) > np.cos(np.radians(2))
    assert np.allclose(body_frame(read_rig(rig).rig.skeleton(read_rig(rig).bone_map())), np.eye(3))


def test_the_file_is_named_after_result_and_person(results, tmp_path):
    rig = write_bvh(Character("bvh"), tmp_path / "rig.bvh")
    assert main([str(results[1]), "--to", str(rig), "--person", "p1"]) == 0
    assert (results[1].parent / "clip.p1.bvh").read_text().count("\n") > 16


def test_a_map_is_written_edited_and_read(results, tmp_path, capsys):
    rig = write_glb(Character("unreal"), tmp_path / "rig.glb")
    table = tmp_path / "map.json"
    assert main([str(results[0]), "--to", str(rig), "--save-map", str(table)]) == 0
    bones = json.loads(table.read_text())
    assert bones["left_knee"] == "calf_l" and not list(results[0].parent.glob("*.glb"))
    for change, words in (({"left_knee": "shin_l"}, "no bones named shin_l"), ({"left_knee": ""}, "left_knee")):
        table.write_text(json.dumps(bones | change))
        assert (
            main([str(results[0]), "--to", str(rig), "--bone-map", str(table), "--out", str(tmp_path / "o.glb")]) == 2
        )
        assert words in capsys.readouterr().err
    table.write_text("[1]")
    assert main([str(results[0]), "--to", str(rig), "--bone-map", str(table)]) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "nothing.glb"], "There is no file nothing.glb"),
        (["--to", "rig.obj"], "cannot be a character to retarget to"),
        (["--to", "{rig}", "--out", "x.fbx"], "ends in .glb"),
        (["--to", "{rig}", "--out", "{rig}"], "is the character itself"),
        (["--to", "{rig}", "--person", "p7"], "has p0, p1"),
        (["--to", "{broken}"], "cannot be read as binary glTF"),
    ],
)
def test_what_cannot_be_done_is_said(results, tmp_path, capsys, arguments, words):
    rig = write_glb(Character("mixamo T"), tmp_path / "rig.glb")
    (tmp_path / "broken.glb").write_bytes(b"glTF" + bytes(50))
    filled = [a.format(rig=rig, broken=tmp_path / "broken.glb") for a in arguments]
    assert main([str(results[0]), *filled]) == 2
    assert words in capsys.readouterr().err
