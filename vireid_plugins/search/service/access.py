"""Who may ask: everybody on this machine, or who knows the token.

Without a token only names of this machine are answered, and only pages of the service itself: any page that a browser
on this machine shows could send requests here, also under a name of its own that leads to this machine.
"""

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from vireid_plugins.errors import ConfigError

# Characters of a token: 16 of them, drawn at random, cannot be guessed.
SHORTEST = 16


@dataclass(frozen=True)
class Access:
    """Who may ask.

    Attributes:
        host: the address that the service binds to.
        token: what a client must know; empty for the clients on this machine.

    Raises:
        ConfigError: other machines can reach the service and there is no token, or it is too short or no header.
    """

    host: str
    token: str = ""

    def __post_init__(self) -> None:
        if not self.token and not is_loopback(self.host):
            raise ConfigError(
                f"--host {self.host}: other machines can reach it, so it needs a token of {SHORTEST} characters or "
                "more; set the variable VIREID_TOKEN"
            )
        if self.token and (len(self.token) < SHORTEST or not all("!" <= one <= "~" for one in self.token)):
            raise ConfigError(
                f"the token must have {SHORTEST} characters or more, of the letters, digits and signs of ASCII; "
                "openssl rand -hex 16 makes one"
            )

    def refusal(self, headers: Mapping[str, str]) -> tuple[int, str] | None:
        """Return why a request may not be answered: a status of HTTP and a text; None if it may.

        Args:
            headers: those of the request, by lower-case name.
        """
        host, origin = headers.get("host", ""), headers.get("origin")
        if self.token:
            given = headers.get("authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
                return 401, "a token is needed: the header 'Authorization: Bearer TOKEN'"
        elif not is_loopback(_split(f"//{host}").hostname or ""):
            return 403, "without a token the service answers only to the names of this machine, such as localhost"
        if origin is not None and (_split(origin).netloc or None) != host:
            return 403, "a page from elsewhere may not ask"
        return None


def _split(address: str) -> SplitResult:
    """Return the parts of an address; those of none if it is malformed."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def is_loopback(host: str) -> bool:
    """Return whether a name or an address leads to this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
