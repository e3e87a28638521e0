"""The BVH reader: round trip, conventions, and the broken files it must name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bvh_toys import toy_motion, write_bvh
from scipy.spatial.transform import Rotation

from dsr.errors import DatasetError
from dsr.mocap.bvh import read_bvh

SMALL = """HIERARCHY
ROOT hip
{
\tOFFSET 1.0 2.0 3e0
\tCHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation

\tJOINT left arm
\t{
\t\tOFFSET 0 10 0
\t\tCHANNELS 2 Yrotation Xrotation
\t\tEnd Site
\t\t{
\t\t\tOFFSET 0 5 0
\t\t}
\t}
}
MOTION
Frames:\t2
Frame Time: 0.0333333
0 100 0 90 0 0 0 0

1.5e1 +100 -0. 0 0 0 30 60
"""


def read(tmp_path: Path, text: str | bytes, **options: float):
    path = tmp_path / "clip.bvh"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_bvh(path, **options)


def test_by_hand(tmp_path: Path):
    motion = read(tmp_path, SMALL)
    assert motion.joint_names == ("hip", "left arm")
    assert motion.parents.tolist() == [-1, 0]
    assert motion.fps == 30
    assert motion.root_position_m == pytest.approx(np.array([[0, 1, 0], [0.15, 1, 0]]))
    assert motion.offsets_m[0] == pytest.approx([0.01, 0.02, 0.03])
    assert motion.end_sites[1] == pytest.approx([0, 0.05, 0])
    rotations, positions = motion.world()
    assert positions[0, 1] == pytest.approx([-0.1, 1, 0])  # the hip turned by 90 degrees about z
    expected = Rotation.from_euler("YX", [30, 60], degrees=True).as_matrix()  # in the order of the channels
    assert rotations[1, 1] == pytest.approx(expected)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_round_trip(tmp_path: Path, newline: str):
    motion = toy_motion(7)
    again = read(tmp_path, write_bvh(motion, newline))
    assert again.fps == 60
    places = [again.index(name) for name in motion.joint_names]
    ours, theirs = motion.world(), again.world()
    assert theirs[0][:, places] == pytest.approx(ours[0], abs=1e-6)
    assert theirs[1][:, places] == pytest.approx(ours[1], abs=1e-6)


def test_stride_keeps_every_second_frame(tmp_path: Path):
    text = write_bvh(toy_motion(9))
    whole, thinned = read(tmp_path, text), read(tmp_path, text, stride=2)
    assert len(thinned) == 5
    assert thinned.fps == 30
    assert np.array_equal(thinned.rotations, whole.rotations[::2])
    assert np.array_equal(whole.every(2).root_position_m, thinned.root_position_m)


def test_no_frames_and_byte_order_mark(tmp_path: Path):
    text = SMALL[: SMALL.index("0 100")].replace("Frames:\t2", "Frames: 0")
    assert len(read(tmp_path, b"\xef\xbb\xbf" + text.encode())) == 0


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ("HIERARCHY", "hello", 1, "HIERARCHY"),
        ("OFFSET 0 10 0", "OFFSET 0 ten 0", 9, "3 numbers"),
        ("OFFSET 0 10 0", "OFFSET 0 10", 9, "3 numbers"),
        ("OFFSET 0 10 0", "OFFSET 0 nan 0", 9, "3 numbers"),
        ("\t\tOFFSET 0 10 0\n", "", 16, "no OFFSET"),
        ("CHANNELS 2", "CHANNELS 3", 10, "channels"),
        ("Yrotation Xrotation\n\t\tEnd", "Yrotation Wrotation\n\t\tEnd", 10, "channels"),
        ("JOINT left arm", "JOINT", 7, "name"),
        ("\t\t}\n\t}\n}", "\t\t}\n\t}\n", 17, "before the skeleton is complete"),
        ("}\nMOTION", "}\n}\nMOTION", 17, "never opened"),
        ("MOTION\n", "", 17, "not understood"),
        (SMALL[SMALL.index("MOTION") :], "", 17, "without a MOTION"),
        ("Frames:\t2", "Frames:\t3", 23, "3 frames but 2 rows"),
        ("Frames:\t2", "Frames:\t1", 23, "1 frames but 2 rows"),
        ("Frames:\t2", "Frames: 2.5", 19, "no sense"),
        ("0.0333333", "0", 19, "no sense"),
        ("Frame Time: 0.0333333\n", "", 19, "Frame Time"),
        ("Frame Time: 0.0333333\n", "Frame Time: 1e-320\n", 19, "make no sense"),
        ("Frame Time: 0.0333333\n", "Frame Time: 1e300\n", 19, "make no sense"),
        ("0 0 0 30 60", "0 0 0 30", 22, "8 numbers"),
        ("0 0 0 30 60", "0 0 0 30 60 1", 22, "8 numbers"),
        ("0 0 0 30 60", "0 0 x 30 60", 22, "8 numbers"),
        ("0 0 0 30 60", "0 0 nan 30 60", 22, "8 numbers"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, old: str, new: str, line: int, reason: str):
    assert old in SMALL
    with pytest.raises(DatasetError, match=rf"clip\.bvh, line {line}: .*{reason}"):
        read(tmp_path, SMALL.replace(old, new))


def test_truncated_anywhere_is_an_error_not_a_crash(tmp_path: Path):
    text = write_bvh(toy_motion(2)).rstrip()
    last_row = text.rindex("\n")
    for end in [*range(0, last_row, 97), last_row]:
        with pytest.raises(DatasetError, match=r"clip\.bvh, line"):
            read(tmp_path, text[:end])


def test_empty_binary_missing_and_large(tmp_path: Path):
    with pytest.raises(DatasetError, match="empty"):
        read(tmp_path, "")
    with pytest.raises(DatasetError, match="HIERARCHY"):
        read(tmp_path, bytes(range(256)) * 8)
    with pytest.raises(DatasetError, match=r"nowhere\.bvh"):
        read_bvh(tmp_path / "nowhere.bvh")
    with pytest.raises(DatasetError, match="larger"):
        read(tmp_path, SMALL, max_bytes=100)


def test_deep_nesting_does_not_overflow_the_stack(tmp_path: Path):
    joint = "JOINT a { OFFSET 0 1 0 CHANNELS 1 Xrotation "
    deep = "HIERARCHY\n" + joint.replace("JOINT", "ROOT") + "\n" + (joint + "\n") * 3000 + "}" * 3001
    motion = read(tmp_path, deep + "\nMOTION\nFrames: 1\nFrame Time: 0.1\n" + "0 " * 3001)
    assert motion.world()[1][0, -1] == pytest.approx([0, 30.01, 0])
    with pytest.raises(DatasetError, match="more than"):
        read(tmp_path, "HIERARCHY\n" + joint.replace("JOINT", "ROOT") + "\n" + (joint + "\n") * 5000)


def test_unknown_joint_is_named(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"'tail'.*left arm"):
        read(tmp_path, SMALL).index("tail")
