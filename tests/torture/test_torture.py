"""The torture corpus at its small size, what fuzzing has kept, and runs that are killed."""

import sys

import pytest
from fuzz import CORPUS, parsers
from kill_resume import kill_and_resume
from torture import SIZES, torture

from dsr.errors import DsrError


def test_nothing_crashes_and_every_input_has_its_row(tmp_path):
    verdict = torture(tmp_path, "small", 17)
    assert not verdict.faults, "\n".join(verdict.faults)
    assert sum(verdict.inputs.values()) > 200 and set(SIZES["small"]) <= set(SIZES["full"])
    # the corpus is no list of refusals: every way through the program is gone
    assert verdict.statuses["ok"] > 30 and verdict.statuses["unreadable"] > 10 and verdict.statuses["too_large"] > 2
    assert 100 < verdict.peak_mib < 1500 or sys.platform != "linux"


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.iterdir() if path.is_dir()))
def test_what_fuzzing_kept_is_read_or_refused(tmp_path, name):
    parse = parsers(tmp_path)[name]
    files = sorted((CORPUS / name).iterdir())
    assert files
    for file in files:
        try:
            parse(file.read_bytes())
        except DsrError as error:
            assert str(error)


@pytest.mark.skipif(sys.platform == "win32", reason="processes are killed in another way there")
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path):
    """The command, ``kill_resume.py``, does it 30 times with the whole chain; here fits are made up."""
    outcome = kill_and_resume(tmp_path, pictures=16, kills=2, seed=5, cheap=True)
    assert outcome.kills == 2 and outcome.different == [] and outcome.left == []
    assert outcome.redone < 16  # finished ones were not made again
