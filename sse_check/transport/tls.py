"""How certificates are verified, and which one is shown to whom."""

import ssl
from collections.abc import Mapping
from functools import cache

from sse_check.errors import UsageError
from sse_check.place import extra_authorities
from sse_check.scenario import Scenario, Tls
from sse_check.transport import same_origin


class Certificates:
    """What a scenario says of certificates, as contexts; each is made once, when it is first needed.

    Where it says nothing, and the machine's owner neither, there are none: the default of whoever connects is right.
    """

    def __init__(self, scenario: Scenario) -> None:
        """Raises UsageError where a file cannot be used."""
        self._tls = scenario.target.tls
        self._target = scenario.target.url
        self._authorities = extra_authorities()
        self._made: dict[tuple[bool, bool], ssl.SSLContext] = {}
        self.context()

    def for_url(self, url: str, *, http2: bool = False) -> ssl.SSLContext | None:
        """The context for a request to this URL; the client's certificate is shown to the target's own origin only.

        Where a scenario names no target, its URLs are all the same to it.
        """
        return self.context(shown=self._target is None or same_origin(url, self._target), http2=http2)

    def context(self, *, shown: bool = True, http2: bool = False) -> ssl.SSLContext | None:
        """A context, with or without the client's certificate. One for HTTP/2 is apart: who shares it would be offered that."""
        if self._tls == Tls() and not self._authorities:
            return None
        key = (shown and self._tls.cert is not None, http2)
        if key not in self._made:
            context = _context(self._tls, self._authorities, shown=shown)
            self._made[key] = offering_http2(context) if http2 else context
        return self._made[key]


@cache
def default_context(*, http2: bool = False) -> ssl.SSLContext:
    """What connections are made with where a scenario says nothing of certificates: reading the system's takes longer than a handshake."""
    context = ssl.create_default_context()
    return offering_http2(context) if http2 else context


def offering_http2(context: ssl.SSLContext) -> ssl.SSLContext:
    """The context, from now on for HTTP/2 only: a server that may choose it will not speak HTTP/1.1."""
    context.set_alpn_protocols(["h2", "http/1.1"])  # what browsers offer, in their order
    return context


def _context(tls: Tls, authorities: Mapping[str, str], *, shown: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for name, file in (*authorities.items(), ("target.tls.ca", tls.ca)):
        if file is not None:
            try:
                context.load_verify_locations(file)
            except (OSError, ssl.SSLError) as error:
                raise _unusable(name, file, "holds no certificate that can be used", error) from None
    if tls.cert is not None and shown:
        try:
            # Without a password of ours a key that needs one would be asked for at the terminal.
            context.load_cert_chain(tls.cert, tls.key, password="")
        except (OSError, ssl.SSLError) as error:
            raise _unusable("target.tls.cert", tls.cert, "and its private key cannot be used", error) from None
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _unusable(name: str, file: str, wrong: str, error: OSError) -> UsageError:
    why = getattr(error, "reason", None) or error.strerror or type(error).__name__
    return UsageError(f"{name}: {file} {wrong} ({why}). Name a PEM file.")
