from helpers import python

from vireid_plugins.collect_env import PACKAGES, collect


def test_collect_env_says_what_a_result_depends_on() -> None:
    found = collect()
    assert set(PACKAGES) < set(found)
    assert found["fastreid"] == "1.4.0"
    ran = python("-m", "vireid_plugins.collect_env", FASTREID_DATASETS="/data")
    assert ran.returncode == 0, ran.stderr
    lines = dict(line.split(": ", 1) for line in ran.stdout.splitlines())
    assert set(lines) == set(found)
    assert lines["FASTREID_DATASETS"] == "/data"
    assert lines["torch"] == found["torch"]


def test_pip_check_of_what_is_installed_objects_to_fastreid_s_pins_alone() -> None:
    ran = python("-m", "pip", "check")
    others = [line for line in ran.stdout.splitlines() if not line.startswith("fastreid 1.4.0 ")]
    assert others in ([], ["No broken requirements found."]), ran.stdout
