"""`~` and variables in paths. Imports only the standard library, so that command lines are parsed quickly."""

import os
import re

_VARIABLE = re.compile(r"\$(?:(\w+)|\{([^}]*)\})", re.ASCII)


def expand(path: str) -> str:
    """Return a path with a leading `~` or `~user`, `$NAME` and `${NAME}` replaced, as a shell does.

    Raises:
        ValueError: a variable is not set, there is no such user, or the path holds NUL; the message names it.
    """

    def value(match: "re.Match[str]") -> str:
        name = match[1] or match[2]
        if name not in os.environ:
            raise ValueError(f"'{path}': the variable {name} is not set; set it, or write the path out")
        return os.environ[name]

    if "\0" in path:
        raise ValueError(f"{path!r}: a path cannot hold the character NUL")
    home = os.path.expanduser(path)  # noqa: PTH111  `Path` would drop a trailing slash
    if home.startswith("~") and not os.path.lexists(home.split("/")[0]):
        raise ValueError(f"'{path}': there is no home folder {path.split('/')[0]}; write the path out")
    return _VARIABLE.sub(value, home)
