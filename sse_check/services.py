"""The service under test, and proxies in front of it, as containers of one private network (docker SDK).

All that is started carries the run's label, and is removed by it when the check is over: after a failure, a signal, and,
by the reaper, after a kill. The check reaches the services by their addresses in that network. From inside a container
it joins the network first; outside of one, the network's bridge is on the same machine.

The SDK blocks, so it works in a thread of its own. That is a daemon, and no pool's: an image that takes minutes to
build must not hold up the end of an interrupted run. The engine gives a build up when its client is gone.
"""

import asyncio
import http.client
import io
import os
import secrets
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sse_check import reaper
from sse_check.errors import UsageError
from sse_check.escape import visible
from sse_check.place import own_container_id
from sse_check.probe import Stop
from sse_check.recording import ServiceRecording
from sse_check.redaction import Redactor
from sse_check.scenario import Service, start_order
from sse_check.units import format_duration

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container
    from docker.models.networks import Network

_API_S: Final = 60.0  # for one answer of the engine
_BUILD_S: Final = 900.0  # for the next line of a build
_POLL_S: Final = 0.1
_ASK_S: Final = 2.0  # for one look whether a service is ready
_ABANDON_S: Final = 2.0  # for what the thread is doing when the run is interrupted
_LOG_LINES: Final = 200
_LOG_CHARS: Final = 16_000
_SOCKET: Final = "/var/run/docker.sock"

_T = TypeVar("_T")


class _Failed(Exception):
    """A service cannot be had; the message says why, in a sentence that begins with what happened."""

    def __init__(self, why: str, log: str = "") -> None:
        super().__init__(why)
        self.log = log


class _Interrupted(Exception):
    """The run is to end; nothing more is started."""


@dataclass(slots=True)
class _Started:
    """What has become of one service so far."""

    name: str
    service: Service
    container: "Container | None" = None
    address: str | None = None
    seconds: float | None = None
    error: str | None = None
    log: str = ""  # of its build, until it has a container

    @property
    def image(self) -> str:
        return self.service.image or f"built from {self.service.build}"


