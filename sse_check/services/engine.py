"""What is asked of the container engine beside starting and stopping: is it there, who are we to it, and its images."""

import io
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast

from sse_check.errors import UsageError
from sse_check.place import first_process, own_container_id
from sse_check.scenario import Service

if TYPE_CHECKING:
    from docker import DockerClient

SOCKET: Final = "/var/run/docker.sock"

_API_S: Final = 60  # for one answer of the engine
_BUILD_S: Final = 900  # for the next line of a build


def errors() -> tuple[type[Exception], ...]:
    """What the SDK raises where the engine refuses, does not answer, or answers something else than its API says."""
    from docker.errors import DockerException, StreamParseError
    from urllib3.exceptions import HTTPError

    return (OSError, ValueError, KeyError, DockerException, StreamParseError, HTTPError)


def connect(said: Callable[[Exception], str]) -> "DockerClient":
    """The engine's client. Raises UsageError where none answers."""
    import docker

    try:
        client = docker.from_env(timeout=_API_S)
        client.ping()
    except errors() as error:
        where = os.environ.get("DOCKER_HOST") or SOCKET
        raise UsageError(
            f"services: no Docker engine answers at {where} ({said(error)}). The scenario's services need one: a Linux runner with "
            f"Docker (not ubuntu-slim, not a Kubernetes runner), or in your own container -v {SOCKET}:{SOCKET}."
        ) from None
    return client


@dataclass(frozen=True, slots=True)
class Own:
    """The container that this process runs in, as its engine knows it.

    `whole`: it is this process's own. Else only its network is (`--network container:…`), for the files that tell
    which container this is come with the network.
    """

    id: str
    image: str
    whole: bool
    on_the_machines_network: bool
    mounts: Mapping[str, str]  # from a place in the container to the machine's


def own_container(client: "DockerClient") -> Own | None:
    """The container that this process runs in; None outside of one, and in one of another engine's."""
    from docker.errors import NotFound

    candidate = own_container_id()
    if candidate is None:
        return None
    try:
        container = client.containers.get(candidate)
    except NotFound:
        return None
    if container.id is None or not container.id.startswith(candidate):
        return None  # another's name, which happens to be this machine's
    begun = [container.attrs["Path"], *container.attrs["Args"]]
    return Own(
        id=container.id,
        image=container.attrs["Image"],
        whole=first_process()[-len(begun) :] == begun,  # an init may stand before it
        on_the_machines_network=container.attrs["HostConfig"]["NetworkMode"] == "host",
        mounts={mount["Destination"]: mount.get("Source", "") for mount in container.attrs["Mounts"]},
    )


def build(client: "DockerClient", service: Service, labels: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Build a service's image; what the engine says of it, bit by bit. Whoever stops listening ends the build.

    By the engine's classic builder. The context is the directory without what `.dockerignore` names, and without
    `.git`, where a checkout may have left credentials.
    """
    import docker.utils

    directory = os.path.realpath(service.build or ".")
    ignored = Path(directory, ".dockerignore")
    lines = ignored.read_text(encoding="utf-8", errors="replace").splitlines() if ignored.is_file() else []
    patterns = [line for text in lines if (line := text.strip()) and not line.startswith("#")]
    dockerfile = os.path.normpath(service.dockerfile)
    context = cast("IO[bytes]", docker.utils.tar(Path(directory), exclude=[*patterns, ".git", "**/.git"], dockerfile=(dockerfile, None)))
    with context:
        yield from client.api.build(
            fileobj=context, custom_context=True, dockerfile=dockerfile, labels=labels, rm=True, forcerm=True, decode=True, timeout=_BUILD_S
        )


def pull(client: "DockerClient", image: str) -> Iterator[dict[str, Any]]:
    """Pull an image unless the engine has it; what the engine says of it, bit by bit."""
    from docker.errors import ImageNotFound

    try:
        client.images.get(image)
    except ImageNotFound:
        name, tag, digest = _reference(image)
        yield from client.api.pull(name, tag=digest or tag or "latest", stream=True, decode=True)


def archive(files: Mapping[str, str]) -> bytes:
    """The files and directories as a tar of their places in the container; they belong to root there, and all may read them."""

    def readable(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if ".git" in entry.name.split("/"):
            return None  # it may hold credentials
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mode |= 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for there, here in files.items():
            # A link is followed where the scenario names it (and was checked); what lies in a directory stays what it is.
            tar.add(os.path.realpath(here), arcname=there.lstrip("/"), filter=readable)
    return buffer.getvalue()


def _reference(image: str) -> tuple[str, str, str]:
    """An image's name, its tag and its digest.

    >>> _reference("registry.test:5000/edge:1.2")
    ('registry.test:5000/edge', '1.2', '')
    >>> _reference("nginx@sha256:0a")
    ('nginx', '', 'sha256:0a')
    """
    name, _, digest = image.partition("@")
    head, colon, tag = name.rpartition(":")
    return (name, "", digest) if not colon or "/" in tag else (head, tag, digest)
