"""The software bill of materials of sse-check and its libraries, CycloneDX 1.6 in JSON: python .ci/sbom.py FILE

CycloneDX's own generator has two views of them. The lock (requirements/runtime.txt) knows by its hash every distribution that
pip accepts, for every platform; the environment that this runs in knows licences, and what needs what. Neither knows what is
copied into the program. The image has an SBOM of its own, with Debian's packages, which BuildKit makes of it.
"""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
SOURCE = "https://github.com/org/sse-check"
# What is copied into the program: the directory, and its licence there.
COPIED = {"sse_check/report/assets/uplot": "MIT"}

Json = dict[str, Any]


def main(target: Path) -> int:
    """Write it; the status is 1 where it would not be valid, or would say what is not so."""
    lock = _generated("requirements", str(ROOT / "requirements/runtime.txt"))
    environment = _generated("environment", sys.executable)
    version = re.search(r'^__version__ = "(.+)"$', (ROOT / "sse_check/__init__.py").read_text(), re.MULTILINE)
    assert version is not None
    bom = merged(lock, environment, version[1], [copied(ROOT / name, licence) for name, licence in COPIED.items()])
    text = json.dumps(bom, indent=1, sort_keys=True) + "\n"
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if wrong:
        print(f"sbom: not valid: {wrong}", file=sys.stderr)
        return 1
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    print(f"sbom: {target}: {len(bom['components'])} components")
    return 0


def merged(lock: Json, environment: Json, version: str, others: list[Json]) -> Json:
    """One document of both views. Raises SystemExit where the environment has another version than the lock."""
    installed = {canonicalize_name(component["name"]): component for component in environment["components"]}
    components = []
    for locked in lock["components"]:
        name = canonicalize_name(locked["name"])
        found = installed.get(name, {})
        if found and found["version"] != locked["version"]:
            raise SystemExit(f"sbom: {name} is installed as {found['version']} and locked as {locked['version']}. Run `make clean sbom`.")
        component = {key: locked[key] for key in ("type", "name", "version", "purl")} | {"bom-ref": locked["purl"]}
        component |= {key: found[key] for key in ("description", "licenses") if key in found}
        # The lock's line stands in its description; its references are where pip finds what has these hashes.
        marker = Requirement(locked["description"].partition(": ")[2].partition("--hash")[0]).marker
        if marker is not None:
            component |= {"scope": "optional", "properties": [{"name": "sse-check:only-where", "value": str(marker)}]}
        component["externalReferences"] = locked["externalReferences"]
        components.append(component)
    refs = {canonicalize_name(component["name"]): component["bom-ref"] for component in components}
    by_ref = {component["bom-ref"]: canonicalize_name(component["name"]) for component in environment["components"]}
    needs = {
        by_ref[entry["ref"]]: sorted(refs[by_ref[ref]] for ref in entry.get("dependsOn", []) if by_ref[ref] in refs)
        for entry in environment["dependencies"]
        if entry["ref"] in by_ref
    }
    root = f"pkg:github/org/sse-check@v{version}"
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "tools": lock["metadata"]["tools"],
            "component": {
                "type": "application",
                "bom-ref": root,
                "purl": root,
                "name": "sse-check",
                "version": version,
                "licenses": [{"license": {"id": "MIT", "acknowledgement": "declared"}}],
                "externalReferences": [{"type": "vcs", "url": SOURCE}],
            },
        },
        "components": [*components, *others],
        "dependencies": [
            {"ref": root, "dependsOn": sorted([*needs["sse-check"], *(component["bom-ref"] for component in others)])},
            *({"ref": ref, "dependsOn": needs.get(name, [])} for name, ref in refs.items()),
            *({"ref": component["bom-ref"]} for component in others),
        ],
    }


def copied(directory: Path, licence: str) -> Json:
    """What is copied from npm, by the name and the version in its own first line, with the hashes of its files here."""
    files = sorted(path for path in directory.iterdir() if path.suffix in (".js", ".css"))
    banner = re.search(r"github\.com/\S+?/(\S+) \(v([\d.]+)\)", files[0].read_text())
    assert banner is not None, f"{files[0]} does not say what it is"
    name, version = banner[1].lower(), banner[2]
    return {
        "type": "library",
        "bom-ref": f"pkg:npm/{name}@{version}",
        "purl": f"pkg:npm/{name}@{version}",
        "name": name,
        "version": version,
        "licenses": [{"license": {"id": licence, "acknowledgement": "declared"}}],
        "components": [
            {
                "type": "file",
                "name": str(path.relative_to(ROOT)),
                "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}],
            }
            for path in files
        ],
    }


def _generated(*args: str) -> Json:
    # The whole is validated in the end.
    line = [sys.executable, "-m", "cyclonedx_py", *args, "--sv", "1.6", "--output-reproducible", "--no-validate"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"sbom: cyclonedx-py {args[0]}: {done.stderr}")
    document: Json = json.loads(done.stdout)
    return document


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("sbom: say where it goes: python .ci/sbom.py FILE")
    sys.exit(main(Path(sys.argv[1])))