@dataclass(slots=True)
class Deployment:
    """The services of one run, while they are up."""

    services: Mapping[str, Service]
    tell: Callable[[str], None]
    run: str = field(default_factory=lambda: secrets.token_hex(8))
    _stopped: threading.Event = field(default_factory=threading.Event)
    _client: "DockerClient | None" = None
    _network: "Network | None" = None
    _child: "subprocess.Popen[bytes] | None" = None
    _labels: dict[str, str] = field(default_factory=dict)
    _started: dict[str, _Started] = field(default_factory=dict)
    # Whether the thread waits for an image: that may take minutes, and leaves nothing behind if nobody waits for it.
    fetching: bool = False

    @property
    def addresses(self) -> dict[str, str]:
        """The services' names and where they are reached."""
        return {name: started.address for name, started in self._started.items() if started.address}

    @property
    def failed(self) -> bool:
        """Whether a service never got ready, so that there is nothing to be asked."""
        return any(started.error for started in self._started.values())

    def up(self) -> None:
        """Start the services in their order, each after the one behind it is ready; ends at the first that fails.

        Raises UsageError where there is no engine to ask.
        """
        self._client = _connect()
        own = _own_container(self._client)
        self._labels = {reaper.RUN: self.run, reaper.OWNER: reaper.owner_label(own)}
        with suppress(_Interrupted):
            self._watched(own)
            reaper.sweep_orphans(self._client)
            self._go_on()
            self._network = self._client.networks.create(f"sse-check-{self.run}", driver="bridge", labels=self._labels)
            if own is not None:
                self._join(own)
            for name in start_order(dict(self.services)):
                started = self._started[name] = _Started(name, self.services[name])
                try:
                    self._start(started)
                except _Failed as failure:
                    started.error, started.log = str(failure), started.log or failure.log
                    self.tell(f"service {name}: {visible(started.error)}")
                    return

    def give_up(self) -> None:
        """Start nothing more."""
        self._stopped.set()

    async def recordings(self, redactor: Redactor, *, logs: bool) -> tuple[ServiceRecording, ...]:
        """What has become of the services, with the end of their logs if it is wanted."""
        return await in_thread(lambda: tuple(self._recording(started, redactor, logs=logs) for started in self._started.values()))

    def down(self) -> None:
        """Remove all that the run has started."""
        self._stopped.set()
        if self._client is None:
            return
        began = time.monotonic()
        try:
            reaper.sweep(self._client, self.run)
            reaper.dismiss(self._client, self.run)
        except OSError as error:
            # What was measured is worth more than the tidying, and the reaper is still there.
            self.tell(f"services: not all could be removed: {_said(error)}")
            return
        if self._child is not None:
            self._child.communicate(reaper.DONE)
        self._client.close()
        self.tell(f"services: removed in {format_duration(time.monotonic() - began)}")

    # --- starting -------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise _Interrupted

    def _watched(self, own: str | None) -> None:
        """Have the run watched, before anything is started that a kill would leave behind."""
        assert self._client is not None
        command = [sys.executable, *(["-I"] if sys.flags.isolated else []), "-m", "sse_check.reaper", self.run, self._labels[reaper.OWNER]]
        if own is None or not os.environ.get("DOCKER_HOST", "unix:").startswith("unix:"):
            command[-1] = "process:"
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            )
            return
        try:
            me = self._client.containers.get(own)
            mounts = {mount["Destination"]: mount["Source"] for mount in me.attrs["Mounts"]}
            self._client.containers.run(
                me.attrs["Image"],
                entrypoint=command,
                command=[],
                name=f"sse-check-{self.run}-reaper",
                labels={reaper.REAPER: self.run, reaper.OWNER: self._labels[reaper.OWNER]},
                volumes=[f"{mounts.get(_SOCKET, _SOCKET)}:{_SOCKET}"],
                network_mode="none",
                mem_limit="256m",
                auto_remove=True,
                detach=True,
            )
        except (OSError, KeyError) as error:
            self.tell(f"services: if this run is killed its containers stay, for nobody watches it: {visible(str(error))}")

    def _join(self, own: str) -> None:
        """Enter the private network. Refused where this container shares another's, which then reaches the bridge by itself."""
        assert self._network is not None
        try:
            self._network.connect(own)
        except OSError as error:
            self.tell(f"services: their network cannot be joined: {_said(error)}")

    def _start(self, started: _Started) -> None:
        """One service: its image, its container, its files, and then wait for it."""
        assert self._client is not None
        assert self._network is not None
        network = f"{self._network.name}"
        name, service = started.name, started.service
        self.fetching = True
        image = self._built(started) if service.build is not None else self._pulled(service.image or "")
        self.fetching = False
        self._go_on()
        try:
            container = self._client.containers.create(
                image,
                command=list(service.command) if service.command is not None else None,
                name=f"sse-check-{self.run}-{name}",
                hostname=name,
                environment=service.env,
                labels=self._labels,
                network=network,
                networking_config={network: self._client.api.create_endpoint_config(aliases=[name])},
            )
            started.container = container
            if service.files:
                container.put_archive("/", archive(service.files))
            self._go_on()
            began = time.monotonic()
            container.start()
        except OSError as error:  # the engine's errors are (APIError), and those on the way to it (requests)
            raise _Failed(f"it cannot be started: {_said(error)}.") from None
        self._wait(started, began)
        started.seconds = round(time.monotonic() - began, 3)
        self.tell(f"service {name}: ready after {format_duration(started.seconds)}")

    def _built(self, started: _Started) -> str:
        assert self._client is not None
        service = started.service
        self.tell(f"service {started.name}: building {visible(service.build or '')}")
        lines: list[str] = []
        image = ""
        try:
            steps = self._client.api.build(
                path=service.build,
                dockerfile=service.dockerfile,
                labels=self._labels,
                rm=True,
                forcerm=True,
                decode=True,
                timeout=int(_BUILD_S),
            )
            for step in steps:
                self._go_on()
                lines.append(str(step.get("stream") or step.get("status") or ""))
                image = (step.get("aux") or {}).get("ID") or image
                if "error" in step:
                    raise _Failed(f"its image cannot be built: {_one_line(step['error'])}.", "".join(lines))
        except OSError as error:
            raise _Failed(f"its image cannot be built: {_said(error)}.", "".join(lines)) from None
        if not image:
            raise _Failed("its image was built, but the engine did not name it.", "".join(lines))
        started.log = "".join(lines)
        return image

    def _pulled(self, image: str) -> str:
        """The image, from the engine's own store if it is there."""
        from docker.errors import ImageNotFound

        assert self._client is not None
        with suppress(ImageNotFound):
            self._client.images.get(image)
            return image
        self.tell(f"pulling {image}")
        try:
            name, tag, digest = _reference(image)
            for step in self._client.api.pull(name, tag=digest or tag or "latest", stream=True, decode=True):
                self._go_on()
                if "error" in step:
                    raise _Failed(f"its image {image} cannot be pulled: {_one_line(step['error'])}.")
        except OSError as error:
            raise _Failed(f"its image {image} cannot be pulled: {_said(error)}.") from None
        return image

    def _wait(self, started: _Started, began: float) -> None:
        """Until the service is ready, by the image's own health check and by what the scenario says."""
        container, service = started.container, started.service
        assert container is not None
        assert self._network is not None
        while True:
            self._go_on()
            container.reload()
            state = container.attrs["State"]
            if state["Status"] in ("exited", "dead"):
                raise _Failed(f"it {_ended(state)} before it was ready.")
            networks = container.attrs["NetworkSettings"]["Networks"]
            started.address = networks[self._network.name]["IPAddress"] or None
            health = (state.get("Health") or {}).get("Status", "healthy")
            missing = _not_ready(started.name, service, started.address, health)
            if missing is None:
                return
            if time.monotonic() - began > service.ready.within:
                raise _Failed(f"it was not ready within {format_duration(service.ready.within)}: {missing}.")
            time.sleep(_POLL_S)

    # --- telling --------------------------------------------------------------------------------------------------

    def _recording(self, started: _Started, redactor: Redactor, *, logs: bool) -> ServiceRecording:
        state, log = "", started.log if started.error else ""
        if started.container is not None:
            with suppress(OSError):
                started.container.reload()
                state = _ended(started.container.attrs["State"])
                if logs:
                    log = started.container.logs(tail=_LOG_LINES).decode("utf-8", "replace") or log
        error = f"The service {started.name} cannot be asked: {started.error}" if started.error else None
        return ServiceRecording(
            name=started.name,
            image=redactor.text(started.image),
            in_front_of=started.service.in_front_of,
            seconds=started.seconds,
            error=error and redactor.text(error),
            state=state,
            log=redactor.text("\n".join(log.splitlines()[-_LOG_LINES:]))[-_LOG_CHARS:],
        )


