"""Files: all or nothing, text of any editor, what stands in the place of a model file."""

import pytest

from dsr.body import load_asset
from dsr.checkpoints.reader import open_weights
from dsr.errors import BodyError, CheckpointError
from dsr.files import all_or_nothing, expand_user, read_json, read_text, write_bytes


def test_an_error_takes_back_what_was_written_before_it(tmp_path):
    with pytest.raises(ZeroDivisionError), all_or_nothing():
        write_bytes(tmp_path / "a", b"1")
        raise ZeroDivisionError
    with all_or_nothing():
        write_bytes(tmp_path / "b", b"1")
    write_bytes(tmp_path / "c", b"1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "c"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"])
def test_text_of_any_editor(tmp_path, encoding):
    (tmp_path / "list.txt").write_bytes("Fotö 1.jpg\r\n".encode(encoding))
    assert read_text(tmp_path / "list.txt") == "Fotö 1.jpg\r\n"


def test_a_tilde_of_no_user_is_part_of_a_name():
    assert str(expand_user("~$photo.jpg")) == "~$photo.jpg"
    assert str(expand_user("~nobody-of-this-name/x")) == "~nobody-of-this-name/x"
    assert "~" not in str(expand_user("~/x"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xef\xbb\xbf \n<!DOCTYPE html><html><head><title>Sign in</title></head></html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 247186228\n", "Git LFS"),
    ],
)
def test_what_stands_in_the_place_of_a_model_is_said(tmp_path, content, says):
    for name, error in (("SMPL_NEUTRAL.pkl", BodyError), ("SMPLX_NEUTRAL.npz", BodyError), ("w.pt", CheckpointError)):
        file = tmp_path / name
        file.write_bytes(content)
        with pytest.raises(error, match=says) as caught:
            if error is BodyError:
                load_asset(str(file))
            else:
                with open_weights(file):
                    pass
        assert name in str(caught.value)


@pytest.mark.parametrize("read", [read_text, read_json])
def test_texts_of_any_size_are_bounded(tmp_path, monkeypatch, read):
    monkeypatch.setattr("dsr.files._MOST_TEXT", 1 << 20)
    path = tmp_path / "a.json"
    path.write_bytes(b"[" + b" " * ((1 << 20) - 2) + b"]")
    read(path)
    with path.open("r+b") as stream:
        stream.truncate(1 << 40)  # a terabyte that takes no place on the disk
    with pytest.raises(ValueError, match="more than 1 MB"):
        read(path)
