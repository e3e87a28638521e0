"""Finding pictures and naming their results: every trap of a real folder."""

import os
from pathlib import Path

import pytest

from dsr.errors import UsageError
from dsr.pipeline.inputs import InputPicture, find_inputs
from dsr.pipeline.output_names import name_outputs, safe_name


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(folder, *arguments, **options):
    return [p.path.relative_to(folder).as_posix() for p in find_inputs(arguments or [folder], **options)]


def test_folders_give_pictures_by_name_and_leave_the_rest(tmp_path):
    touch(
        tmp_path,
        "b.JPG",
        "a.jpeg",
        "Ärger mit Leerzeichen.PnG",
        "c.heic",
        "notes.txt",
        "d.jpg.part",
        ".hidden.jpg",
        "__MACOSX/a.jpg",
        "sub/e.jpg",
    )
    assert found(tmp_path) == ["a.jpeg", "b.JPG", "c.heic", "Ärger mit Leerzeichen.PnG"]
    assert found(tmp_path, recursive=True) == ["a.jpeg", "b.JPG", "c.heic", "Ärger mit Leerzeichen.PnG", "sub/e.jpg"]


def test_own_pictures_are_not_taken_again_but_lookalikes_are(tmp_path):
    own = [f"a.{kind}.jpg" for kind in ("overlay", "side", "upright", "labels", "skeleton")]
    touch(tmp_path, "a.jpg", "a.json", *own, "holiday.overlay.jpg")
    assert found(tmp_path) == ["a.jpg", "holiday.overlay.jpg"]
    assert found(tmp_path, tmp_path / "a.overlay.jpg") == ["a.overlay.jpg"]


def test_the_output_folder_inside_the_input_is_skipped(tmp_path):
    touch(tmp_path, "a.jpg", "out/texture.png", "in/b.jpg")
    assert found(tmp_path, recursive=True, skip=tmp_path / "out") == ["a.jpg", "in/b.jpg"]
    assert found(tmp_path, recursive=True, skip=tmp_path) == ["a.jpg", "in/b.jpg", "out/texture.png"]


def test_links_to_folders_are_followed_once(tmp_path):
    touch(tmp_path, "real/a.jpg")
    (tmp_path / "real" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "zlink").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "b.jpg").symlink_to(tmp_path / "real" / "a.jpg")
    assert found(tmp_path, recursive=True) == ["b.jpg", "real/a.jpg"]


def test_files_globs_and_lists_keep_their_order_and_double_names_count_once(tmp_path, monkeypatch):
    touch(tmp_path, "b.jpg", "a.jpg", "c.png", "odd.xyz", "x [1].jpg")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text("# mine\nc.png\n\n  a.jpg\nmissing.jpg\n", encoding="utf-8")
    pictures = find_inputs(["b.jpg", "*.jpg", "list.txt", "odd.xyz", "x [1].jpg"])
    assert [str(p.path) for p in pictures] == ["b.jpg", "a.jpg", "x [1].jpg", "c.png", "missing.jpg", "odd.xyz"]
    assert "missing.jpg" in pictures[4].problem and "list.txt" in pictures[4].problem
    assert not any(p.problem for i, p in enumerate(pictures) if i != 4)


