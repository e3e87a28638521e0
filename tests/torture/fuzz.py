"""Coverage-guided fuzzing of every parser of the project, with a corpus that is kept.

    python -m pip install atheris
    python tests/torture/fuzz.py PARSER [--seconds 600] [--corpus DIR]
    python tests/torture/fuzz.py --list

A parser may read its input or refuse it with one of our errors; anything else, more than 20 seconds or 2 GB is a
finding: the input is left in the working directory, and the exit code is not 0. What found new ways through the code is
kept in DIR/PARSER; a test reads the kept inputs of ``tests/torture/corpus`` again.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
_SCRATCH = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112


def _seeds() -> dict[str, list[bytes]]:
    """Good inputs to begin with, per parser."""
    import pickle

    import numpy as np
    from bad_documents import camera_documents, person_documents
    from bad_models import hostile_archives, hostile_pickles, npy, small_smpl, zipped
    from bad_pictures import grey_png, seeds

    documents = person_documents("p.jpg", (96, 120))
    pickles = [data for _, data in hostile_pickles() if len(data) < 5000]
    small = pickle.dumps({"v_template": np.zeros((4, 3)), "names": ["a", "b"], "n": 3}, protocol=2)
    archives = [data for _, data in hostile_archives() if len(data) < 5000]
    torch_file = zipped({"a/data.pkl": small, "a/version": b"3\n"}, 0)
    pictures = {name: data for name, data in seeds(40).items() if len(data) < 20_000}
    bvh = (
        b"HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation\n"
        b"JOINT b\n{\nOFFSET 0 1 0\nCHANNELS 3 Zrotation Xrotation Yrotation\nEnd Site\n{\nOFFSET 0 1 0\n}\n}\n}\n"
        b"MOTION\nFrames: 2\nFrame Time: 0.0333\n0 0 0 0 0 0 1 2 3\n1 1 1 10 20 30 4 5 6\n"
    )
    garment = b"name x\nobj_file g.obj\nx_scale 5 6 1.0\nz_depth 20\nverts 0\n5\n9\n6 7 8 0.3 0.3 0.4 0 0 0\n"
    garment += b"delete_verts\n0 - 10\n"
    return {
        "pickle": [small, *pickles],
        "body": [small_smpl()[:4000], *archives],
        "npy": [npy("(2, 3)", "<f8", bytes(48)), npy("(1,)", "|b1", b"\1"), npy("()", "<U3", bytes(12))],
        "weights": [
            torch_file,
            small,
            b"\x40\0\0\0\0\0\0\0" + b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(64) + bytes(4),
        ],
        "table": [small, *archives],
        "bvh": [bvh],
        "mhclo": [garment],
        "detections": [json.dumps(value).encode() for value in documents.values()],
        "boxes": [json.dumps(documents["boxes"]).encode(), json.dumps(documents["coco"]).encode()],
        "sidecar": [json.dumps(value).encode() for value in camera_documents()],
        "yaml": [b"epochs: 2\noptim:\n  lr: 1e-4\n", b"a: &a [1]\nb: [*a, *a]\n"],
        "picture": [*pictures.values(), grey_png(64, 64)],
        "strips": [grey_png(64, 64), pictures.get("png", b""), pictures.get("alpha.png", b"")],
        "result": [_result()],
        "report": [b'{"rows": [{"input": "a", "status": "ok"}]}'],
        "list": [b"a.jpg\n# b\n'c.jpg'\n", "ä.jpg\r\n".encode("utf-16")],
        "request": [b'{"request": "fit", "id": 1, "inputs": ["a"], "out": "o", "options": {"quality": "fast"}}'],
        "landmarks": [b"\0\0\0\0TFL3" + bytes(50), zipped({"pose_landmark.tflite": b"\0\0\0\0TFL3"})],
    }


def _result() -> bytes:
    """The JSON file of a result without people; its arrays are ``r.npz``."""
    from dsr.results.picture import FitResult, picture_document

    return json.dumps({**picture_document(FitResult("no_person", "a.jpg")), "arrays": "r.npz"}).encode()


def parsers(folder: Path) -> dict[str, Callable[[bytes], object]]:
    """Name to a function that parses bytes; files are written into the folder.

    Each raises an error of ours for what it refuses.
    """
    import numpy as np

    from dsr.body.load import load_asset
    from dsr.body.unpickle import read_pickle
    from dsr.checkpoints.reader import open_weights
    from dsr.cli.serve import Worker
    from dsr.datasets.joblib_file import open_table
    from dsr.errors import DatasetError, DetectionError
    from dsr.image import Photo, read_photo
    from dsr.image.sidecar import read_sidecar
    from dsr.mocap.bvh import read_bvh
    from dsr.npz import array_of
    from dsr.people import load_detections
    from dsr.people.models import read_model
    from dsr.pipeline.inputs import find_inputs
    from dsr.results.picture import FitResult, picture_arrays
    from dsr.results.report import read_rows
    from dsr.results.saved import load_result
    from dsr.synthetic.mhclo import load_garment
    from dsr.training.config_file import read_yaml

    (folder / "g.obj").write_bytes(b"v 0 0 0\nv 0 1 0\nv 1 0 0\nf 1 2 3\n")
    np.savez(folder / "r.npz", **picture_arrays(FitResult("no_person", "a.jpg")))
    photo = Photo(folder / "p.jpg", np.zeros((120, 96, 3), np.uint8), 96, 120, 1.0, "", "JPEG")

    class Detector:
        """Takes boxes as they are."""

        def detect_in_boxes(
            self, photo: object, boxes: np.ndarray, source: str = "", scores: object = None
        ) -> list[object]:
            return []

    def file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
        def parse(data: bytes) -> object:
            path = folder / name
            path.write_bytes(data)
            return read(path)

        return parse

    def array(data: bytes) -> object:
        try:
            return array_of(data, "it")
        except ValueError as error:  # what it promises
            raise DatasetError(str(error)) from None

    def pickled(data: bytes) -> object:
        import pickle

        from dsr.body.pickled_objects import RefusedError
        from dsr.body.unpickle import DAMAGE

        try:
            return read_pickle(io.BytesIO(data), "it")
        except (
            RefusedError,
            *DAMAGE,
            EOFError,
            pickle.UnpicklingError,
        ) as error:  # what every caller turns into a sentence
            raise DatasetError(str(error)) from None

    def weights(path: Path) -> object:
        with open_weights(path) as content:
            return [value.load() if hasattr(value, "load") else value for value in content.values()]

    def table(path: Path) -> object:
        opened = open_table(path)
        return list(map(opened.column, opened.keys()))

    def people(path: Path, kind: str) -> object:
        if not path.is_file():
            raise DetectionError("gone")
        return load_detections(path, photo, Detector(), kind)  # type: ignore[arg-type]

    def request(data: bytes) -> object:
        line = data.decode("utf-8", "replace").replace("\n", " ").replace('"fit"', '"nothing"')
        answers = io.StringIO()
        Worker(io.StringIO(line + "\n"), answers).run()
        if "defect" in answers.getvalue():
            raise AssertionError(answers.getvalue())
        return None

    def report(data: bytes) -> object:
        (folder / "report.json").write_bytes(data)
        return read_rows(folder)

    return {
        "pickle": pickled,
        "body": file("b.npz", lambda path: load_asset(str(path))),
        "npy": array,
        "weights": file("w.pt", weights),
        "table": file("t.npz", table),
        "bvh": file("m.bvh", read_bvh),
        "mhclo": file("m.mhclo", load_garment),
        "detections": file("d.json", lambda path: people(path, "keypoints")),
        "boxes": file("d.json", lambda path: people(path, "boxes")),
        "sidecar": file("p.camera.json", read_sidecar),
        "yaml": file("y.yaml", read_yaml),
        "picture": file("p.png", lambda path: read_photo(path, work_pixels=2000)),
        "strips": file("s.png", lambda path: read_photo(path, work_pixels=500)),
        "result": file("r.json", load_result),
        "report": report,
        "list": file("l.txt", lambda path: find_inputs([path])),
        "request": request,
        "landmarks": file("l.task", read_model),
    }


def main() -> None:
    """Fuzz one parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parser", nargs="?")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    sys.path[:0] = [str(HERE), str(HERE.parents[1])]
    if arguments.list or not arguments.parser:
        sys.stdout.write("\n".join(_seeds()) + "\n")
        return
    import logging

    import atheris

    logging.disable(logging.CRITICAL)
    with atheris.instrument_imports(include=["dsr"]), tempfile.TemporaryDirectory(dir=_SCRATCH) as name:
        folder = Path(name)
        parse = parsers(folder)[arguments.parser]
        from dsr.errors import DsrError

        corpus = arguments.corpus / arguments.parser
        corpus.mkdir(parents=True, exist_ok=True)
        for k, data in enumerate(_seeds()[arguments.parser]):
            (corpus / f"seed{k}").write_bytes(data)

        def once(data: bytes) -> None:
            try:
                parse(data)
            except DsrError:
                return

        flags = [
            f"-max_total_time={arguments.seconds}",
            "-timeout=20",
            "-rss_limit_mb=2048",
            "-max_len=8192",
            "-print_final_stats=1",
        ]
        atheris.Setup([sys.argv[0], *flags, str(corpus)], once)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
