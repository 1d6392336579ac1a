"""The containers of one run: started in order, waited for, told of, and removed. Blocking; `deployed` runs it in a thread."""

import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sse_check import reaper
from sse_check.errors import UsageError
from sse_check.escape import visible
from sse_check.recording import ServiceRecording
from sse_check.redaction import Redactor
from sse_check.scenario import Service, start_order
from sse_check.services import engine
from sse_check.services.ready import not_ready
from sse_check.units import format_duration

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container
    from docker.models.networks import Network

_POLL_S: Final = 0.1
_LOG_LINES: Final = 200
_LOG_CHARS: Final = 16_000


class _Failed(Exception):
    """A service cannot be had; the message says why, in a sentence that begins with what happened."""


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
    build_log: str = ""

    @property
    def image(self) -> str:
        return self.service.image or f"built from {self.service.build}"


@dataclass(slots=True)
class Deployment:
    """The services of one run. `tell` is called with a line for each thing that happens."""

    services: Mapping[str, Service]
    redactor: Redactor
    tell: Callable[[str], None]
    run: str = field(default_factory=lambda: secrets.token_hex(8))
    _stopped: threading.Event = field(default_factory=threading.Event)
    _client: "DockerClient | None" = None
    _network: "Network | None" = None
    _child: "subprocess.Popen[bytes] | None" = None
    _labels: dict[str, str] = field(default_factory=dict)
    _started: dict[str, _Started] = field(default_factory=dict)

    @property
    def addresses(self) -> dict[str, str]:
        """The services' names and where they are reached."""
        return {name: started.address for name, started in self._started.items() if started.address}

    @property
    def failed(self) -> bool:
        """Whether a service never got ready."""
        return any(started.error for started in self._started.values())

    def up(self) -> None:
        """Start the services in their order, each after the one behind it is ready; ends at the first that fails.

        Raises UsageError where no engine answers, or it has no network for us.
        """
        client = self._client = engine.connect(self._said)
        try:
            own = engine.own_container(client)
            self._labels = {reaper.RUN: self.run, reaper.OWNER: reaper.owner_label(own.id if own and own.whole else None)}
            self._watch(client, own)
            self._remove_orphans(client)
            self._go_on()
            network = self._network = client.networks.create(f"sse-check-{self.run}", driver="bridge", labels=self._labels)
            if own is not None:
                self._join(network, own)
        except _Interrupted:
            return
        except engine.errors() as error:
            raise UsageError(f"services: the Docker engine has no network for them: {self._said(error)}.") from None
        for name in start_order(dict(self.services)):
            started = self._started[name] = _Started(name, self.services[name])
            try:
                self._start(client, network, started)
            except _Interrupted:
                return
            except _Failed as failure:
                started.error = str(failure)
            except engine.errors() as error:
                started.error = f"it cannot be started: {self._said(error)}."
            if started.error is not None:
                self._tell(f"service {name}: {started.error}")
                return

    def give_up(self) -> None:
        """Start nothing more."""
        self._stopped.set()

    def recordings(self, *, logs: bool, ask: bool = True) -> tuple[ServiceRecording, ...]:
        """What has become of the services, with the end of their logs if it is wanted. `ask`: whether the engine is asked."""
        return tuple(self._recording(started, logs=logs, ask=ask) for started in list(self._started.values()))

    def down(self, *, finished: bool) -> None:
        """Remove all that the run has started. Never raises: what was measured is worth more than the tidying.

        `finished`: nothing is being started any more. Else, and where something is left, the reaper stays at work.
        """
        if self._client is None:
            return
        began = time.monotonic()
        try:
            clean = reaper.sweep(self._client, self.run)
            if clean and finished:
                reaper.dismiss(self._client, self.run)
        except engine.errors() as error:
            clean = False
            self._tell(f"services: not all could be removed: {self._said(error)}")
        if self._child is not None and self._child.stdin is not None:
            if clean and finished:
                self._child.stdin.write(reaper.DONE)
            self._child.stdin.close()
        if clean:
            self._tell(f"services: removed in {format_duration(time.monotonic() - began)}")

    # --- starting -------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise _Interrupted

    def _watch(self, client: "DockerClient", own: engine.Own | None) -> None:
        """Have the run watched, before anything is started that a kill would leave behind."""
        command = [sys.executable, "-P", "-m", "sse_check.reaper", self.run, self._labels[reaper.OWNER]]
        if own is None or not own.whole or not os.environ.get("DOCKER_HOST", "unix:").startswith("unix:"):
            self._watch_from_a_process(command)
            return
        command[1] = "-I" if sys.flags.isolated else "-P"
        try:
            client.containers.run(
                own.image,
                entrypoint=command,
                command=[],
                name=f"sse-check-reaper-{self.run}",
                labels={reaper.REAPER: self.run, reaper.OWNER: self._labels[reaper.OWNER]},
                volumes=[f"{own.mounts.get(engine.SOCKET) or engine.SOCKET}:{engine.SOCKET}"],
                network_mode="none",
                mem_limit="256m",
                auto_remove=True,
                detach=True,
            )
        except engine.errors() as error:
            self._unwatched(self._said(error))

    def _watch_from_a_process(self, command: list[str]) -> None:
        # It is to outlive this process, and a self-hosted runner ends what carries its mark; and it needs our modules.
        environment = {name: value for name, value in os.environ.items() if name != "RUNNER_TRACKING_ID"}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        self._child = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        assert self._child.stdout is not None
        with self._child.stdout as said:
            if said.readline() != reaper.WATCHING:
                self._unwatched("its process did not start")

    def _unwatched(self, why: str) -> None:
        self._tell(f"services: if this run is killed its containers stay, for nobody watches it: {why}")

    def _remove_orphans(self, client: "DockerClient") -> None:
        try:
            reaper.sweep_orphans(client)
        except engine.errors() as error:
            self._tell(f"services: what earlier runs have left could not be removed: {self._said(error)}")

    def _join(self, network: "Network", own: engine.Own) -> None:
        """Enter the private network, unless this container is on the machine's own, which reaches the bridge by itself."""
        if own.on_the_machines_network:
            return
        try:
            network.connect(own.id)
        except engine.errors() as error:
            self._tell(f"services: their network cannot be joined: {self._said(error)}")

    def _start(self, client: "DockerClient", network: "Network", started: _Started) -> None:
        """One service: its image, its container, its files, and then wait for it."""
        name, service = started.name, started.service
        image = self._built(client, started) if service.build is not None else self._pulled(client, service.image or "")
        self._go_on()
        network_name = f"{network.name}"
        container = started.container = client.containers.create(
            image,
            command=list(service.command) if service.command is not None else None,
            name=f"sse-check-{self.run}-{name}",
            hostname=name,
            environment=service.env,
            labels=self._labels,
            network=network_name,
            networking_config={network_name: client.api.create_endpoint_config(aliases=[name])},
        )
        if service.files:
            container.put_archive("/", engine.archive(service.files))
        self._go_on()
        began = time.monotonic()
        container.start()
        self._wait(container, network_name, started, began)
        started.seconds = round(time.monotonic() - began, 3)
        self._tell(f"service {name}: ready after {format_duration(started.seconds)}")

    def _built(self, client: "DockerClient", started: _Started) -> str:
        self._tell(f"service {started.name}: building {started.service.build}")
        image = ""
        try:
            for step in engine.build(client, started.service, reaper.image_labels(self.run, self._labels[reaper.OWNER])):
                self._go_on()
                started.build_log += str(step.get("stream") or step.get("status") or "")
                image = (step.get("aux") or {}).get("ID") or image
                if "error" in step:
                    raise _Failed(f"its image cannot be built: {self._one_line(step['error'])}.")
        except engine.errors() as error:
            raise _Failed(f"its image cannot be built: {self._said(error)}.") from None
        if not image:
            raise _Failed("its image was built, but the engine did not name it.")
        return image

    def _pulled(self, client: "DockerClient", image: str) -> str:
        try:
            for number, step in enumerate(engine.pull(client, image)):
                self._go_on()
                if number == 0:
                    self._tell(f"pulling {image}")
                if "error" in step:
                    raise _Failed(f"its image {image} cannot be pulled: {self._one_line(step['error'])}.")
        except engine.errors() as error:
            raise _Failed(f"its image {image} cannot be pulled: {self._said(error)}.") from None
        return image

    def _wait(self, container: "Container", network: str, started: _Started, began: float) -> None:
        """Until the service is ready, by the image's own health check and by what the scenario says."""
        service = started.service
        while True:
            self._go_on()
            container.reload()
            state = container.attrs["State"]
            if state["Status"] in ("exited", "dead"):
                raise _Failed(f"it {_in_words(state)} before it was ready.")
            address = container.attrs["NetworkSettings"]["Networks"][network]["IPAddress"] or None
            missing = not_ready(started.name, service, address, (state.get("Health") or {}).get("Status", "healthy"))
            if missing is None:
                started.address = address
                return
            if time.monotonic() - began > service.ready.within:
                raise _Failed(f"it was not ready within {format_duration(service.ready.within)}: {missing}.")
            time.sleep(_POLL_S)

    # --- telling: nothing leaves with a secret in it, and what is cut is cut afterwards ----------------------------

    def _tell(self, line: str) -> None:
        self.tell(visible(self.redactor.text(line), 1000))

    def _said(self, error: Exception) -> str:
        return self._one_line(getattr(error, "explanation", None) or str(error) or type(error).__name__)

    def _one_line(self, text: object) -> str:
        return visible(" ".join(self.redactor.text(str(text)).split()).rstrip("."), 500)

    def _recording(self, started: _Started, *, logs: bool, ask: bool) -> ServiceRecording:
        state, log = "", started.build_log if started.error else ""
        if started.container is not None and ask:
            try:
                started.container.reload()
                state = _in_words(started.container.attrs["State"])
                if logs:
                    log = started.container.logs(tail=_LOG_LINES).decode("utf-8", "replace") or log
            except engine.errors() as error:
                state = state or f"not known: {self._said(error)}"
        text = self.redactor.text
        error_text = f"The service {started.name} cannot be asked: {started.error}" if started.error else None
        return ServiceRecording(
            name=started.name,
            image=text(started.image),
            in_front_of=started.service.in_front_of,
            seconds=started.seconds,
            error=error_text and text(error_text),
            state=state,
            log="\n".join(text(log).splitlines()[-_LOG_LINES:])[-_LOG_CHARS:],
        )


def _in_words(state: Mapping[str, Any]) -> str:
    """A container's state."""
    if state["Status"] not in ("exited", "dead"):
        return str(state["Status"])
    return f"exited with status {state['ExitCode']}" + (" for want of memory" if state.get("OOMKilled") else "")
