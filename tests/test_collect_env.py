from helpers import python

from vireid_plugins.collect_env import PACKAGES, collect


def test_it_says_what_a_result_depends_on() -> None:
    found = collect()
    assert set(PACKAGES) < set(found)
    assert found["fastreid"] == "1.4.0"
    ran = python("-m", "vireid_plugins.collect_env", FASTREID_DATASETS="/data")
    assert ran.returncode == 0, ran.stderr
    lines = dict(line.split(": ", 1) for line in ran.stdout.splitlines())
    assert set(lines) == set(found)
    assert lines["FASTREID_DATASETS"] == "/data"
    assert lines["torch"] == found["torch"]
