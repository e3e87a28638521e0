"""Importing the package and asking for help stay cheap: nothing heavy is loaded."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "mediapipe", "ai_edge_litert", "scipy", "PIL", "cv2", "trimesh", "smplx", "bpy", "warp", "jax")


def loaded_after(code: str) -> set[str]:
    """Names of the heavy modules that a fresh interpreter has loaded after running ``code``."""
    show = f"\nimport sys; print('LOADED', *[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code + show], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_import_dsr_loads_nothing_heavy():
    assert loaded_after("import dsr; dsr.FitOptions; dsr.FitResult; dsr.load_result; dir(dsr)") == set()


@pytest.mark.parametrize("command", ["fit", "eval", "train", "doctor"])
def test_help_loads_nothing_heavy(command):
    assert loaded_after(f"from dsr.cli.{command} import main; assert main(['--help']) == 0") == set()


def test_the_help_of_dsr_fit_does_not_even_load_numpy():
    code = "from dsr.cli.fit import main; assert main(['--help']) == 0; import sys; assert 'numpy' not in sys.modules"
    assert loaded_after(code) == set()


def test_usage_errors_are_found_before_anything_heavy_is_loaded():
    code = "from dsr.cli.fit import main; assert main(['nothing-here.jpg', '--out', 'x', '--regressor', 'dsr']) == 2"
    assert loaded_after(code) == set()


def test_results_are_read_without_torch(tmp_path):
    code = (
        "import numpy as np\nfrom dsr.results import *\n"
        f"save_result(FitResult('no_person', 'a.jpg', K=np.eye(3)), r'{tmp_path}/a.json')\n"
        f"import dsr; assert dsr.load_result(r'{tmp_path}/a.npz').status == 'no_person'"
    )
    assert loaded_after(code) == set()


def test_unknown_names_are_attribute_errors():
    import dsr

    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = dsr.nonsense
    assert set(dsr.__all__) <= set(dir(dsr))
