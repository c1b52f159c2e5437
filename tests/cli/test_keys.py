import pytest
from helpers import vireid

from vireid_plugins.config.keys import fastreid_keys, keys


def names(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines() if not line.startswith(" ")]


def test_keys_without_a_pattern_lists_every_key_with_default_and_meaning() -> None:
    ran = vireid("keys", COLUMNS="1000")
    assert ran.returncode == 0, ran.stderr
    every = [*keys(), *fastreid_keys()]
    assert ran.stdout == "".join(f"{key.name}  {key.default!r}\n    {key.about}\n" for key in every)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("sysu", "DATASETS.SYSU."),
        ("Sysu", "DATASETS.SYSU."),
        ("solver.*epochs", "SOLVER."),
        ("seed", ("SEED", "DATASETS.")),
        ("max_epoch", "SOLVER.MAX_EPOCH"),
    ],
)
def test_keys_of_a_pattern_are_those_that_match(pattern: str, expected: str | tuple[str, ...]) -> None:
    found = names(vireid("keys", pattern).stdout)
    assert found
    assert all(name.startswith(expected) for name in found)
    assert len(found) < len(keys()) / 4


def test_keys_of_a_pattern_without_a_match_is_one_message() -> None:
    ran = vireid("keys", "SYSUU")
    assert ran.returncode == 1
    assert ran.stderr == "error: no configuration key matches 'SYSUU'; `vireid keys` lists all\n"


def test_keys_of_fastreid_say_so_or_what_is_different_here() -> None:
    assert vireid("keys", "SOLVER.BASE_LR").stdout == "SOLVER.BASE_LR  0.0003\n    A key of fast-reid.\n"
    assert "Epochs of the run" in vireid("keys", "SOLVER.STEPS").stdout
    assert not {key.name for key in keys()} & {key.name for key in fastreid_keys()}


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("WRT", "MODEL.LOSSES.WRT  is now called MODEL.LOSSES.WEIGHTED_TRIPLET"),
        ("heterocentre", "HeteroCentre  in MODEL.LOSSES.NAME is now called HeteroCenter"),
        ("wrt.on", "MODEL.LOSSES.WRT.ON  no longer exists: the loss is the mean over all branches; leave the key out"),
    ],
)
def test_keys_of_an_earlier_name_say_what_became_of_it(pattern: str, said: str) -> None:
    ran = vireid("keys", pattern, COLUMNS="1000")
    assert ran.returncode == 0, ran.stderr
    assert said in ran.stdout.splitlines()
