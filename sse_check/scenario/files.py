"""The files and directories that a scenario names: where each is named, and what it must be. Nothing is read here."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec

from sse_check.scenario.model import Scenario, Service

Kind = Literal["file", "tree", "build"]
_S = TypeVar("_S", bound=msgspec.Struct)

_RIGHT = {
    "file": "Name a PEM file, relative to the scenario.",
    "tree": "Name a file or directory, relative to the scenario or to the workspace.",
    "build": "Name a directory with a Dockerfile, relative to the scenario or to the workspace.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFile:
    """One file as the scenario names it.

    `at` is the key that names it. `kind` is what it must be: a file; a file or directory (`tree`); a directory to
    build an image from, in which `dockerfile` must lie (`build`).
    """

    at: str
    name: str
    kind: Kind
    dockerfile: str = ""

    def wrong(self, why: str) -> str:
        """What is wrong with it, in a sentence."""
        return f'"{self.name}" cannot be {"used" if self.kind == "build" else "read"}: {why}.'

    @property
    def right(self) -> str:
        """What to write instead, where it cannot be used."""
        return _RIGHT[self.kind]


def named_files(scenario: Scenario) -> Iterator[NamedFile]:
    """Every file that a scenario names."""
    tls = scenario.target.tls
    for key, file in (("ca", tls.ca), ("cert", tls.cert), ("key", tls.key)):
        if file is not None:
            yield NamedFile(at=f"target.tls.{key}", name=file, kind="file")
    for name, service in scenario.services.items():
        if service.build is not None:
            yield NamedFile(at=f"services.{name}.build", name=service.build, kind="build", dockerfile=service.dockerfile)
        for inside, outside in service.files.items():
            yield NamedFile(at=f"services.{name}.files.{inside}", name=outside, kind="tree")


def with_files(scenario: Scenario, found: Callable[[NamedFile], str]) -> Scenario:
    """The scenario with each of its files as `found` says of it."""
    paths = {named.at: found(named) for named in named_files(scenario)}

    def service(name: str, of: Service) -> Service:
        files = {inside: paths[f"services.{name}.files.{inside}"] for inside in of.files}
        return _but(of, build=paths.get(f"services.{name}.build"), files=files)

    tls = _but(scenario.target.tls, **{key: paths.get(f"target.tls.{key}") for key in ("ca", "cert", "key")})
    services = {name: service(name, of) for name, of in scenario.services.items()}
    return _but(scenario, target=_but(scenario.target, tls=tls), services=services)


def _but(struct: _S, **changes: Any) -> _S:
    return msgspec.structs.replace(struct, **changes)
