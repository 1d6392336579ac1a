"""Errors by which the system says that this machine could not even try: of them the other side knows nothing."""

import errno
import re
import socket
import ssl
from typing import Final

# Of socket(2), connect(2), ip(7) and pthread_create(3): no file, buffer, thread or memory left, no local port or address to begin at, no such version of IP, no
# route or interface to it, a rule of this machine that forbids it. (A router's refusal of a packet comes as EHOSTUNREACH, but over
# IPv6 as EACCES, RFC 4443, section 3.1: where it cannot be told whose rule it was, it is not held against the deployment.)
LOCAL: Final = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EAGAIN,
        errno.EADDRNOTAVAIL,
        errno.EADDRINUSE,
        errno.EAFNOSUPPORT,
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.EACCES,
        errno.EPERM,
    }
)
# Of getaddrinfo(3): no memory; and no answer for now, which is what it says of a resolver that does not answer, or cannot.
_UNRESOLVED: Final = frozenset({socket.EAI_MEMORY, socket.EAI_AGAIN})
_NUMBER: Final = re.compile(r"\[Errno (\d+)\]")


def is_local(error: BaseException) -> bool:
    """Whether an error is this machine's own, and not what the network or the other side answered.

    Where several addresses were tried and failed differently (the error then has no number of its own, aiohappyeyeballs), every one of
    them was this machine's.
    """
    if isinstance(error, socket.gaierror):
        return error.errno in _UNRESOLVED
    if not isinstance(error, OSError) or isinstance(error, ssl.SSLError):  # whose numbers are OpenSSL's
        return False
    if error.errno is not None:
        return error.errno in LOCAL
    numbers = [int(number) for number in _NUMBER.findall(str(error))]
    return bool(numbers) and all(number in LOCAL for number in numbers)
