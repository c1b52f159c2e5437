"""Run the service until it is told to stop."""

import asyncio
import signal
import socket
from collections.abc import Callable
from typing import Any, ClassVar

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from vireid_plugins.errors import ConfigError

# Connections at a time, and seconds that an idle one is kept.
CONNECTIONS, IDLE = 512, 10


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: an address or a name of this machine.
        port: 0 for any that is free.

    Raises:
        ConfigError: nobody may listen there, or somebody does.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=CONNECTIONS)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"--host {host} --port {port}: cannot listen there: {reason}; choose another port") from None
    # An answer is sent in two parts, and the second would wait 40 ms until the client has acknowledged the first.
    # asyncio sees to that only where a socket names its protocol, which this one and what it accepts do not.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def url_of(listener: socket.socket) -> str:
    """Return where a service is reached."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


class Protocol(H11Protocol):
    """A connection that is closed if no request begins in some seconds, such as one whose headers never end.

    Attributes:
        seconds: the time for it, once or twice.
    """

    seconds: ClassVar[float] = 15.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `H11Protocol`."""
        super().connection_made(transport)
        self.loop.call_later(self.seconds, self._look, None)

    def _look(self, before: Any) -> None:
        """Close the connection if no request has begun since the last look, and none is being answered."""
        if self.transport.is_closing():
            return
        if self.cycle is before and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()
        else:
            self.loop.call_later(self.seconds, self._look, self.cycle)


def run(app: Any, listener: socket.socket, seconds: float, started: Callable[[], object]) -> None:
    """Answer requests until Ctrl-C or SIGTERM; what is being answered then is answered first.

    Args:
        app: an application of ASGI.
        listener: the socket.
        seconds: how long that may take.
        started: called when signals are obeyed.
    """
    config = uvicorn.Config(
        app, http=Protocol, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
        limit_concurrency=CONNECTIONS, timeout_keep_alive=IDLE, timeout_graceful_shutdown=max(1, round(seconds)),
    )  # fmt: skip
    server = uvicorn.Server(config)

    def stop(number: int, frame: object) -> None:
        server.should_exit = True

    # Before and after uvicorn's own handlers, which send the signal once more when the server has stopped.
    former = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        started()
        server.run(sockets=[listener])
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
