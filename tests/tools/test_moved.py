import pytest
from _moved import NEW_NAMES
from helpers import ROOT, python


@pytest.mark.parametrize("old", NEW_NAMES)
def test_moved_names_the_new_script_and_runs_nothing(old: str) -> None:
    ran = python(f"tools/{old}", "--help")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == f"error: tools/{old} is now tools/{NEW_NAMES[old]}\n"
    assert (ROOT / "tools" / NEW_NAMES[old]).is_file()
