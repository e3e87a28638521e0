"""Times the body layer against smplx on the same asset and prints the ratio: python benchmarks/body_layer.py."""

from __future__ import annotations

import argparse
import contextlib
import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix

from dsr.body import Body, BodyAsset, load_asset
from dsr.body.joints import SMPL24_NAMES, SMPL24_PARENTS


def smplx_model(asset: BodyAsset, dtype: torch.dtype = torch.float32) -> Any:
    """The same body as an ``smplx.SMPL`` object, built in memory.

    smplx cuts the shape space to 10 unless it is 300 wide, and needs pose correctives: both are padded with zeros.
    """
    import smplx
    from smplx.utils import Struct

    v, b = asset.num_vertices, asset.num_betas
    shapedirs = np.zeros((v, 3, 300), np.float64)
    shapedirs[:, :, :b] = asset.shapedirs
    struct = Struct(
        v_template=asset.v_template.astype(np.float64),
        shapedirs=shapedirs,
        posedirs=np.zeros((v, 3, 9 * (asset.num_joints - 1))) if asset.posedirs is None else asset.posedirs,
        J_regressor=asset.J_regressor.toarray(),
        weights=asset.weights,
        kintree_table=np.stack((asset.parents, np.arange(asset.num_joints))),
        f=asset.faces,
    )
    faces = dict.fromkeys(("nose", "reye", "leye", "rear", "lear"), 0)
    extras = {"use_hands": False, "use_feet_keypoints": False}
    with contextlib.redirect_stdout(io.StringIO()):
        return smplx.SMPL("", data_struct=struct, vertex_ids=faces, num_betas=b, dtype=dtype, **extras)


def smpl_size_asset() -> BodyAsset:
    """A made-up body of SMPL's size: 6890 vertices, 10 betas, pose correctives, 4 influences."""
    rng = np.random.default_rng(0)
    v, j = 6890, 24
    weights = np.zeros((v, j), np.float32)
    np.put_along_axis(weights, rng.integers(0, j, (v, 4)), rng.random((v, 4), np.float32) + 0.1, 1)
    rows, columns = np.repeat(np.arange(j), 20), rng.integers(0, v, 20 * j)
    return BodyAsset(
        v_template=rng.normal(size=(v, 3)).astype(np.float32),
        shapedirs=(0.01 * rng.normal(size=(v, 3, 10))).astype(np.float32),
        posedirs=(0.01 * rng.normal(size=(v, 3, 207))).astype(np.float32),
        weights=weights / weights.sum(1, keepdims=True),
        parents=np.array(SMPL24_PARENTS),
        faces=rng.integers(0, v, (13776, 3)).astype(np.int32),
        J_regressor=csr_matrix((np.full(20 * j, 0.05, np.float32), (rows, columns)), shape=(j, v)),
        joint_names=SMPL24_NAMES,
        name="smpl-size",
    )


def milliseconds(first: Callable[[], object], second: Callable[[], object], rounds: int = 30) -> tuple[float, float]:
    """Best time of one call of each, called in turn so that other work on the machine hits both alike."""
    times: tuple[list[float], list[float]] = ([], [])
    for work in (first, second) * 3:
        work()
    for _ in range(rounds):
        for work, taken in zip((first, second), times, strict=True):
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
    return 1000 * min(times[0]), 1000 * min(times[1])


def compare(asset: BodyAsset, batch: int, backward: bool) -> tuple[float, float]:
    """Milliseconds of ours and of smplx for one forward pass, or one forward and backward pass."""
    generator = torch.Generator().manual_seed(0)
    sizes = (asset.num_betas, 3 * (asset.num_joints - 1), 3, 3)
    betas, pose, orient, transl = (
        (0.3 * torch.randn(batch, n, generator=generator)).requires_grad_(backward) for n in sizes
    )

    def run(model: Any) -> None:
        with torch.set_grad_enabled(backward):
            output = model(betas=betas, body_pose=pose, global_orient=orient, transl=transl)
            if backward:
                torch.autograd.grad(output.vertices.sum() + output.joints.sum(), (betas, pose, orient, transl))

    ours, reference = Body(asset), smplx_model(asset)
    return milliseconds(lambda: run(ours), lambda: run(reference))


def main() -> None:
    """Print one line per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args().threads)
    print(f"{'body':<12}{'batch':>6}  {'pass':<18}{'dsr ms':>8}{'smplx ms':>10}{'smplx / dsr':>13}")
    for asset in (load_asset("open"), load_asset("open-light"), smpl_size_asset()):
        for batch in (1, 32):
            for backward in (False, True):
                ours, reference = compare(asset, batch, backward)
                label = "forward + backward" if backward else "forward"
                times = f"{ours:>8.2f}{reference:>10.2f}{reference / ours:>12.1f}x"
                print(f"{asset.name:<12}{batch:>6}  {label:<18}{times}")


if __name__ == "__main__":
    main()
