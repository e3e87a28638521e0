"""Licensed files: every official layout, and every way in which a file may be wrong or hostile."""

import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from body_toys import smplx_parents, toy_asset
from licensed_toys import SPOTS, Ch, fake_modules, model_arrays, official_v1, python2_pickle
from scipy.sparse import coo_matrix, csr_matrix

from dsr.body import Body, joint_names, load_asset, load_body
from dsr.body.asset_file import save_asset
from dsr.body.licensed import FAMILIES
from dsr.errors import BodyError


def assert_holds(asset, arrays, columns=10):
    assert np.allclose(asset.v_template, arrays["v_template"], atol=1e-6)
    assert np.allclose(asset.shapedirs[:, :, :columns], arrays["shapedirs"][:, :, :columns], atol=1e-6)
    assert np.allclose(asset.posedirs, arrays["posedirs"], atol=1e-6)
    assert np.allclose(asset.weights, arrays["weights"], atol=1e-6)
    assert np.allclose(asset.J_regressor.toarray(), np.asarray(csr_matrix(arrays["J_regressor"]).todense()))
    assert np.array_equal(asset.faces, arrays["f"])
    assert asset.parents[0] == -1 and np.array_equal(asset.parents[1:], arrays["kintree_table"][0][1:])


@pytest.mark.parametrize("protocol", [0, 2])
def test_release_1_0_with_chumpy_as_python_2_wrote_it(tmp_path, protocol):
    arrays = model_arrays(60)
    path = tmp_path / "basicModel_neutral_lbs_10_207_0_v1.0.0.pkl"
    path.write_bytes(python2_pickle(official_v1(arrays), protocol))
    asset = load_asset(path)
    assert_holds(asset, arrays)
    assert asset.name == path.stem and "non-commercial" in asset.licence and len(asset.sha256) == 64
    assert asset.joint_names == joint_names("smpl24") and not asset.interior.any()
    heaviest = arrays["weights"][arrays["f"][5]].sum(0).argmax()
    assert asset.part_ids[5] == heaviest and asset.part_names[heaviest] == joint_names("smpl24")[heaviest]
    assert "chumpy" not in sys.modules


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_today_and_of_every_protocol(tmp_path, protocol):
    arrays = model_arrays(40)
    path = tmp_path / "SMPL_MALE.pkl"
    path.write_bytes(pickle.dumps({**arrays, "posedirs": np.asfortranarray(arrays["posedirs"])}, protocol))
    assert_holds(load_asset(path), arrays)


@pytest.mark.parametrize("regressor", ["dense", "sparse object"])
def test_npz_even_with_pickled_objects_inside(tmp_path, regressor):
    arrays = model_arrays(40)
    stored = dict(arrays)
    if regressor == "dense":
        stored["J_regressor"] = arrays["J_regressor"].toarray()
    path = tmp_path / "SMPL_NEUTRAL.npz"
    np.savez_compressed(path, **stored, part2num=np.array({"head": 1}, object))
    assert_holds(load_asset(path), arrays)


@pytest.mark.parametrize(("columns", "shape", "expressions"), [(400, 300, 10), (20, 10, 10)])
def test_smplx_keeps_shape_and_expression_columns(tmp_path, columns, shape, expressions):
    arrays = model_arrays(30, smplx_parents(), columns)
    path = tmp_path / "SMPLX_NEUTRAL.npz"
    np.savez(path, **{**arrays, "J_regressor": arrays["J_regressor"].toarray()})
    asset = load_asset(path)
    assert asset.num_betas == 10 + expressions and asset.num_expressions == expressions
    assert asset.num_joints == 55 and asset.joint_names == joint_names("smplx55")
    assert np.allclose(asset.shapedirs[:, :, :10], arrays["shapedirs"][:, :, :10])
    assert np.allclose(asset.shapedirs[:, :, 10:], arrays["shapedirs"][:, :, shape : shape + 10])
    assert load_asset(path, num_betas=5).num_betas == 15
    assert load_body(path)(body_pose=torch.zeros(2, 54, 3)).joints.shape == (2, 55, 3)


