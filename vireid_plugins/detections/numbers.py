"""Numbers in files of boxes."""

import math


def number(text: object, name: str) -> float:
    """Return a finite number.

    Raises:
        ValueError: it is none; the message names the value.
    """
    try:
        value = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if isinstance(text, bool) or not math.isfinite(value):
        raise ValueError(f"{name} is '{text}', which is no finite number")
    return value


def whole(text: object, name: str) -> int:
    """Return a whole number, which may be written as 12, 12.0 or 1.2e1.

    Raises:
        ValueError: it is none; the message names the value.
    """
    value = number(text, name)
    if value != int(value):
        raise ValueError(f"{name} is '{text}', which is no whole number")
    return int(value)


def natural(text: object, name: str) -> int:
    """Return a whole number that is not negative.

    Raises:
        ValueError: it is none; the message names the value.
    """
    value = whole(text, name)
    if value < 0:
        raise ValueError(f"{name} is '{text}', which is negative")
    return value
