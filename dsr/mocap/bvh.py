"""BVH motion capture: a strict, fast reader and forward kinematics.

Convention: a joint's local rotation is the product of its channels' elementary rotations in the order of the file
(``Zrotation Xrotation Yrotation`` gives ``Rz @ Rx @ Ry``) and acts on column vectors; angles in files are degrees.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from dsr.errors import DatasetError

_SHORTEST_S, _LONGEST_S = 1e-5, 1e4  # of a frame; beyond, a number is damaged
_CHANNELS = ("xposition", "yposition", "zposition", "xrotation", "yrotation", "zrotation")
_MAX_JOINTS = 4096


@dataclass(frozen=True)
class Motion:
    """One clip of motion capture on its own skeleton.

    Attributes:
        joint_names: J names, parents before children.
        parents: (J,) index of each joint's parent, -1 for the root.
        offsets_m: (J, 3) rest offset from the parent, metres.
        end_sites: joint index -> (3,) offset of its end site, metres (the first, where a joint has several).
        rotations: (T, J, 3, 3) local rotations.
        root_position_m: (T, 3) position of the root, metres.
        fps: frames per second.
        channels: for each joint its channel names as the file gives them.
        name: where the clip came from, for messages.
    """

    joint_names: tuple[str, ...]
    parents: np.ndarray
    offsets_m: np.ndarray
    end_sites: dict[int, np.ndarray]
    rotations: np.ndarray
    root_position_m: np.ndarray
    fps: float
    channels: tuple[tuple[str, ...], ...]
    name: str = ""

    def __len__(self) -> int:
        return len(self.rotations)

    def index(self, joint: str) -> int:
        """Index of a joint by name; DatasetError when the skeleton has no such joint."""
        try:
            return self.joint_names.index(joint)
        except ValueError:
            raise DatasetError(
                f"{self.name or 'the motion'} has no joint named {joint!r}; its joints are "
                f"{', '.join(self.joint_names[:60])}."
            ) from None

    def every(self, stride: int, start: int = 0) -> Motion:
        """The same clip with one frame in ``stride`` kept, from frame ``start`` on."""
        return replace(
            self,
            rotations=self.rotations[start::stride],
            fps=self.fps / stride,
            root_position_m=self.root_position_m[start::stride],
        )

    def world(self) -> tuple[np.ndarray, np.ndarray]:
        """Forward kinematics.

        Returns:
            (T, J, 3, 3) world rotations and (T, J, 3) world positions in metres.
        """
        rotations = np.empty_like(self.rotations)
        positions = np.empty((*self.rotations.shape[:2], 3))
        for joint, parent in enumerate(self.parents):
            if parent < 0:
                rotations[:, joint] = self.rotations[:, joint]
                positions[:, joint] = self.root_position_m
            else:
                rotations[:, joint] = rotations[:, parent] @ self.rotations[:, joint]
                positions[:, joint] = positions[:, parent] + rotations[:, parent] @ self.offsets_m[joint]
        return rotations, positions


@dataclass
class _Skeleton:
    """What the HIERARCHY block holds, in the file's units."""

    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[list[float]] = field(default_factory=list)
    channels: list[tuple[str, ...]] = field(default_factory=list)
    end_sites: dict[int, list[float]] = field(default_factory=dict)


def read_bvh(path: str | Path, unit_m: float = 0.01, stride: int = 1, max_bytes: int = 1 << 29) -> Motion:
    """Read a BVH file.

    The root's position channels are its position (its OFFSET counts only for axes without a channel, as Blender reads
    it); position channels of other joints are skipped: bones keep the length of their OFFSET.

    Args:
        path: the file.
        unit_m: length of one unit of the file in metres (0.01: centimetres).
        stride: keep one frame in this many.
        max_bytes: larger files are refused.

    Returns:
        The motion.

    Raises:
        DatasetError: if the file is missing, too large or not a complete BVH file; the message names file and line.
    """
    path = Path(path)
    if stride < 1:
        raise DatasetError(f"the stride of {path} must be 1 or more, not {stride}.")
    try:
        if path.stat().st_size > max_bytes:
            raise DatasetError(f"{path} is larger than {max_bytes >> 20} MiB; split the clip or raise max_bytes.")
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}.") from error
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    skeleton, line = _read_hierarchy(path, lines)
    frame_time, values = _read_motion(path, lines, line, sum(map(len, skeleton.channels)))
    return _to_motion(path, skeleton, frame_time, values[::stride], unit_m, stride)