def _connect() -> "DockerClient":
    """The engine's client. Raises UsageError where none answers."""
    import docker
    import requests
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=int(_API_S))
        client.ping()
    except (DockerException, requests.RequestException, OSError) as error:
        where = os.environ.get("DOCKER_HOST") or _SOCKET
        raise UsageError(
            f"services: no Docker engine answers at {where} ({_said(error)}). The scenario's services need one: a Linux runner with "
            f"Docker (not ubuntu-slim, not a Kubernetes runner), or in your own container -v {_SOCKET}:{_SOCKET}."
        ) from None
    return client


def _own_container(client: "DockerClient") -> str | None:
    """The id of the container that this process runs in, if it is this engine's."""
    from docker.errors import NotFound

    candidate = own_container_id()
    if candidate is None:
        return None
    try:
        return client.containers.get(candidate).id
    except NotFound:
        return None


def archive(files: Mapping[str, str]) -> bytes:
    """The files and directories as a tar of their places in the container; they belong to root there, and all may read them."""

    def readable(entry: tarfile.TarInfo) -> tarfile.TarInfo:
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


def _not_ready(name: str, service: Service, address: str | None, health: str) -> str | None:
    """What a service still lacks, or None."""
    if health != "healthy":
        return f"its image's health check says {health}"
    if service.port is None:
        return None
    if address is None:
        return "it has no address yet"
    if service.ready.http is None:
        try:
            socket.create_connection((address, service.port), _ASK_S).close()
        except OSError as error:
            return f"nothing takes connections on port {service.port} ({error.strerror or error})"
        return None
    asked = f"GET {service.ready.http} on port {service.port}"
    connection = http.client.HTTPConnection(address, service.port, timeout=_ASK_S)
    try:
        connection.request("GET", service.ready.http, headers={"Host": name, "User-Agent": "sse-check"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"{asked} is not answered ({visible(str(error) or type(error).__name__, 100)})"
    finally:
        connection.close()
    return None if 200 <= status < 300 else f"{asked} is answered with status {status}"


def _ended(state: Mapping[str, Any]) -> str:
    """A container's state in words."""
    if state["Status"] not in ("exited", "dead"):
        return str(state["Status"])
    return f"exited with status {state['ExitCode']}" + (" for want of memory" if state.get("OOMKilled") else "")


def _said(error: Exception) -> str:
    return _one_line(getattr(error, "explanation", None) or str(error) or type(error).__name__)


def _one_line(text: object) -> str:
    return visible(" ".join(str(text).split()).rstrip("."), 500)


@asynccontextmanager
async def deployed(services: Mapping[str, Service], *, stop: Stop, tell: Callable[[str], None]) -> AsyncIterator[Deployment]:
    """The services are up while the context lasts; afterwards nothing of them is left.

    Without services it does nothing. Raises UsageError where there is no engine to ask.
    """
    deployment = Deployment(services, tell)
    if not services:
        yield deployment
        return
    interrupted = asyncio.ensure_future(stop.wait())
    starting = in_thread(deployment.up)
    try:
        await asyncio.wait({starting, interrupted}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            deployment.give_up()
            await asyncio.wait({starting}, timeout=_ABANDON_S)
            while not starting.done() and not deployment.fetching:
                await asyncio.wait({starting}, timeout=_POLL_S)
        if starting.done():
            starting.result()
        yield deployment
    finally:
        interrupted.cancel()
        await in_thread(deployment.down)


def in_thread(work: Callable[[], _T]) -> "asyncio.Future[_T]":
    """The result of blocking work, done in a daemon thread: the program's end does not wait for it."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def settle(put: Callable[[Any], None], value: Any) -> None:
        if not done.done():
            put(value)

    def body() -> None:
        try:
            outcome = (done.set_result, work())
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is the waiting side's
            outcome = (done.set_exception, error)  # type: ignore[assignment]
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=body, daemon=True).start()
    return done