def test_the_layer_moves_a_licensed_body(tmp_path):
    pytest.importorskip("smplx", reason="the smplx extra is not installed")
    path = tmp_path / "SMPL_FEMALE.pkl"
    path.write_bytes(python2_pickle(official_v1(model_arrays(60)), 2))
    body = load_body(path, dtype=torch.float64)
    pose = 0.3 * torch.randn(2, 23, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rest, posed = body(), body(body_pose=pose)
    assert (posed.vertices - rest.vertices).abs().max() > 0.1
    again = Body.from_smplx(reference_smplx(body.asset), torch.float64)
    assert torch.allclose(again(body_pose=pose).vertices, posed.vertices, atol=1e-6)


def reference_smplx(asset):
    from test_body_layer import benchmark

    return benchmark().smplx_model(asset, torch.float64)


def test_from_smplx_refuses_other_objects():
    with pytest.raises(BodyError, match=r"Linear is not a body model of the smplx package"):
        Body.from_smplx(torch.nn.Linear(1, 1))


# ---- finding files


@pytest.mark.parametrize(
    ("file", "gender"),
    [
        ("SMPL_NEUTRAL.pkl", "neutral"),
        ("basicModel_neutral_lbs_10_207_0_v1.0.0.pkl", "neutral"),
        ("basicModel_f_lbs_10_207_0_v1.0.0.pkl", "female"),
        ("smpl/models/basicmodel_m_lbs_10_207_0_v1.1.0.pkl", "male"),
        ("models/smplx/SMPLX_NEUTRAL.pkl", "neutral"),
        ("smplh/male/model.npz", "male"),
    ],
)
def test_a_folder_is_searched_for_official_names(tmp_path, monkeypatch, file, gender):
    parents = smplx_parents() if "SMPLX" in file else None
    if "smplh" in file:
        tree = smplx_parents()
        parents = (*tree[:22], *(p if p < 22 else p - 3 for p in tree[25:]))
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = model_arrays(30, parents)
    if file.endswith("npz"):
        np.savez(path, **arrays)
    else:
        path.write_bytes(pickle.dumps(arrays, 2))
    assert load_asset(tmp_path, gender=gender).path == path
    monkeypatch.setenv("DSR_BODY_MODELS", str(tmp_path))
    family = "smplx" if "SMPLX" in file else "smplh" if "smplh" in file else "smpl"
    assert load_asset(family, gender=gender).path == path


def test_missing_files_are_named_with_the_place_to_get_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DSR_BODY_MODELS", str(tmp_path / "mine"))
    with pytest.raises(BodyError, match=r"female SMPL file .*mine.*SMPL_FEMALE\.pkl .*https://smpl\.is\.tue\.mpg\.de"):
        load_asset("smpl", gender="female")
    with pytest.raises(BodyError, match=r"SMPLX_NEUTRAL\.pkl .*https://smpl-x\.is\.tue\.mpg\.de"):
        load_asset("smplx")
    with pytest.raises(BodyError, match=r"holds no male body model: expected SMPL_MALE\.pkl"):
        load_asset(tmp_path, gender="male")
    with pytest.raises(BodyError, match=r"nothing\.pkl does not exist; expected open.*SMPL_NEUTRAL.*smpl\.is\.tue"):
        load_asset(tmp_path / "nothing.pkl")
    with pytest.raises(BodyError, match="neutral, female, male"):
        load_asset("smpl", gender="robot")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cut off or is not a pickle"),
        (b"\xff\xd8\xff\xe0 a photograph", "damaged|not a pickle"),
        (b"<html>please log in</html>", "is a web page"),
        (pickle.dumps([1, 2, 3]), "holds a list"),
        (
            pickle.dumps({"hands_mean": np.zeros(3)}),
            "v_template, shapedirs, J_regressor, weights, kintree_table, f missing",
        ),
        (pickle.dumps({**model_arrays(20), "weights": np.ones((20, 24))}), "weights do not sum to 1"),
        (pickle.dumps({**model_arrays(20), "f": np.full((4, 3), 20)}), "out of bounds|do not exist"),
        (pickle.dumps({**model_arrays(20), "posedirs": np.zeros((20, 3, 9))}), "posedirs has shape"),
        (pickle.dumps(model_arrays(20, (-1, 0, 1))), "3 joints, not 24, 52 or 55"),
    ],
)
def test_wrong_files_get_one_clear_sentence(tmp_path, content, reason):
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    path.write_bytes(content)
    with pytest.raises(BodyError, match=reason) as caught:
        load_asset(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_truncated_pickles(tmp_path, protocol):
    whole = pickle.dumps(model_arrays(20), protocol)
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    for share in (0.01, 0.3, 0.7, 0.99, 1 - 1 / len(whole)):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(BodyError, match=r"SMPL_NEUTRAL\.pkl.*(cut off|damaged).*https://smpl\.is\.tue\.mpg\.de"):
            load_asset(path)


def test_damaged_and_foreign_zip_files(tmp_path):
    path = tmp_path / "SMPLX_NEUTRAL.npz"
    np.savez_compressed(path, **model_arrays(30))
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 3] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(BodyError, match="damaged"):
        load_asset(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("models/SMPL_NEUTRAL.pkl", b"...")
    with pytest.raises(BodyError, match="unpack it"):
        load_asset(path)


# ---- hostile files


class Call:
    """Pickles as a call of a function with arguments."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def hostile_values(marker):
    return {
        f"{os.system.__module__}.system": Call(os.system, f"touch {marker}"),
        "builtins.eval|__builtin__.eval": Call(eval, f"open({str(marker)!r}, 'w')"),
        "builtins.exec|__builtin__.exec": Call(exec, f"open({str(marker)!r}, 'w')"),
        "numpy.load": Call(np.load, str(marker)),
        "builtins.getattr|__builtin__.getattr": Call(getattr, "text", "format"),
        "subprocess.Popen|commands.Popen": Call(subprocess.Popen, ["touch", str(marker)]),
        "numpy.fromfile|numpy.core.*fromfile": Call(np.fromfile, str(marker)),
        "builtins.open|io.open|__builtin__.open": Call(open, str(marker), "w"),
    }


@pytest.mark.parametrize("name", hostile_values("x"))
@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("place", ["plain", "inside an array", "inside chumpy", "in an npz"])
def test_calls_are_refused_by_name_and_never_made(tmp_path, name, protocol, place):
    marker = tmp_path / "marker"
    value = hostile_values(marker)[name]
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    arrays = model_arrays(10)
    with fake_modules():
        if place == "plain":
            path.write_bytes(pickle.dumps({**arrays, "unused": value}, protocol))
        elif place == "inside an array":
            path.write_bytes(pickle.dumps({**arrays, "weights": np.array([value], object)}, protocol))
        elif place == "inside chumpy":
            path.write_bytes(pickle.dumps({**arrays, "weights": Ch(value)}, protocol))
        else:
            np.savez(path.with_suffix(".npz"), **{**arrays, "J_regressor": np.array([value], object)})
            path = path.with_suffix(".npz")
    with pytest.raises(BodyError, match=f"refused because it is not plain data: it holds ({name})"):
        load_asset(path)
    assert not marker.exists()


STACK_GLOBAL_DOTTED = b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93."


@pytest.mark.parametrize(
    ("stream", "found"),
    [
        (b"cposix\nsystem\n(S'true'\ntR.", "posix.system"),
        (b"(S'true'\nios\nsystem\n.", "os.system"),
        (STACK_GLOBAL_DOTTED, r"numpy\.ndarray\.__class__"),
        (b"\x80\x02\x82\x01.", "extension code 1"),
        (b"\x80\x02Pmine\n.", "persistent id"),
        (b"\x80\x02c_codecs\nencode\n}X\x01\x00\x00\x00xK\x01sb.", "state for function"),
        (b"\x80\x02c__builtin__\nlist\n}X\x01\x00\x00\x00xK\x01sb.", "state for type"),
        (b"\x80\x02}N" + b"\x85" * 300_000 + b"Ns.", "tuple as a key"),
        (b"\x80\x02c__builtin__\nset\n]N" + b"\x85" * 300_000 + b"a\x85R.", "tuple as a key"),
        (b"\x80\x04\x8f(N" + b"\x85" * 300_000 + b"\x90.", "tuple as a key"),
        (b"\x80\x02ccollections\nOrderedDict\n](N" + b"\x85" * 300_000 + b"Nta\x85R.", "tuple as a key"),
        (b"\x80\x02c__builtin__\ndict\n](N" + b"\x85" * 300_000 + b"Nta\x85R.", "tuple as a key"),
        (b"\x80\x02c_codecs\nencode\nNNs.", "entries for a function"),
        (b"\x80\x02ccopy_reg\n_reconstructor\nc__builtin__\nset\nc__builtin__\nobject\nN\x87R.", "not an array class"),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.", "rot13"),
    ],
    ids=range(15),
)
def test_hand_written_streams_are_refused(tmp_path, stream, found):
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    path.write_bytes(stream)
    with pytest.raises(BodyError, match=f"it holds .*{found}"):
        load_asset(path)


def peak_of(action):
    import tracemalloc

    tracemalloc.start()
    try:
        with pytest.raises(BodyError):
            action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "stream",
    [
        b"\x80\x02r\xff\xff\xff\x7f.",  # a memo of two thousand million entries
        b"\x80\x03B\x00\x00\x00\x40abc.",  # a string of 1 GiB
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"abc.",
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 30) + b"abc.",  # a bytearray of 1 GiB
        b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"N.",  # a frame
        b"\x80\x02]" + b"".join(b"q%c]h%ch%c\x86a" % (i, i, i) for i in range(60)) + b".",
    ],
)
def test_claimed_sizes_allocate_nothing(tmp_path, stream):
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    path.write_bytes(stream)
    assert peak_of(lambda: load_asset(path)) < 5e6


def shared_lists(levels: int) -> bytes:
    """Lists of ten times the list before: a few bytes that unfold to 10 ** levels numbers in an array."""
    made = b""
    for level in range(levels):
        entry = b"h" + bytes([level - 1]) if level else b"K\x01"
        made += b"](" + entry * 10 + b"eq" + bytes([level]) + b"0"
    return made + b"h" + bytes([levels - 1])


@pytest.mark.parametrize("wrapped", ["plain", "chumpy"])
def test_lists_that_name_the_same_list_again_do_not_unfold(tmp_path, wrapped):
    value = shared_lists(12)
    if wrapped == "chumpy":
        value = b"cchumpy.ch\nCh\n)\x81}X\x01\x00\x00\x00x" + value + b"sb"
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    path.write_bytes(b"\x80\x02}X\x0a\x00\x00\x00v_template" + value + b"s.")
    with pytest.raises(BodyError, match="unfold to more numbers"):
        load_asset(path)
    assert peak_of(lambda: load_asset(path)) < 5e6


def test_a_sparse_matrix_does_not_claim_gigabytes(tmp_path):
    arrays = model_arrays(20)
    huge = coo_matrix((np.ones(1), ([0], [0])), shape=(1, 1))
    huge._shape = (1 << 32, 1)
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    path.write_bytes(pickle.dumps({**arrays, "J_regressor": huge}, 2))
    with pytest.raises(BodyError, match=r"a sparse matrix of 4294967296 x 1"):
        load_asset(path)
    assert peak_of(lambda: load_asset(path)) < 5e6


@pytest.mark.parametrize("kind", ["pickle", "npz", "npz entry"])
def test_an_array_that_claims_a_gigabyte_is_refused(tmp_path, kind):
    header = {"descr": "<f8", "fortran_order": False, "shape": (1 << 27,)}
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, header)
    path = tmp_path / "SMPL_NEUTRAL.npz"
    if kind == "pickle":
        path = path.with_suffix(".pkl")
        whole = pickle.dumps({**model_arrays(10), "v_template": np.zeros((10, 3))}, 2)
        assert whole.count(b"K\nK\x03\x86") == 1
        path.write_bytes(whole.replace(b"K\nK\x03\x86", b"J\x00\x00\x00\x08K\x01\x86"))
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            if kind == "npz":
                archive.writestr("v_template.npy", stream.getvalue() + b"\x00" * 80)
            else:
                with archive.open("v_template.npy", "w", force_zip64=True) as entry:
                    entry.write(stream.getvalue())
                    for _ in range(70):
                        entry.write(bytes(8 << 20))
    with pytest.raises(BodyError, match=r"claims|does not fit"):
        load_asset(path)
    assert peak_of(lambda: load_asset(path)) < 20e6


# ---- keypoints on SMPL's own mesh


@pytest.fixture(scope="module")
def smpl_like(tmp_path_factory):
    """A body with SMPL's vertex count whose known vertices sit where SMPL has them, in the shape of the open body."""
    whole = load_asset("open")
    rng = np.random.default_rng(0)
    points = rng.permutation(whole.v_template.astype(np.float64))[:6890]
    keypoints = {}
    for name in ("openpose25", "blazepose33"):
        keypoints.update(zip(joint_names(name), whole.keypoint_regressors[name] @ whole.v_template, strict=True))
    for name, index in SPOTS.items():
        points[index] = keypoints[name]
    joints = whole.J_regressor @ whole.v_template.astype(np.float64)
    regressor = np.zeros((24, 6890))
    for row, joint in zip(regressor, joints, strict=True):
        near = np.argsort(np.linalg.norm(points - joint, axis=1))[:200]
        row[near] = 1 / 200
    arrays = {
        **model_arrays(6890),
        "v_template": points,
        "J_regressor": regressor,
        "posedirs": np.zeros((6890, 3, 207), np.float32),
    }
    path = tmp_path_factory.mktemp("smpl") / "SMPL_NEUTRAL.npz"
    np.savez(path, **arrays)
    return arrays, path, keypoints


def test_keypoints_of_smpl_lie_where_those_of_the_open_body_lie(smpl_like):
    _, path, _ = smpl_like
    asset, whole = load_asset(path), load_asset("open")
    for name, regressor in whole.keypoint_regressors.items():
        mine = asset.keypoint_regressors[name]
        assert mine.shape == (len(joint_names(name)), 6890)
        assert np.allclose(mine.sum(1), 1)
        apart = np.linalg.norm(mine @ asset.v_template - regressor @ whole.v_template, axis=1)
        assert apart.max() < 0.09, (name, joint_names(name)[apart.argmax()], apart.max())
        for left, right in (
            (i, joint_names(name).index(n.replace("left", "right")))
            for i, n in enumerate(joint_names(name))
            if "left" in n
        ):
            sides = (mine @ asset.v_template)[[left, right], 0]
            assert sides[0] > 0.005 and sides[1] < -0.005


def test_left_and_right_follow_the_geometry(smpl_like, tmp_path):
    arrays, _, keypoints = smpl_like
    swapped = arrays["v_template"].copy()
    for name, index in SPOTS.items():
        if name.startswith("left_"):
            other = SPOTS["right_" + name[5:]]
            swapped[[index, other]] = swapped[[other, index]]
    path = tmp_path / "SMPL_NEUTRAL.npz"
    np.savez(path, **{**arrays, "v_template": swapped})
    asset = load_asset(path)
    ear = (asset.keypoint_regressors["coco17"] @ asset.v_template)[3]
    assert np.allclose(ear, keypoints["left_ear"], atol=1e-5)


def test_unknown_meshes_have_no_keypoints(tmp_path):
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    path.write_bytes(pickle.dumps(model_arrays(30)))
    asset = load_asset(path)
    with pytest.raises(BodyError, match="no regressor for 'coco17'"):
        asset.keypoint_regressor("coco17")


def test_our_own_layout_is_told_apart_from_theirs():
    assert set(FAMILIES) == {"smpl", "smplx", "smplh"}
    assert load_asset("open").name == load_asset(load_asset("open").path).name
    assert toy_asset().check().num_joints == 24


def test_a_copy_beside_results_is_not_taken_for_the_official_file(tmp_path):
    (tmp_path / "SMPL_NEUTRAL.pkl").write_bytes(pickle.dumps(model_arrays(30), 2))
    (tmp_path / "meshes").mkdir()
    save_asset(load_asset(tmp_path / "SMPL_NEUTRAL.pkl"), tmp_path / "meshes" / "SMPL_NEUTRAL.npz")
    assert load_asset(tmp_path).path == tmp_path / "SMPL_NEUTRAL.pkl"