def _fail(path: Path, line: int, what: str) -> NoReturn:
    """Raise for the zero-based line."""
    raise DatasetError(f"{path}, line {line + 1}: {what}; the file is not a complete BVH file, export it again.")


def _numbers(path: Path, line: int, words: list[str], count: int) -> list[float]:
    """Exactly ``count`` finite numbers."""
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        _fail(path, line, f"expected {count} numbers, found {' '.join(words)[:60]!r}")
    if len(numbers) != count or not np.isfinite(numbers).all():
        _fail(path, line, f"expected {count} numbers, found {' '.join(words)[:60]!r}")
    return numbers


def _read_hierarchy(path: Path, lines: list[str]) -> tuple[_Skeleton, int]:
    """Parse up to and without the MOTION line; returns the skeleton and the index of that line."""
    skeleton = _Skeleton()
    stack: list[int] = []  # open braces: joint index, or -1 for an end site
    pending: int | None = None  # the joint or end site whose brace must come next
    started = False
    for number, raw in enumerate(lines):
        words = raw.replace("{", " { ").replace("}", " } ").split()
        while words:
            key = words[0].upper()
            if not started:
                if key != "HIERARCHY":
                    _fail(path, number, f"expected HIERARCHY, found {raw.strip()[:60]!r}")
                started, words = True, words[1:]
            elif key == "{":
                if pending is None:
                    _fail(path, number, "a brace opens without a joint")
                stack.append(pending)
                pending, words = None, words[1:]
            elif pending is not None:
                _fail(path, number, f"expected '{{', found {words[0][:60]!r}")
            elif key == "}":
                if not stack:
                    _fail(path, number, "a brace closes that was never opened")
                stack.pop()
                words = words[1:]
            elif key == "MOTION":
                if stack or not skeleton.names:
                    _fail(path, number, "MOTION comes before the skeleton is complete")
                _check_skeleton(path, number, skeleton)
                return skeleton, number
            elif key in ("ROOT", "JOINT"):
                # A name may hold spaces; it ends with the line or at the brace.
                end = words.index("{") if "{" in words else len(words)
                if (key == "ROOT") != (not stack) or (stack and stack[-1] < 0) or end < 2:
                    _fail(path, number, f"a {key} is not allowed here or has no name")
                if key == "ROOT" and skeleton.names:
                    _fail(path, number, "a second ROOT; files with several skeletons are not supported")
                if len(skeleton.names) >= _MAX_JOINTS:
                    _fail(path, number, f"more than {_MAX_JOINTS} joints")
                pending = len(skeleton.names)
                skeleton.names.append(" ".join(words[1:end]))
                skeleton.parents.append(stack[-1] if stack else -1)
                skeleton.offsets.append([])
                skeleton.channels.append(())
                words = words[end:]
            elif key == "END" and len(words) > 1 and words[1].upper() == "SITE":
                if not stack or stack[-1] < 0:
                    _fail(path, number, "an End Site is not allowed here")
                pending, words = -1, words[words.index("{") if "{" in words else len(words) :]
            elif key == "OFFSET" and stack:
                offset = _numbers(path, number, words[1:4], 3)
                if stack[-1] >= 0:
                    skeleton.offsets[stack[-1]] = offset
                else:
                    joint = next(index for index in reversed(stack) if index >= 0)
                    skeleton.end_sites.setdefault(joint, offset)
                words = words[4:]
            elif key == "CHANNELS" and stack and stack[-1] >= 0:
                count = int(_numbers(path, number, words[1:2], 1)[0])
                channels = tuple(words[2 : 2 + count])
                if not 0 <= count <= 6 or len(channels) != count or not {c.lower() for c in channels} <= {*_CHANNELS}:
                    _fail(path, number, f"channels not understood: {raw.strip()[:120]!r}")
                if len({c.lower() for c in channels}) != count:
                    _fail(path, number, "a channel is named twice")
                skeleton.channels[stack[-1]] = channels
                words = words[2 + count :]
            else:
                _fail(path, number, f"not understood: {raw.strip()[:60]!r}")
    _fail(path, len(lines) - 1, "the file ends without a MOTION block" if started else "the file is empty")


