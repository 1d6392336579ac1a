"""Whether a service can be asked yet: one look, which has an end whatever the service does."""

import http.client
import socket
import threading
from contextlib import suppress
from typing import Final

from sse_check.escape import visible
from sse_check.scenario import Service

_MAX_BODY: Final = 64 * 1024
_LOOK_S: Final = 2.0  # for one look in all: a service that answers a byte a second is not ready


def not_ready(name: str, service: Service, address: str | None, health: str) -> str | None:
    """What a service still lacks, in words, or None. `health` is what its image's own health check says."""
    if health != "healthy":
        return f"its image's health check says {health}"
    if service.port is None:
        return None
    if address is None:
        return "it has no address yet"
    if service.ready.http is None:
        try:
            socket.create_connection((address, service.port), _LOOK_S).close()
        except OSError as error:
            return f"nothing takes connections on port {service.port} ({error.strerror or error})"
        return None
    asked = f"GET {service.ready.http} on port {service.port}"
    try:
        status = _status(name, service.ready.http, address, service.port)
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return f"{asked} is not answered ({visible(why, 100)})"
    return None if 200 <= status < 300 else f"{asked} is answered with status {status}"


def _status(name: str, path: str, address: str, port: int) -> int:
    """The status of one request. Raises OSError, HTTPException or ValueError where there is none in time."""
    connection = http.client.HTTPConnection(address, port, timeout=_LOOK_S)
    connection.connect()
    # The timeout above is for each read; this one is for all of them.
    end = threading.Timer(_LOOK_S, _shut, [connection.sock])
    end.daemon = True
    end.start()
    try:
        connection.request("GET", path, headers={"Host": name, "User-Agent": "sse-check", "Connection": "close"})
        response = connection.getresponse()
        response.read(_MAX_BODY)  # a connection that is closed with bytes in it is an error in the service's log
        return response.status
    finally:
        end.cancel()
        connection.close()


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
