"""How much a client may ask for."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from vireid_plugins.errors import ConfigError

# Clients whose requests are counted at a time; of more, the ones that were silent longest are forgotten.
CLIENTS = 10_000
# Share of a request that a thumbnail counts: a page of results has many.
THUMBNAIL = 0.05


@dataclass(frozen=True)
class Limits:
    """Limits of a service.

    Attributes:
        upload: size of an image, bytes.
        rate: requests a minute and client, and how many may come at once; 0 does not count.
        seconds: time for sending a request's body, and for its answer.
        pixels: number of pixels of an image.
        waiting: queries that wait for an answer at a time.
        top: images, or people, of an answer.
        uploads: how many uploads of the largest size fit into the memory for all of them.

    Raises:
        ConfigError: a limit is not positive.
    """

    upload: int
    rate: int
    seconds: float
    pixels: int = 16_000_000
    waiting: int = 256
    top: int = 100
    uploads: int = 8

    def __post_init__(self) -> None:
        if self.rate < 0 or min(self.upload, self.pixels, self.seconds, self.waiting, self.top, self.uploads) <= 0:
            raise ConfigError(f"limits must be positive, got {self}")

    @property
    def held(self) -> int:
        """Size of all images together that are being sent or answered, bytes."""
        return self.uploads * self.upload


class Rate:
    """Counts the requests of each client: a bucket of `rate` that fills again in a minute.

    Args:
        rate: see `Limits`.
        clock: returns seconds.
    """

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.clock = rate, clock
        # What is left of each client's bucket, and when that was so; who asked last is last.
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, address: str, cost: float = 1.0) -> float:
        """Count a request, and return 0; or return the seconds until it would be allowed.

        Args:
            address: of the client; addresses of one network of IPv6 are one client.
            cost: how many requests it counts as.
        """
        if not self.rate:
            return 0.0
        now, client = self.clock(), _client(address)
        left, then = self._left.pop(client, (float(self.rate), now))
        left = min(self.rate, left + (now - then) * self.rate / 60)
        # Sums of shares may miss a whole number by a little.
        allowed = left >= cost - 1e-9
        self._left[client] = (max(0.0, left - cost) if allowed else left), now
        if len(self._left) > CLIENTS:
            self._left.popitem(last=False)
        return 0.0 if allowed else (cost - left) * 60 / self.rate


def _client(address: str) -> str:
    """Return whom an address counts for: itself, or the network of 64 bits that one user of IPv6 has."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else address