def _check_skeleton(path: Path, line: int, skeleton: _Skeleton) -> None:
    missing = [name for name, offset in zip(skeleton.names, skeleton.offsets, strict=True) if not offset]
    if missing:
        _fail(path, line, f"joint {missing[0]!r} has no OFFSET")


def _read_motion(path: Path, lines: list[str], line: int, channels: int) -> tuple[float, np.ndarray]:
    """Frame time in seconds and the (T, channels) values below the MOTION line."""
    header: dict[str, float] = {}
    while len(header) < 2:
        line += 1
        if line >= len(lines):
            _fail(path, len(lines) - 1, "the MOTION block ends before 'Frames:' and 'Frame Time:'")
        if not lines[line].strip():
            continue
        key, _, value = lines[line].partition(":")
        key = " ".join(key.lower().split())
        if key not in ("frames", "frame time"):
            _fail(path, line, f"expected 'Frames:' or 'Frame Time:', found {lines[line].strip()[:60]!r}")
        header[key] = _numbers(path, line, value.split(), 1)[0]
    frames, frame_time = int(header["frames"]), header["frame time"]
    if frames < 0 or frames != header["frames"] or not _SHORTEST_S <= frame_time <= _LONGEST_S:
        _fail(path, line, f"{header['frames']:g} frames of {frame_time:g} s make no sense")
    body = lines[line + 1 :]
    rows = sum(1 for row in body if row and not row.isspace())
    if rows != frames:
        _fail(path, len(lines) - 1, f"the header promises {frames} frames but {rows} rows of numbers follow")
    if frames == 0 or channels == 0:
        return frame_time, np.zeros((frames, channels))
    with warnings.catch_warnings():  # numpy stops with a warning or an error at something that is no number
        warnings.simplefilter("error", DeprecationWarning)
        try:
            values = np.fromstring("\n".join(body), sep=" ")
        except (DeprecationWarning, ValueError):
            values = np.empty(0)
    if values.size != frames * channels or not np.isfinite(values).all():
        for number, row in enumerate(body, line + 1):
            if row and not row.isspace():
                _numbers(path, number, row.split(), channels)
        _fail(path, len(lines) - 1, f"{values.size} numbers for {frames} frames of {channels} channels")
    return frame_time, values.reshape(frames, channels)


def _to_motion(
    path: Path, skeleton: _Skeleton, frame_time: float, values: np.ndarray, unit_m: float, stride: int
) -> Motion:
    """Channel values to rotation matrices and metres."""
    frames, joints = len(values), len(skeleton.names)
    rotations = np.tile(np.eye(3), (frames, joints, 1, 1))
    root = np.tile(np.array(skeleton.offsets[0]), (frames, 1))
    column = 0
    for joint, channels in enumerate(skeleton.channels):
        for channel in channels:
            axis, value = _CHANNELS.index(channel.lower()), values[:, column]
            column += 1
            if axis >= 3:
                rotations[:, joint] = rotations[:, joint] @ _elementary(axis - 3, np.deg2rad(value))
            elif joint == 0:
                root[:, axis] = value
    fps = 1.0 / frame_time
    if abs(fps - round(fps)) < 1e-3 * fps and round(fps) > 0:
        fps = float(round(fps))  # frame times are written with few digits: 0.0166667 s is 60 fps
    return Motion(
        joint_names=tuple(skeleton.names),
        parents=np.array(skeleton.parents, dtype=np.int64),
        offsets_m=np.array(skeleton.offsets) * unit_m,
        end_sites={joint: np.array(offset) * unit_m for joint, offset in skeleton.end_sites.items()},
        rotations=rotations,
        root_position_m=root * unit_m,
        fps=fps / stride,
        channels=tuple(skeleton.channels),
        name=str(path),
    )


def _elementary(axis: int, angle: np.ndarray) -> np.ndarray:
    """Rotations about one coordinate axis, (T, 3, 3)."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.zeros((len(angle), 3, 3))
    matrix[:, axis, axis] = 1.0
    matrix[:, i, i] = matrix[:, j, j] = np.cos(angle)
    matrix[:, j, i] = np.sin(angle)
    matrix[:, i, j] = -matrix[:, j, i]
    return matrix
