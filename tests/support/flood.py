"""Servers that send without end: blocking, a thread for each connection, so that they are fast and know no protocol but the test's."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import repeat

Serve = Callable[[socket.socket, bytes], None]  # a connection whose request (its head) has been read

ENOUGH_S = 60.0  # a server that sends for ever sends for so long


def endlessly(sock: socket.socket, piece: bytes, *, every: float = 0.0) -> None:
    """Send this again and again, in large writes where there is no pause between."""
    until = time.monotonic() + ENOUGH_S
    much = piece if every else piece * max(1, 262_144 // len(piece))
    while time.monotonic() < until:
        sock.sendall(much)
        if every:
            time.sleep(every)


def flood(head: bytes, piece: bytes, *, every: float = 0.0) -> Serve:
    """Answer with this, and then without end with that."""

    def serve(sock: socket.socket, request: bytes) -> None:
        sock.sendall(head)
        endlessly(sock, piece, every=every)

    return serve


def silence(sock: socket.socket, request: bytes) -> None:
    """Say nothing."""
    with suppress(OSError):
        sock.settimeout(ENOUGH_S)
        while sock.recv(65536):
            pass


@contextmanager
def flooding(serve: Serve, *, tls: ssl.SSLContext | None = None, shake: bool = True, ask: bool = True) -> Iterator[str]:
    """Serve each connection like this while the context lasts; gives the base URL.

    `tls` is spoken from the beginning, or, where `shake` is false, announced by the URL and never spoken. `ask`: the request is read.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    connections: list[socket.socket] = []

    def converse(sock: socket.socket) -> None:
        with suppress(OSError):
            if tls is not None and shake:
                sock = tls.wrap_socket(sock, server_side=True)
            request = b""
            while ask and b"\r\n\r\n" not in request and (more := sock.recv(65536)):
                request += more
            serve(sock, request)
            sock.shutdown(socket.SHUT_WR)
            silence(sock, request)
        sock.close()

    def accept() -> None:
        with suppress(OSError):
            for _ in repeat(None):
                sock, _ = listener.accept()
                connections.append(sock)
                threading.Thread(target=converse, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"{'https' if tls is not None else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for sock in connections:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
