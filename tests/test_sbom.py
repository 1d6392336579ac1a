"""The SBOM that a release has: valid, and as complete as the locks."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from sse_check import __version__
from tests.support.process import ROOT
from tests.test_supply import locked


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make sbom` makes."""
    path = tmp_path_factory.mktemp("sbom") / "dist/sbom.cdx.json"
    done = subprocess.run([sys.executable, ROOT / ".ci/sbom.py", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def sbom(made: Path) -> dict[str, Any]:
    """The same as values."""
    document: dict[str, Any] = json.loads(made.read_text())
    return document


def test_it_is_valid(made):
    """
    By CycloneDX's own schema of the version that it names, with no key that the schema does not know.
    """
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(made.read_text()) is None
    assert validator.validate_str('{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{"type": "libary", "name": "a"}]}')


def test_every_locked_library_is_in_it_with_its_hashes(sbom):
    """
    All that pip may install on any platform, in the locked version, with every hash that it would accept.
    """
    listed = {
        component["name"]: (
            component["version"],
            frozenset(entry["content"] for reference in component["externalReferences"] for entry in reference["hashes"]),
        )
        for component in sbom["components"]
        if component["purl"].startswith("pkg:pypi/")
    }
    assert listed == locked(ROOT / "requirements/runtime.txt")


def test_what_is_installed_here_has_its_licence(sbom):
    """
    And what is needed only elsewhere says where.
    """
    without = [component for component in sbom["components"] if not component.get("licenses")]
    assert all(component["scope"] == "optional" and component["properties"] for component in without)
    assert len(without) <= 3


def test_what_is_copied_into_the_program_is_in_it(sbom):
    """
    Everything below sse_check/ that has a licence of its own, with the hash of each file.
    """
    files = {entry["name"]: entry["hashes"][0]["content"] for component in sbom["components"] for entry in component.get("components", [])}
    copied = [
        path for licence in (ROOT / "sse_check").rglob("LICENSE*") for path in licence.parent.iterdir() if path.suffix in (".js", ".css")
    ]
    assert files == {str(path.relative_to(ROOT)): hashlib.sha256(path.read_bytes()).hexdigest() for path in copied}
    assert files


def test_it_says_what_needs_what(sbom):
    """
    Every component is reached from sse-check itself, which has its version and its licence.
    """
    root = sbom["metadata"]["component"]
    assert (root["name"], root["version"], root["licenses"][0]["license"]["id"]) == ("sse-check", __version__, "MIT")
    needs = {entry["ref"]: entry.get("dependsOn", []) for entry in sbom["dependencies"]}
    reached, new = set(), [root["bom-ref"]]
    while new:
        ref = new.pop()
        if ref not in reached:
            reached.add(ref)
            new += needs[ref]
    elsewhere = {component["bom-ref"] for component in sbom["components"] if component.get("scope") == "optional"}
    assert {component["bom-ref"] for component in sbom["components"]} - elsewhere <= reached


def test_a_release_attests_what_make_makes():
    """
    By the name that the Makefile gives it.
    """
    steps = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]["image"]["steps"]
    attested = [step["with"]["sbom-path"] for step in steps if "sbom-path" in step.get("with", {})]
    planned = subprocess.run(["make", "-n", "sbom"], cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True)
    assert len(attested) == 1
    assert attested[0].replace("${{ inputs.version }}", __version__) in planned.stdout.split()


def test_it_names_nothing_of_the_machine_that_made_it(made):
    """
    Neither its paths nor its time: from the same locks comes the same document.
    """
    assert str(ROOT) not in made.read_text()
    assert "file://" not in made.read_text()
    assert "timestamp" not in made.read_text()