def test_lists_are_relative_to_themselves(tmp_path):
    touch(tmp_path, "photos/a.jpg")
    (tmp_path / "list.txt").write_text("photos/a.jpg\nphotos\n")
    assert found(tmp_path, tmp_path / "list.txt") == ["photos/a.jpg"]


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("nothing.jpg", "No such file"),
        ("none*.jpg", "No file matches"),
        ("empty", "No picture found"),
        ("empty.txt", "names no picture"),
        ("empt*.txt", "No picture matches"),
        ("", "An input is empty"),
        ("raw", r"holds camera raw files, such as 1\.CR2: save them as JPEG"),
    ],
)
def test_arguments_that_name_nothing_are_usage_errors(tmp_path, monkeypatch, argument, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.txt").write_text("# nothing\n")
    touch(tmp_path, "raw/1.CR2", "raw/2.NEF")
    with pytest.raises(UsageError, match=sentence):
        find_inputs([argument])


def test_an_unreadable_subfolder_is_one_problem_and_the_rest_is_found(tmp_path, monkeypatch):
    touch(tmp_path, "a.jpg", "locked/b.jpg", "open/c.jpg")
    real = os.scandir

    def scandir(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    pictures = find_inputs([tmp_path], recursive=True)
    assert [p.path.name for p in pictures] == ["a.jpg", "locked", "c.jpg"]
    assert "cannot be read (Permission denied)" in pictures[1].problem


def names(*pictures, **options):
    return name_outputs([InputPicture(p) if not isinstance(p, InputPicture) else p for p in pictures], **options)


def test_names_are_stems_and_shared_stems_keep_their_extension(tmp_path):
    assert names(tmp_path / "a.jpg", tmp_path / "b.jpeg") == ["a", "b"]
    assert names(tmp_path / "a.jpg", tmp_path / "b.jpg", tmp_path / "a.png") == ["a.jpg", "b", "a.png"]


def test_equal_names_from_two_folders_go_into_subfolders(tmp_path):
    pictures = [tmp_path / "x" / "a.jpg", tmp_path / "y" / "a.jpg", tmp_path / "z" / "x" / "a.jpg"]
    got = names(*pictures)
    assert got[1] == "y/a.jpg" and len(set(got)) == 3
    assert got[0].startswith("a.jpg-") and got[2].startswith("a.jpg-")
    assert names(*reversed(pictures)) == got[::-1]  # the order of the arguments does not matter


def test_mirrored_folders_need_no_other_names(tmp_path):
    pictures = [InputPicture(tmp_path / f / "a.jpg", f) for f in ("", "x", "y/z")]
    assert names(*pictures) == ["a", "x/a", "y/z/a"]


def test_no_two_pictures_ever_share_a_name(tmp_path):
    same = ["a.jpg", "A.JPG", "a.png", "a.jpg.png", "x/a.jpg", "ä.jpg", "a\u0308.jpg"]
    tricky = [*same, "report.jpg", "body.jpg", "con.png"]
    got = names(*[tmp_path / name for name in tricky], reserved=["BODY"])
    assert len({name.casefold() for name in got}) == len(tricky)
    assert not {"report", "body", "con"} & set(got)


def test_names_are_kept_when_pictures_join_later(tmp_path):
    old, new = tmp_path / "a.jpg", tmp_path / "a.png"
    owner = {"a": str(old)}.get
    assert names(old, new, owner=owner) == ["a", "a.png"]
    assert names(new, owner=owner) == ["a.png"]  # alone in a second run, it does not overwrite the first one's files
    assert names(tmp_path / "x" / "a.jpg", owner=owner) == ["a.jpg"]


def test_every_name_is_a_safe_path_component(tmp_path):
    assert safe_name("Jürgen läuft 走る") == "Jürgen läuft 走る"
    assert safe_name('a<b>:"c|?*\n') == "a_b___c____"
    assert safe_name("..") == "_" and safe_name(".x") == "_x" and "/" not in safe_name("a/../b")
    assert safe_name("bad\udcff") == "bad_"
    long = [safe_name("走" * 84 + end) for end in ("1", "2")]
    assert len(set(long)) == 2 and all(len(name.encode()) <= 180 for name in long)
    hashed = names(tmp_path / "x" / ("w" * 240 + ".jpg"), tmp_path / "y" / "x" / ("w" * 240 + ".jpg"))
    assert len(set(hashed)) == 2


def test_a_link_to_itself_costs_its_neighbours_nothing(tmp_path):
    touch(tmp_path, "a.jpg", "sub/b.jpg")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    assert found(tmp_path, recursive=True) == ["a.jpg", "loop.jpg", "sub/b.jpg"]
    assert not any(picture.problem for picture in find_inputs([tmp_path]))


def test_names_that_no_file_can_have_are_entries_like_others(tmp_path, monkeypatch):
    touch(tmp_path, "~$lock.jpg", "a.jpg")
    monkeypatch.chdir(tmp_path)
    assert [p.path.name for p in find_inputs(["~$lock.jpg", "a.jpg"])] == ["~$lock.jpg", "a.jpg"]
    for name in ("~no-such-user/x.jpg", "x" * 300 + ".jpg", "x" * 300 + "/a.jpg", "x" * 300 + ".txt"):
        with pytest.raises(UsageError, match="No such file or folder"):
            find_inputs([name])
    (tmp_path / "list.txt").write_text("a.jpg\n~$lock.jpg\n~no-such-user/x.jpg\n" + "x" * 300 + ".jpg\n" + "y" * 5000)
    listed = find_inputs(["list.txt"])
    assert [bool(p.problem) for p in listed] == [False, False, True, True, True]


@pytest.mark.parametrize(
    "content",
    [
        "a.jpg\r\nFotö 1.jpg\r\n".encode("utf-16"),
        "a.jpg\nFotö 1.jpg\n".encode("utf-8-sig"),
        "a.jpg\nFotö 1.jpg\n".encode("cp1252"),
        "\"a.jpg\"\n'Fotö 1.jpg'\n".encode(),
    ],
    ids=["UTF-16", "UTF-8 with a mark", "Windows", "quoted"],
)
def test_lists_of_any_editor(tmp_path, content):
    touch(tmp_path, "a.jpg", "Fotö 1.jpg")
    (tmp_path / "list.txt").write_bytes(content)
    assert found(tmp_path, tmp_path / "list.txt") == ["a.jpg", "Fotö 1.jpg"]


def test_quotation_marks_that_belong_to_a_name_stay(tmp_path):
    touch(tmp_path, "'a.jpg'")
    (tmp_path / "list.txt").write_text("'a.jpg'\n")
    assert found(tmp_path, tmp_path / "list.txt") == ["'a.jpg'"]


def test_a_list_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\x81\x8d" + bytes(range(256)))
    with pytest.raises(UsageError, match="cannot be read as text"):
        find_inputs([tmp_path / "list.txt"])


def test_videos_in_folders_are_named_and_those_asked_for_are_taken(tmp_path, monkeypatch):
    touch(tmp_path, "IMG_0001.JPG", "IMG_0001.MOV", "a.json", "a.overlay.mp4", "sub/b.mp4", ".hidden.mp4")
    videos = []
    assert [p.path.name for p in find_inputs([tmp_path], True, None, videos)] == ["IMG_0001.JPG"]
    assert [v.relative_to(tmp_path).as_posix() for v in videos] == ["IMG_0001.MOV", "sub/b.mp4"]
    with pytest.raises(UsageError, match=r"holds videos: name them themselves, .*b\.mp4"):
        find_inputs([tmp_path / "sub"])
    monkeypatch.chdir(tmp_path)
    assert [p.path.name for p in find_inputs(["*.MOV"])] == ["IMG_0001.MOV"]
    videos.clear()
    assert [p.path.name for p in find_inputs(["*0001*"], False, None, videos)] == ["IMG_0001.JPG"] and len(videos) == 1


def test_an_option_is_only_advised_where_there_is_one(tmp_path):
    (tmp_path / "sub").mkdir()
    with pytest.raises(UsageError, match="Use --recursive"):
        find_inputs([tmp_path], recursive=False)
    with pytest.raises(UsageError, match="No picture found") as told:
        find_inputs([tmp_path])
    assert "--recursive" not in str(told.value)
