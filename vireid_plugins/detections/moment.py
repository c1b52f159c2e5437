"""Times of day as numbers."""

import re
from datetime import datetime, timezone

from vireid_plugins.errors import ConfigError


def moment(key: str, text: str) -> float:
    """Return the seconds since 1970 (UTC) of a time in ISO 8601, which is UTC unless it says otherwise.

    Args:
        key: the setting that it comes from, for the message.
        text: such as 2024-05-31T14:00:00+02:00.

    Raises:
        ConfigError: it is no time.
    """
    try:
        time = datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", text.strip()))
    except ValueError:
        raise ConfigError(
            f"{key}: '{text}' is no time; write 2024-05-31T14:00:00, with +02:00 behind it unless it is UTC"
        ) from None
    return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp()
