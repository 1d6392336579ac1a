"""What it means where the check itself ran: in a container, localhost is the container's own."""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from sse_check.diagnosis.finding import Fix
from sse_check.metrics import StreamMetrics
from sse_check.recording import Environment

_DOCS: Final = "https://github.com/org/sse-check/blob/v1/docs/containers.md#localhost"
_SERVICES: Final = "https://docs.github.com/en/actions/using-containerized-services/about-service-containers"


def of_place(code: str, m: StreamMetrics, environment: Environment) -> tuple[str, tuple[Fix, ...]]:
    """What the place of the check adds to a finding: a sentence, and the cures that come before all others."""
    if code != "refused" or environment.inside is None:
        return "", ()
    try:
        parts = urlsplit(m.stream.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "", ()  # the URL as it was recorded, in which a secret may have stood
    host = parts.hostname or ""
    machine = f"{parts.scheme}://{environment.gateway or 'ADDRESS-OF-THE-BRIDGE'}:{port}"
    if host == "host.docker.internal" and m.stream.reason == "dns":
        return " Docker on Linux does not know this name.", _cures(environment, machine, port)
    if m.stream.reason != "tcp":
        return "", ()  # something did answer
    if _is_own(host):
        where = "An action in a container" if environment.inside == "action" else "sse-check, in a container,"
        return f" {where} has a localhost of its own, in which nothing listens; the machine's is another.", _cures(
            environment, machine, port
        )
    if host == environment.gateway:
        text = f"Let the server listen on 0.0.0.0:{port}: one that listens on 127.0.0.1 is not reached from a container."
        return " This is the machine that the container runs on.", (Fix(where="server", text=text, source=_DOCS),)
    return "", ()


def _is_own(host: str) -> bool:
    """Whether a host is the one that asks: localhost by name (RFC 6761, section 6.3), a loopback or the unspecified address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _cures(environment: Environment, machine: str, port: int) -> tuple[Fix, ...]:
    bridge = Fix(
        where="scenario",
        text=f"For a server that an earlier step started: let it listen on `0.0.0.0:{port}`, and ask `{machine}`, the machine's address on the bridge.",
        source=_DOCS,
    )
    if environment.inside == "container":
        network = Fix(
            where="docker run", text=f"Or share the machine's network: `--network host` makes its localhost:{port} yours.", source=_DOCS
        )
        return bridge, network
    return (
        Fix(
            where="workflow",
            text=f"Start the server as a service of the job (`services:` with the name `app`), and ask `http://app:{port}`: the action is on its network.",
            source=_SERVICES,
        ),
        bridge,
        Fix(
            where="workflow",
            text="Or use `org/sse-check/composite@v1`, which runs on the machine itself: there localhost is what it seems.",
            source=_DOCS,
        ),
        Fix(
            where="scenario",
            text="Or let sse-check start the server from the pull request itself (`services`, with the input `containers: true`).",
            source=_DOCS,
        ),
    )
