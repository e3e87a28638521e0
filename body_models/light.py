"""The light variant of a baked body: fewer vertices on the same surface, everything else carried over."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from mesh import ADDED
from tpose import four_strongest

TARGET_FACES = 14000


def decimate(asset: dict[str, np.ndarray], template: np.ndarray, reference: np.ndarray) -> dict[str, np.ndarray]:
    """Quadric decimation; every new vertex is bound to a point on the full mesh, so that shapes and weights follow.

    Args:
        asset: arrays of the full asset.
        template: (V, 3) its mean shape in double precision, metres.
        reference: (V, 3) a body that does not depend on the shape space, so that triangles stay the same from bake to
            bake.
    """
    import fast_simplification
    import trimesh

    names = [str(name) for name in asset["part_names"]]
    kept = ~np.isin(asset["part_ids"], [names.index(part) for part in ADDED])  # it has no lashes and no teeth
    faces = asset["f"][kept]
    anny = slice(faces.max() + 1)
    points, new_faces = fast_simplification.simplify(reference[anny], faces, target_count=TARGET_FACES)
    mesh = trimesh.Trimesh(reference, faces, process=False)
    _, _, triangle = trimesh.proximity.closest_point(mesh, points)
    corners = reference[faces[triangle]]
    bary = np.clip(trimesh.triangles.points_to_barycentric(corners, points), 0, 1)
    bary /= bary.sum(1, keepdims=True)
    bind = sp.csr_matrix(
        (bary.ravel(), (np.repeat(np.arange(len(points)), 3), faces[triangle].ravel())),
        shape=(len(points), len(template)),
    )

    def carry(values: np.ndarray) -> np.ndarray:
        return np.asarray(bind @ values.reshape(len(template), -1)).reshape(len(points), *values.shape[1:])

    weights = four_strongest(carry(asset["weights"].astype(np.float64))).astype(np.float32)
    centre = reference[faces].mean(1)
    from scipy.spatial import cKDTree

    _, near = cKDTree(centre).query(points[new_faces].mean(1))
    uv_of_vertex = np.zeros((len(template), 2))
    uv_of_vertex[faces.ravel()] = asset["uv"][asset["f_uv"][kept].ravel()]
    out = {key: value for key, value in asset.items() if not key.startswith("quads")}
    out.update(
        name=np.array("open-light"),
        v_template=carry(template).astype(np.float32),
        shapedirs=carry(asset["shapedirs"].astype(np.float64)).astype(asset["shapedirs"].dtype),
        weights=weights,
        f=new_faces.astype(np.int32),
        uv=np.einsum("vk,vkc->vc", bary, asset["uv"][asset["f_uv"][kept][triangle]]).astype(np.float32),
        f_uv=new_faces.astype(np.int32),
        part_ids=asset["part_ids"][kept][near],
        interior=asset["interior"][kept][near],
        base_index=asset["base_index"][faces[triangle, np.argmax(bary, 1)]],
    )
    for key in [k for k in asset if k.endswith("_val")]:
        name = key[:-4]
        out.update(
            {
                f"{name}_{k}": v
                for k, v in _rebind(
                    asset,
                    name,
                    template,
                    out["v_template"].astype(np.float64),
                    *(x["shapedirs"].astype(np.float64) for x in (asset, out)),
                ).items()
            }
        )
    return out


def _rebind(
    asset: dict[str, np.ndarray],
    name: str,
    full: np.ndarray,
    light: np.ndarray,
    full_dirs: np.ndarray,
    light_dirs: np.ndarray,
) -> dict[str, np.ndarray]:
    """A regressor on the light vertices: the nearest ones, then the least change that keeps its point in all shapes."""
    from scipy.spatial import cKDTree

    shape = asset[f"{name}_shape"]
    row, col, val = (asset[f"{name}_{k}"] for k in ("row", "col", "val"))
    near = cKDTree(light).query(full[col])[1]
    moved = sp.csr_matrix((val, (row, near)), shape=(shape[0], len(light)))
    basis_full = np.concatenate(
        [full[..., None], full_dirs], -1
    )  # the point must agree for the template and every direction
    basis_light = np.concatenate([light[..., None], light_dirs], -1)
    exact = np.stack(
        [np.bincount(row, val * basis_full[col, c, k], shape[0]) for c in range(3) for k in range(basis_full.shape[2])],
        1,
    )
    rows, cols, vals = [], [], []
    for index in range(shape[0]):
        start = moved.getrow(index)
        columns, weight = start.indices, start.data.astype(np.float64)
        a = basis_light[columns].reshape(len(columns), -1).T
        a = np.concatenate([a, 10 * np.ones((1, len(columns)))])
        want = np.concatenate([exact[index], [10.0]])
        # damped least-norm correction
        weight = weight + a.T @ np.linalg.solve(a @ a.T + 1e-4 * np.eye(len(a)), want - a @ weight)
        weight /= weight.sum()
        rows.append(np.full(len(columns), index)), cols.append(columns), vals.append(weight)
    return {
        "row": np.concatenate(rows).astype(np.int32),
        "col": np.concatenate(cols).astype(np.int32),
        "val": np.concatenate(vals).astype(np.float32),
        "shape": np.array([shape[0], len(light)], dtype=np.int64),
    }
