"""What ``pipeline.py`` compares ``dsr-fit`` with, each in a process of its own.

    python benchmarks/_naive_loops.py calls|generator|stages FOLDER OUT QUALITY

``calls`` asks the Python interface for one picture after the other, ``generator`` asks once for all of them, one at a
time, as a user would write it first; both write the files that ``dsr-fit`` writes. ``stages`` is the chain in one
thread. The last line is JSON: seconds after the start at which each picture was done, or processor seconds per stage
and picture.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

STARTED = time.perf_counter()


def loop(kind: str, paths: list[Path], out: Path, quality: str) -> list[float]:
    """Seconds after the start when each picture was done."""
    import dsr
    from dsr.body import load_asset
    from dsr.camera import PictureCamera
    from dsr.export import write_person

    asset, options, times = load_asset("open"), dsr.FitOptions(quality=quality), []  # type: ignore[arg-type]

    def results() -> Iterator[dsr.FitResult]:
        if kind == "generator":
            yield from dsr.fit_images(paths, options, jobs=1)
        else:
            for path in paths:
                yield from dsr.fit_images(path, options, jobs=1)

    for result in results():
        stem = Path(result.input_path).stem
        for person in result.people:
            camera = PictureCamera(result.K, result.image_size)
            write_person(person, asset, camera, out / f"{stem}.{person.id}.glb", "glb", "camera")
        dsr.results.save_result(result, out / f"{stem}.json")
        times.append(time.perf_counter() - STARTED)
    return times


def stages(paths: list[Path], out: Path, quality: str) -> dict[str, float]:
    """The processor's seconds per picture and stage, in one thread."""
    import torch

    import dsr
    from dsr.pipeline.inputs import InputPicture
    from dsr.pipeline.output_folder import OutputFolder
    from dsr.pipeline.output_options import OutputOptions
    from dsr.pipeline.picture_fitter import Fitter

    torch.set_num_threads(1)
    options = dsr.FitOptions(quality=quality)  # type: ignore[arg-type]
    fitter = Fitter(options, keep_pictures=True, jobs=64)
    fitter.prepare()
    spent: dict[str, float] = {}
    last = 0.0

    def lap(stage: str) -> None:
        nonlocal last
        now = time.process_time()
        spent[stage] = spent.get(stage, 0.0) + now - last
        last = now

    fitter.on_stage = lap
    folder = OutputFolder(out, options, OutputOptions())
    folder.make()
    folder.add_body(fitter.body.asset)
    for k, path in enumerate([paths[0], *paths]):
        if k == 1:
            spent.clear()
        last = time.process_time()
        result = fitter.fit(path)
        lap("floor")
        folder.write(result, InputPicture(path), path.stem, fitter.body)
        lap("write")
    return {stage: seconds / len(paths) for stage, seconds in spent.items()}


if __name__ == "__main__":
    kind, source, target, quality = sys.argv[1:]
    Path(target).mkdir(parents=True, exist_ok=True)
    pictures = sorted(Path(source).iterdir())
    done = (stages if kind == "stages" else lambda *rest: loop(kind, *rest))(pictures, Path(target), quality)
    sys.stdout.write(json.dumps(done) + "\n")
