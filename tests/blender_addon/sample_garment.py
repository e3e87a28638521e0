"""A vest of MakeHuman's format made of the open body's own quads, its skin, and the model that dsr makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsr.body import BodyAsset, load_asset
from dsr.synthetic.garment_model import write_garment


def write_vest(folder: Path) -> Path:
    """``clothes/vest/vest.mhclo`` with its mesh, and ``skins/tan/tan.mhmat``; the path of the garment."""
    body: BodyAsset = load_asset("open")
    own = folder / "clothes" / "vest"
    own.mkdir(parents=True)
    heights = body.v_template[body.quads][..., 1]
    wide = np.abs(body.v_template[body.quads][..., 0]).max(1) < 0.2
    quads = body.quads[(heights.min(1) > 0.05) & (heights.max(1) < 0.35) & wide]
    used, corners = np.unique(quads, return_inverse=True)
    index = body.base_index[used]
    lines = [f" {i} {i} {i} 1 0 0 0 0 0.1" for i in index]  # a centimetre before the skin
    hidden = " ".join(str(i) for i in index)
    head = "name vest\nobj_file vest.obj\nmaterial vest.mhmat\n"
    (own / "vest.mhclo").write_text(head + "verts 0\n" + "\n".join(lines) + f"\n\ndelete_verts\n{hidden}\n")
    places = "".join(f"v {x} {y} {z}\n" for x, y, z in body.v_template[used])
    faces = "".join(f"f {' '.join(str(c + 1) for c in row)}\n" for row in corners.reshape(-1, 4))
    (own / "vest.obj").write_text(places + faces)
    (own / "vest.mhmat").write_text("name vest\ndiffuseColor 0.2 0.3 0.4\n")
    skin = folder / "skins" / "tan"
    skin.mkdir(parents=True)
    (skin / "tan.mhmat").write_text("name tan\ndiffuseColor 0.5 0.4 0.3\ndiffuseTexture ../textures/none.png\n")
    return own / "vest.mhclo"


def write_models(folder: Path) -> None:
    """``garment_BODY.npz`` for the bodies that the checks dress."""
    vest = write_vest(folder)
    for name in ("open", "open-x", "open-light"):
        write_garment(vest, load_asset(name), folder / f"garment_{name}.npz")
