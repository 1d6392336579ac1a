"""Host names of the run's own network, beside those that the system resolves."""

import socket
from collections.abc import Mapping

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver


class KnownFirst(AbstractResolver):
    """Answers from a table of names and IPv4 addresses first, and asks the system for every other name."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = addresses
        self._system = DefaultResolver()

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """The addresses of a host name, as aiohttp's connector wants them. Raises OSError where there are none."""
        address = self._addresses.get(host)
        if address is None:
            return await self._system.resolve(host, port, family)
        known = ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=socket.AI_NUMERICHOST)
        return [known]

    async def close(self) -> None:
        """Nothing is kept open."""
        await self._system.close()
