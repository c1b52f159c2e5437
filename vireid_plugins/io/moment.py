"""Points in time as numbers: seconds since 1970, in UTC."""

import re
from datetime import datetime, timezone

from vireid_plugins.errors import ConfigError

# The seconds that `written` can write: of the years 1 to 9999.
FIRST, LAST = -62_135_596_800, 253_402_300_799


def moment(text: str, key: str = "") -> float:
    """Return the seconds since 1970 (UTC) of a time in ISO 8601, which is UTC unless it says otherwise.

    Args:
        text: such as 2024-05-31T14:00:00+02:00.
        key: the setting that it comes from, for the message.

    Raises:
        ConfigError: it is no time.
    """
    try:
        # Python 3.10 does not know the Z.
        time = datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", text.strip()))
    except ValueError:
        raise ConfigError(
            f"{f'{key}: ' if key else ''}'{text}' is no time; write 2024-05-31T14:00:00, with +02:00 behind it unless "
            "it is UTC"
        ) from None
    return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp()


def written(time: float) -> str:
    """Return a number of seconds since 1970 as ISO 8601, in UTC."""
    return datetime.fromtimestamp(time, timezone.utc).isoformat()
