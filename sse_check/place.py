"""Where sse-check itself runs: in a container, whose localhost is not the machine's, or not; and as which container."""

import os
import re
import socket
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Final, Literal

_OWN_MOUNTS: Final = frozenset({"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"})
_CONTAINER_ID: Final = re.compile(r"/containers/([0-9a-f]{64})/")


def own_container_id() -> str | None:
    """The id (or the host name, which is the short id by default) of the container that this process runs in; None outside of one.

    Docker mounts three files from `…/containers/<id>/`. Only these mount points count: on the engine's own machine the
    table lists the mounts of every container. Another engine than the one at hand may have started it.
    """
    try:
        table = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    for line in table.splitlines():
        root, mount_point = line.split(" ", 5)[3:5]  # proc_pid_mountinfo(5), fields 4 and 5
        if mount_point in _OWN_MOUNTS and (found := _CONTAINER_ID.search(root)):
            return found[1]
    return socket.gethostname() if Path("/.dockerenv").exists() else None


def first_process() -> list[str]:
    """The command line of process 1: in a container, what it was started with."""
    try:
        return Path("/proc/1/cmdline").read_bytes().decode("utf-8", "replace").rstrip("\0").split("\0")
    except OSError:
        return []


def inside(environ: Mapping[str, str] = os.environ) -> Literal["container", "action"] | None:
    """Whether localhost is a container's own here, and whether that container is a step of a workflow."""
    shares_the_network = Path("/sys/class/net/docker0").exists()
    if shares_the_network or own_container_id() is None:
        return None
    return "action" if environ.get("GITHUB_ACTIONS") == "true" else "container"


def forget_missing_certificates(environ: MutableMapping[str, str] = os.environ) -> list[str]:
    """Take away what names certificates that are not here, and say of each what it was.

    A job's SSL_CERT_FILE reaches into a container, its file does not; OpenSSL would then trust nobody at all, and every
    certificate would look like a fault of the deployment.
    """
    # SSL_CERT_DIR may be a list, as OpenSSL reads it.
    named = {name: environ[name].split(os.pathsep) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if environ.get(name)}
    missing = [name for name, paths in named.items() if not any(Path(path).exists() for path in paths if path)]
    return [f"{name}={environ.pop(name)}" for name in missing]


def extra_authorities(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Files of further certificate authorities that this machine's owner trusts, by the variable that names each.

    OpenSSL reads SSL_CERT_FILE by itself; these are how other tools of a runner behind a proxy are told.
    """
    named = {name: environ.get(name, "") for name in ("NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")}
    return {name: path for name, path in named.items() if Path(path).is_file()}


def gateway(table: Path = Path("/proc/net/route")) -> str | None:
    """The address of the default route: in a container on a bridge, the machine that it runs on."""
    try:
        rows = [line.split() for line in table.read_text(encoding="ascii").splitlines()[1:]]
        address = next(row[2] for row in rows if row[1] == "00000000" and row[2] != "00000000")
        return socket.inet_ntoa(bytes.fromhex(address)[::-1])  # the kernel prints it in the machine's order, which is little-endian
    except (OSError, StopIteration, ValueError, IndexError):
        return None
