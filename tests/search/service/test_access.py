"""Where a token is needed."""

import pytest

from vireid_plugins.errors import ConfigError
from vireid_plugins.search.service.access import Access, is_loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "camera-room", ""])
def test_access_for_other_machines_needs_a_token(host: str) -> None:
    with pytest.raises(ConfigError, match="it needs a token of 16 characters or more; set the variable VIREID_TOKEN"):
        Access(host)
    assert Access(host, "x" * 16).refusal({"authorization": f"Bearer {'x' * 16}"}) is None


@pytest.mark.parametrize("token", ["short", "x" * 15, "x" * 15 + " ", "x" * 16 + "\n", "ü" * 20])
def test_access_with_a_token_that_is_none_says_how_to_make_one(token: str) -> None:
    with pytest.raises(ConfigError, match=r"the token must have 16 characters or more.*openssl rand"):
        Access("127.0.0.1", token)


def test_loopback_is_this_machine_alone() -> None:
    assert all(map(is_loopback, ["localhost", "127.0.0.1", "127.8.0.1", "::1"]))
    assert not any(map(is_loopback, ["", "0.0.0.0", "::", "localhost.example", "127.0.0.1.example", "10.0.0.1"]))
