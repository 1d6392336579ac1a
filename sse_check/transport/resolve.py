"""Where hosts are: the names of the run's own network, those that the system resolves, and what may be asked of either.

All connections of a run are made to addresses from here, and to no other look-up of the name: an address that was looked at
cannot be exchanged for another one (DNS rebinding).
"""

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Final
from weakref import WeakKeyDictionary

from sse_check.daemon import in_thread
from sse_check.hosts import is_public, why_never

Way = tuple[socket.AddressFamily, int, str]


class ForbiddenError(OSError):
    """A host leads only to addresses that are not asked; the message says to which, and why."""


# Streams that are opened together ask for the same name: a thousand look-ups at once would be a fault of our own making.
_KEPT_S: Final = 1.0
# After so many seconds a resolver that has no answer for now is asked again, as browsers do.
_AGAIN_S: Final = (0.5, 1.0)


@dataclass(slots=True)
class _LookUp:
    """A look-up that is under way or was: who asks for the same until `over_at`, by the loop's clock, shares it. `shared` counts them."""

    found: "asyncio.Task[list[Way]]"
    over_at: float = inf
    shared: int = 0


_LOOK_UPS: "WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, int, int], _LookUp]]" = WeakKeyDictionary()


async def addresses_of(
    host: str, port: int, family: socket.AddressFamily, known: Mapping[str, str], *, public_only: bool = False
) -> list[Way]:
    """The family, protocol and address of each way to a host that may be asked. Raises OSError where there are none (ForbiddenError).

    Left out are the addresses that are never asked (hosts.py), and with `public_only` those of private networks.
    """
    if (why := why_never(host)) is not None:
        raise ForbiddenError(f"{host} is never asked: {why}")
    ways = await any_addresses_of(host, port, family, known)
    allowed = [way for way in ways if _why_not(way[2], public_only) is None]
    if ways and not allowed:
        address = ways[0][2]
        raise ForbiddenError(f"{'' if address == host else f'{host} leads to '}{address}, which is {_why_not(address, public_only)}")
    return allowed


def _why_not(address: str, public_only: bool) -> str | None:
    if (why := why_never(address)) is not None:
        return f"never asked: {why}"
    if public_only and not is_public(address):
        return "not asked: a redirect from the Internet into a private network is not followed. Ask that URL itself if it is meant"
    return None


async def any_addresses_of(host: str, port: int, family: socket.AddressFamily, known: Mapping[str, str]) -> list[Way]:
    """The same, whatever the addresses are: of a host that the owner of the machine names, as a proxy of the environment is.

    `known` is a table of names, or name:port, and addresses (with commas between several), which goes before the system. The system's
    resolver blocks, for half a minute if its servers do not answer; so it is asked in a daemon thread, and once for all who ask until a
    second after its answer. Each of them gets the addresses in another order, as from a name server that has several: load is spread as it would be.
    """
    table = known_address(known, host, port)
    if table is not None:
        ways = [_of_address(text.strip()) for text in table.split(",")]
        wanted = [way for way in ways if family in (socket.AF_UNSPEC, way[0])]
        if not wanted:
            raise socket.gaierror(socket.EAI_ADDRFAMILY, f"{host} is resolved to {table}, which is another version of IP")
        return wanted
    if is_address(host) and "%" not in host:
        return [_of_address(host)]
    # Whoever asks for IPv6 alone wants it tried, even where the machine has no address of it but the loopback's.
    flags = socket.AI_ADDRCONFIG if family == socket.AF_UNSPEC else 0
    return await _look_up(host, port, family, flags)


async def _look_up(host: str, port: int, family: int, flags: int) -> list[Way]:
    loop = asyncio.get_running_loop()
    look_ups = _LOOK_UPS.setdefault(loop, {})
    key = (host, port, family)
    known = look_ups.get(key)
    if known is None or known.over_at < loop.time():
        known = look_ups[key] = _LookUp(asyncio.ensure_future(_asked(host, port, family, flags)))
        known.found.add_done_callback(partial(_over, known, loop))
    turn, known.shared = known.shared, known.shared + 1
    return _rotated(await asyncio.shield(known.found), turn)  # who is cancelled takes it from nobody else


def _over(look_up: _LookUp, loop: asyncio.AbstractEventLoop, found: "asyncio.Task[list[Way]]") -> None:
    """Keep what was found for a moment; what failed may succeed for the next one who asks."""
    failed = found.cancelled() or found.exception() is not None
    look_up.over_at = -inf if failed else loop.time() + _KEPT_S


async def _asked(host: str, port: int, family: int, flags: int) -> list[Way]:
    """What the system's resolver says, asked again where it has no answer for now."""
    for again in (*_AGAIN_S, None):
        try:
            found = await in_thread(lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=flags))
            break
        except socket.gaierror as error:
            if error.errno != socket.EAI_AGAIN or again is None:
                raise
            await asyncio.sleep(again)
    # A link-local IPv6 address means something together with its interface only; getnameinfo writes both.
    return [
        (kind, proto, socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]) for kind, _, proto, _, address in found
    ]


def _rotated(ways: list[Way], by: int) -> list[Way]:
    """The same ways, those of each version of IP beginning with another one."""
    versions: dict[socket.AddressFamily, list[Way]] = {}
    for way in ways:
        versions.setdefault(way[0], []).append(way)
    return [way for some in versions.values() for way in (*some[by % len(some) :], *some[: by % len(some)])]


def _of_address(text: str) -> Way:
    return (socket.AF_INET6 if ":" in text else socket.AF_INET), 0, text


def is_address(host: str) -> bool:
    """Whether a URL's host is itself an address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


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
