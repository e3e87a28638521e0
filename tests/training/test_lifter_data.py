"""Which files and subjects the lifters' tracks come from."""

import pytest

from dsr.errors import UsageError
from dsr.tracks import files as track_files
from dsr.training.systems.lifter.config import LifterDataConfig
from dsr.training.systems.lifter.data import read_tracks, training_tracks


@pytest.fixture
def h36m(tmp_path, monkeypatch):
    """A folder of Human3.6M's files whose reader gives back what it was asked for."""
    for name in ("data_3d_h36m.npz", "data_2d_h36m_gt.npz", "data_2d_h36m_cpn_ft_h36m_dbb.npz"):
        (tmp_path / name).write_bytes(b"")
    monkeypatch.setattr(track_files, "load_h36m", lambda poses, keypoints, subjects: [(keypoints.name, subjects)])
    return tmp_path


@pytest.mark.parametrize(
    ("split", "subjects"), [("train", ("S1", "S5", "S6", "S7", "S8")), ("validation", ("S9", "S11"))]
)
def test_subjects_of_h36m_and_detections_before_the_truth(h36m, split, subjects):
    (asked,) = read_tracks(f"h36m:{h36m}", split, LifterDataConfig())
    assert asked == ("data_2d_h36m_cpn_ft_h36m_dbb.npz", subjects)
    (h36m / "data_2d_h36m_cpn_ft_h36m_dbb.npz").unlink()
    assert read_tracks(f"h36m:{h36m}", split, LifterDataConfig())[0][0] == "data_2d_h36m_gt.npz"


def test_held_out_sequences_of_3dhp_lie_beside_the_training_file(tmp_path, monkeypatch):
    monkeypatch.setattr(track_files, "load_mpi_inf_3dhp", lambda path: [path.name])
    train = tmp_path / "data_train_3dhp.npz"
    train.write_bytes(b"")
    assert read_tracks(f"3dhp:{train}", "train", LifterDataConfig()) == [train.name]
    with pytest.raises(UsageError, match=r"data_test_3dhp\.npz, which is not beside it"):
        read_tracks(f"3dhp:{train}", "validation", LifterDataConfig())
    (tmp_path / "data_test_3dhp.npz").write_bytes(b"")
    assert read_tracks(f"3dhp:{train}", "validation", LifterDataConfig()) == ["data_test_3dhp.npz"]


def test_sources_are_mixed_and_refused_by_name(h36m):
    assert len(training_tracks((f"h36m:{h36m}", f"h36m:{h36m}"), LifterDataConfig())) == 2
    for source, words in ((f"bvh:{h36m}", "mocap:DIR"), ("h36m:/nowhere", "there is no /nowhere"), ("mocap:", "use")):
        with pytest.raises(UsageError, match=words):
            read_tracks(source, "train", LifterDataConfig())
