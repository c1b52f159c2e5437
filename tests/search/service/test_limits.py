"""How often a client may ask."""

import pytest

from vireid_plugins.errors import ConfigError
from vireid_plugins.search.service.limits import CLIENTS, Limits, Rate


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_rate_allows_so_many_at_once_and_then_one_after_the_other() -> None:
    clock = Clock()
    rate = Rate(6, clock)
    assert [rate.wait("10.0.0.1") for _ in range(6)] == [0.0] * 6
    assert rate.wait("10.0.0.1") == pytest.approx(10)
    assert rate.wait("10.0.0.2") == 0
    clock.now = 9.9
    assert rate.wait("10.0.0.1") == pytest.approx(0.1)
    clock.now = 10.1
    assert [rate.wait("10.0.0.1") > 0 for _ in range(2)] == [False, True]
    clock.now = 1000
    assert [rate.wait("10.0.0.1") > 0 for _ in range(7)] == [False] * 6 + [True]


def test_rate_counts_shares_of_requests() -> None:
    rate = Rate(1, Clock())
    assert sum(rate.wait("a", 0.05) == 0 for _ in range(30)) == 20


def test_rate_counts_a_network_of_ipv6_as_one_client() -> None:
    rate = Rate(1, Clock())
    assert rate.wait("2001:db8:1:2::1") == 0
    assert rate.wait("2001:db8:1:2:ffff::2") > 0
    assert rate.wait("2001:db8:1:3::1") == 0


def test_rate_remembers_a_bounded_number_of_clients() -> None:
    rate = Rate(1, Clock())
    for number in range(CLIENTS + 5):
        rate.wait(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(rate._left) == CLIENTS
    assert Rate(0).wait("a") == 0


@pytest.mark.parametrize("wrong", [{"upload": 0}, {"rate": -1}, {"seconds": 0}, {"top": 0}])
def test_limits_that_allow_nothing_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="limits must be positive"):
        Limits(**{"upload": 1, "rate": 1, "seconds": 1, **wrong})
