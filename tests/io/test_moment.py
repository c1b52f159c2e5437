import pytest

from vireid_plugins.errors import ConfigError
from vireid_plugins.io.moment import moment, written


@pytest.mark.parametrize("text", ["2024-05-31T12:00:00", "2024-05-31T12:00:00Z", "2024-05-31 14:00:00+02:00"])
def test_moment_is_utc_unless_it_says_otherwise(text: str) -> None:
    assert moment(text, "--start-time") == 1717156800


@pytest.mark.parametrize("text", ["noon", "31.05.2024", "2024-13-01T00:00:00"])
def test_moment_of_no_time_shows_how_to_write_one(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--start-time: .* is no time; write 2024-05-31T14:00:00"):
        moment(text, "--start-time")


def test_written_is_read_again() -> None:
    assert written(1717156800.5) == "2024-05-31T12:00:00.500000+00:00"
    assert moment(written(1717156800.5)) == 1717156800.5
