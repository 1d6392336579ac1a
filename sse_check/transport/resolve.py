"""Host names of the run's own network, beside those that the system resolves."""

import ipaddress
import socket
from collections.abc import Mapping

from aiohttp.abc import AbstractResolver, ResolveResult

from sse_check.daemon import in_thread


class KnownFirst(AbstractResolver):
    """Answers from a table of names, or name:port, and addresses (with commas between several) first, else asks the system.

    The system's resolver blocks, for half a minute if its servers do not answer; so it is asked in a daemon thread.
    """

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """The addresses of a host name, as aiohttp's connector wants them. Raises OSError where there are none."""
        known = known_address(self._addresses, host, port)
        if known is not None:
            addresses = [(text.strip(), socket.AF_INET6 if ":" in text else socket.AF_INET) for text in known.split(",")]
            wanted = [_result(host, text, port, kind, 0) for text, kind in addresses if family in (socket.AF_UNSPEC, kind)]
            if not wanted:
                raise socket.gaierror(socket.EAI_ADDRFAMILY, f"{host} is resolved to {known}, which is another version of IP")
            return wanted
        # Whoever asks for IPv6 alone wants it tried, even where the machine has no address of it but the loopback's.
        flags = socket.AI_ADDRCONFIG if family == socket.AF_UNSPEC else 0
        found = await in_thread(lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=flags))
        # A link-local IPv6 address means something together with its interface only; getnameinfo writes both.
        return [
            _result(host, socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0], port, kind, proto)
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        """Nothing is kept open."""


def known_address(addresses: Mapping[str, str], host: str, port: int) -> str | None:
    """Where a host is reached by the table, if it says; its port's own entry goes before the host's."""
    host = host.lower()
    return addresses.get(f"{host}:{port}") or addresses.get(host)


def other_version(host: str, family: socket.AddressFamily) -> str | None:
    """What is wrong where a URL's host is itself an address, of another version of IP than the one that is wanted; else None."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    wanted = {socket.AF_INET: 4, socket.AF_INET6: 6}.get(family, version)
    return None if version == wanted else f"{host} is an address of IPv{version}, and only IPv{wanted} is to be used"


def _result(host: str, address: str, port: int, family: int, proto: int) -> ResolveResult:
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=proto, flags=socket.AI_NUMERICHOST)
