"""A skeleton of the CMU/Daz kind with invented motion, and a BVH writer, for tests."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from dsr.mocap.bvh import Motion

SIDE = {  # name: (parent, offset of the left one in centimetres)
    "Collar": ("chest", (2.7, 19.3, -4.9)),
    "Shldr": ("lCollar", (8.8, -2.0, 1.5)),
    "ForeArm": ("lShldr", (28.2, -1.7, 0.5)),
    "Hand": ("lForeArm", (22.6, 0.8, 7.1)),
    "Index1": ("lHand", (7.8, 0.9, 5.6)),
    "Mid1": ("lHand", (8.2, 1.2, 3.4)),
    "Pinky1": ("lHand", (8.3, -0.05, -0.5)),
    "Buttock": ("hip", (8.8, 4.4, 1.2)),
    "Thigh": ("lButtock", (0, -1.7, -2.2)),
    "Shin": ("lThigh", (0, -36.8, 0.7)),
    "Foot": ("lShin", (-0.7, -45.1, -5.1)),
}
CENTRE = {
    "hip": (None, (0, 0, 0)),
    "abdomen": ("hip", (0, 20.7, -0.7)),
    "chest": ("abdomen", (0, 11.7, -0.5)),
    "neck": ("chest", (0, 22.2, -2.2)),
    "head": ("neck", (-0.2, 7.1, 1.2)),
}


def toy_motion(frames: int = 20, spread: float = 0.6, seed: int = 0, fps: float = 60.0) -> Motion:
    """Random local rotations of about ``spread`` radians per joint."""
    names, parents, offsets = [], [], []
    for name, (parent, offset) in CENTRE.items():
        names.append(name)
        parents.append(-1 if parent is None else names.index(parent))
        offsets.append(offset)
    for prefix, sign in (("r", -1), ("l", 1)):
        for name, (parent, offset) in SIDE.items():
            names.append(prefix + name)
            parents.append(names.index(prefix + parent[1:] if parent.startswith("l") else parent))
            offsets.append((sign * offset[0], *offset[1:]))
    rng = np.random.default_rng(seed)
    vectors = spread * rng.normal(size=(frames * len(names), 3)) / np.sqrt(3)
    ends = {names.index(p + "Foot"): np.array([s * 0.011, -0.037, 0.121]) for p, s in (("r", -1), ("l", 1))}
    return Motion(
        tuple(names),
        np.array(parents),
        np.array(offsets) / 100,
        ends,
        Rotation.from_rotvec(vectors).as_matrix().reshape(frames, len(names), 3, 3),
        rng.normal(size=(frames, 3)) * 0.2 + [0, 0.9, 0],
        fps,
        (("Xposition", "Yposition", "Zposition", "Zrotation", "Yrotation", "Xrotation"),)
        + (("Zrotation", "Xrotation", "Yrotation"),) * (len(names) - 1),
        "toy",
    )


def write_bvh(motion: Motion, newline: str = "\n") -> str:
    """The text of a BVH file, in centimetres and degrees."""
    lines = ["HIERARCHY"]

    def visit(joint: int, depth: int) -> None:
        pad = "\t" * depth
        x, y, z = motion.offsets_m[joint] * 100
        channels = motion.channels[joint]
        lines.extend(
            [
                f"{pad}{'JOINT' if depth else 'ROOT'} {motion.joint_names[joint]}",
                f"{pad}{{",
                f"{pad}\tOFFSET {x:.6f} {y:.6f} {z:.6e}",
                f"{pad}\tCHANNELS {len(channels)} {' '.join(channels)}",
            ]
        )
        children = [child for child, parent in enumerate(motion.parents) if parent == joint]
        for child in children:
            visit(child, depth + 1)
        if not children:
            end = motion.end_sites.get(joint, np.array([0, 0, 0.01])) * 100
            lines.extend(
                [f"{pad}\tEnd Site", f"{pad}\t{{", f"{pad}\t\tOFFSET {end[0]} {end[1]} {end[2]}", f"{pad}\t}}"]
            )
        lines.append(f"{pad}}}")

    visit(0, 0)
    lines += ["MOTION", f"Frames: {len(motion)}", f"Frame Time: {1 / motion.fps:.7f}"]
    columns = []
    for joint, channels in order(motion):
        rotation = [c for c in channels if c.endswith("rotation")]
        axes = "".join(channel[0] for channel in rotation)
        angles = Rotation.from_matrix(motion.rotations[:, joint]).as_euler(axes, degrees=True)
        for channel in channels:
            if channel.endswith("position"):
                columns.append(motion.root_position_m[:, "XYZ".index(channel[0])] * 100)
            else:
                columns.append(angles[:, rotation.index(channel)])
    lines += [" ".join(f"{value:.7f}" for value in row) for row in np.stack(columns, -1)]
    return newline.join(lines) + newline


def order(motion: Motion) -> list[tuple[int, tuple[str, ...]]]:
    """Joints depth first, as the file lists them."""
    found: list[int] = []

    def visit(joint: int) -> None:
        found.append(joint)
        for child, parent in enumerate(motion.parents):
            if parent == joint:
                visit(child)

    visit(0)
    return [(joint, motion.channels[joint]) for joint in found]
