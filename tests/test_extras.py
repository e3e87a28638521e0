"""Messages that say what to install name packages that are really in the extra, in a command that works anywhere."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from dsr import extras

ROOT = Path(__file__).parents[1]
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def names(requirements: str) -> set[str]:
    """Names of the distributions in a TOML list."""
    return {re.split(r"[<>=;!~ ]", one)[0].lower() for one in re.findall(r'"([^"]+)"', requirements)}


def extras_of_project() -> dict[str, set[str]]:
    table = PROJECT.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    found = {name: names(requirements) for name, requirements in re.findall(r"^(\w+) = (\[.*\])", table, re.MULTILINE)}
    return {
        name: set().union(*(found[one[8:-1]] if one.startswith("dsr-fit[") else {one} for one in packages))
        for name, packages in found.items()
    }


EXTRAS = extras_of_project()


def packages_in(command: str) -> set[str]:
    python, *rest = shlex.split(command.partition(" -c ")[0])
    assert Path(python) == Path(sys.executable) and rest[:3] == ["-m", "pip", "install"], command
    return {re.split(r"[<>=]", word)[0].lower() for word in rest[3:]}


def test_the_distribution_has_the_name_that_is_free():
    assert f'name = "{extras.DISTRIBUTION}"' in PROJECT
    assert extras.DISTRIBUTION != "dsr", "on PyPI that is somebody else's"


def test_extras_that_add_nothing_are_gone():
    known = {"smplx", "heic", "video", "onnx", "blender", "build", "parsing", "cluster", "train"}
    assert set(EXTRAS) == known | {"test", "dev"}


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_hint_of_an_extra_names_its_packages_and_no_others(extra):
    assert packages_in(extras.install_hint(extra)) == EXTRAS[extra]


def test_an_unknown_extra_is_an_error():
    with pytest.raises(KeyError):
        extras.install_hint("nonsense")


def test_packages_of_the_program_come_in_the_version_it_asks_for():
    assert " -m pip install mediapipe==0.10.21" in extras.install_command("mediapipe")


def test_a_clone_gets_tested_versions_and_other_copies_need_no_file(monkeypatch, tmp_path):
    monkeypatch.setattr(extras, "_SOURCES", tmp_path)
    assert ' -m pip install "av>=14.0" ' in extras.install_hint("video") and " -c " not in extras.install_hint("video")
    (tmp_path / "constraints.txt").touch()
    assert extras.install_hint("video").endswith(f' -m pip install "av>=14.0" -c {tmp_path}/constraints.txt')


def test_without_tested_versions_what_the_program_needs_keeps_its_version(monkeypatch, tmp_path):
    """pip minds nothing that is installed but not named: onnx would bring a protobuf too new for mediapipe."""
    monkeypatch.setattr(extras, "_SOURCES", tmp_path)
    lines = re.findall(r'^    "([\w-]+)([^"]+)"', PROJECT.partition("[project.optional")[0], re.MULTILINE)
    bounded = {(name, versions(rest)) for name, rest in lines if re.search("<|==", rest)}
    assert {name for name, _ in bounded} == {"numpy", "mediapipe"}
    for command in (*map(extras.install_hint, ("onnx", "video", "smplx")), extras.install_command("mediapipe")):
        named = {(re.split("[<>=]", word)[0], versions(word)) for word in shlex.split(command)}
        assert bounded <= named and command.count("mediapipe") == 1


def versions(requirement: str) -> frozenset[str]:
    return frozenset(re.findall("[<>=]+[^,]+", requirement))


def test_a_shell_reads_the_hint_as_it_is_meant(tmp_path):
    """``av>=14.0`` without quotes would write a file ``=14.0``."""
    packages = extras.install_hint("video").partition("install ")[2]
    done = subprocess.run(f"echo {packages}", shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "av>=14.0" in done.stdout and list(tmp_path.iterdir()) == []


def test_sources_that_were_never_installed_are_installed_first(monkeypatch):
    monkeypatch.setattr(extras, "_requirements", dict)
    folder, _, command = extras.install_hint("video").partition(" && ")
    assert folder == f'cd "{extras._SOURCES}"' and ' -m pip install ".[video]"' in command
    assert " -m pip install ." in extras.install_command("mediapipe")


def test_no_message_names_somebody_elses_package():
    texts = [*(ROOT / "dsr").rglob("*.py"), *(ROOT / "blender_addon").rglob("*.py"), *(ROOT / "docs").glob("*.md")]
    for file in (*texts, ROOT / "README.md"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"pip install (-\S+ )*[\"']?dsr\b(?!-fit)|[\"']dsr\[", text), file


def test_messages_of_the_package_get_their_command_from_one_place():
    """``-m pip install`` is written in dsr/extras.py alone; the doctor's advice about a broken copy is no extra."""
    found = {
        file.relative_to(ROOT).as_posix(): re.findall(r"pip install .*", file.read_text(encoding="utf-8"))
        for file in (ROOT / "dsr").rglob("*.py")
        if file.name != "extras.py"
    }
    assert {name for name, lines in found.items() if lines} == {"dsr/cli/doctor.py"}
    assert found["dsr/cli/doctor.py"] == ['pip install --force-reinstall --no-deps ."']
