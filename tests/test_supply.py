"""Nothing is installed, built on or run that is not named by what it contains: hashes, digests, commits."""

import http.server
import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.process import ROOT

TRACKED = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    if (ROOT / name).is_file()
]
LOCKS = [*sorted((ROOT / "requirements").glob("*.txt")), ROOT / "tests/lab/requirements.txt"]
DOCKERFILES = [path for path in TRACKED if path.name.startswith("Dockerfile")]
# Where people and machines read commands and actions: scripts, workflows, actions, examples, documents. Not tests, which run nothing of
# the kind but by .ci/, and not this list of what is wrong.
COMMANDS = [
    path
    for path in TRACKED
    if path.parts[len(ROOT.parts)] not in ("tests", "sse_check", "benchmarks")
    and (path.suffix in (".yml", ".md", ".py") or path.parent.name == ".ci" or path.name in ("Makefile", "Dockerfile"))
]
# Ours, which a release builds on a digest; an example, to be copied; and a stand-in where no registry is reached.
BY_TAG = {
    ROOT / "Dockerfile": ["${BASE}"],
    ROOT / "examples/pull-request/app/Dockerfile": ["python:3.13-slim"],
    ROOT / "tests/container/standins/nginx/Dockerfile": ["python:3.13-slim"],
}


def unpinned_requirements(text: str) -> list[str]:
    """What a requirements file would install without a hash, or in a version that it does not name."""
    entries = text.replace("\\\n", " ").splitlines()
    pinned = re.compile(r"[A-Za-z0-9._-]+==[^\s;]+( ; [^#]+?)?(\s+--hash=sha256:[0-9a-f]{64})+\s*")
    return [entry.strip() for entry in entries if entry.strip() and not entry.startswith("#") and not pinned.fullmatch(entry)]


def unpinned_installs(text: str) -> list[str]:
    """Commands that install or download packages, and do not take them by their hashes."""
    found = []
    whole = re.sub(r'",\s*"', " ", text.replace("\\\n", " "))  # over several lines; in Python, as a list of strings
    for line in whole.splitlines():
        command = line.strip()
        if re.search(r"\bpip3?\b[^|;#]*\b(?:install|download)\b", command) and not command.startswith("#"):
            here = "--no-deps" in command and re.search(r"(--editable )?\.\s*(#.*)?$", command)
            found += [] if "--require-hashes" in command or here else [command]
        if re.search(r"\bnpm (?:install|i|add|exec)\b|\b(?:npx|pipx|uvx|uv tool|yarn|pnpm)\b", command):
            found.append(command)
        if re.search(r"\bnpm ci\b", command) and "--ignore-scripts" not in command:
            found.append(command)
        if re.search(r"\b(?:curl|wget)\b[^|]*\|\s*(?:sudo )?(?:ba|z|da)?sh\b", command):
            found.append(command)
    return found


def unpinned_actions(text: str) -> list[str]:
    """Actions that are not named by a commit with its version beside it; this one is shown by its major version."""
    found = []
    for used, comment in re.findall(r"^\s*-?\s*uses:\s*(\S+)[ \t]*(#[^\n]*)?$", text, re.MULTILINE):
        ours = used.startswith("./") or re.fullmatch(r"org/sse-check(/composite)?@v\d+", used)
        if not ours and not (re.search(r"@[0-9a-f]{40}$", used) and re.match(r"# v\d+\.\d+\.\d+\b", comment)):
            found.append(used)
    return found


def unpinned_bases(text: str) -> list[str]:
    """Images that a Dockerfile is built on, or copies from, without a digest."""
    stages = set(re.findall(r"^FROM \S+ AS (\S+)", text, re.MULTILINE | re.IGNORECASE))
    used = re.findall(r"^FROM (?:--\S+ )*(\S+)|^(?:COPY|ADD) .*--from=(\S+)", text, re.MULTILINE | re.IGNORECASE)
    images = {one or other for one, other in used} - stages - {"scratch"}
    return sorted(image for image in images if not re.search(r"@sha256:[0-9a-f]{64}$", image))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_lock_names_each_distribution_by_its_hash(lock):
    """
    Exact versions, each with hashes, and nothing else: no URL, no directory, no other index.
    """
    assert lock.read_text().count("==")
    assert unpinned_requirements(lock.read_text()) == []


def test_every_group_of_dependencies_is_locked():
    """
    What pyproject.toml and the lab's own list name stands in the lock that is installed for it.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = {"runtime": project["project"]["dependencies"], **project["dependency-groups"]}
    assert {path.stem for path in (ROOT / "requirements").glob("*.txt")} == set(groups)
    names = {group: {re.split(r"[^A-Za-z0-9._-]", entry)[0].replace(".", "-") for entry in entries} for group, entries in groups.items()}
    for group, wanted in names.items():
        assert wanted <= locked(ROOT / f"requirements/{group}.txt").keys(), group
    listed = re.findall(r"^([a-z-]+)==(\S+)", (ROOT / "tests/lab/requirements.in").read_text(), re.MULTILINE)
    assert dict(listed).items() <= {name: version for name, (version, _) in locked(ROOT / "tests/lab/requirements.txt").items()}.items()


def test_the_locks_agree_on_what_runs():
    """
    Tests, types and advisories are of the versions that the image holds.
    """
    runtime = locked(ROOT / "requirements/runtime.txt")
    for group in ("dev", "lab", "workflows", "supply"):
        other = locked(ROOT / f"requirements/{group}.txt")
        assert {name: runtime[name] for name in runtime.keys() & other.keys()} == {
            name: other[name] for name in runtime.keys() & other.keys()
        }
    assert runtime.items() <= locked(ROOT / "requirements/dev.txt").items()


def test_every_node_package_has_its_integrity():
    """
    npm ci takes the lab's packages by their SHA-512, from the registry and no other place.
    """
    packages = json.loads((ROOT / "tests/lab/node/package-lock.json").read_text())["packages"]
    wrong = {
        name: entry
        for name, entry in packages.items()
        if name
        and not (str(entry.get("integrity", "")).startswith("sha512-") and not re.match("git|file|http:", entry.get("resolved", "")))
    }
    assert wrong == {}


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_installed_is_taken_by_its_hash(path):
    """
    Every command that installs packages, in scripts, workflows, actions and documents, requires hashes. Debian's packages are signed
    by their archive and are the one exception.
    """
    assert unpinned_installs(path.read_text()) == []


@pytest.mark.parametrize(
    "path", [path for path in COMMANDS if path.suffix in (".yml", ".md")], ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_action_is_pinned_by_its_commit(path):
    """
    In workflows, in the composite action, in the examples and in the documents.
    """
    assert unpinned_actions(path.read_text()) == []


def test_an_action_is_used_in_one_version():
    """
    One commit for each action, and one version for each commit: what was reviewed once is what runs.
    """
    used = {
        match
        for path in COMMANDS
        if path.suffix in (".yml", ".md")
        for match in re.findall(r"uses:\s*([\w./-]+)@([0-9a-f]{40}) # (v[\d.]+)", path.read_text())
    }
    assert used
    assert len({name for name, _, _ in used}) == len(used)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_image_is_built_on_a_digest(path):
    """
    But those that are known not to be.
    """
    assert unpinned_bases(path.read_text()) == BY_TAG.get(path, [])


def test_a_release_is_built_on_a_digest():
    """
    The one that the base's tag has at that time, which the release's attestation then names.
    """
    steps = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]["image"]["steps"]
    by_id = {step["id"]: step for step in steps if "id" in step}
    assert "[[ $digest =~ ^sha256:[0-9a-f]{64}$ ]]" in by_id["base"]["run"]
    assert "BASE=${{ steps.base.outputs.base }}" in by_id["push"]["with"]["build-args"].splitlines()


def test_what_builds_a_release_is_pinned_too():
    """
    The emulator, BuildKit and its scanner, which actions of a release would else fetch by a tag that moves.
    """
    steps = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]["image"]["steps"]
    given = {step["uses"].partition("@")[0]: step.get("with", {}) for step in steps if "uses" in step}
    for action, name in (("setup-qemu-action", "image"), ("setup-buildx-action", "driver-opts"), ("build-push-action", "sbom")):
        assert re.search(r"@sha256:[0-9a-f]{64}$", given[f"docker/{action}"][name]), action


def test_what_is_pinned_is_moved_by_dependabot():
    """
    Each place that holds pins has its entry, which waits a week before it takes what is new.
    """
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    watched = {(entry["package-ecosystem"], name) for entry in updates for name in entry.get("directories", [entry.get("directory")])}
    held = {("pip", place(path.parent)) for path in LOCKS}
    held |= {("docker", place(path.parent)) for path in DOCKERFILES if path not in BY_TAG}
    held |= {("npm", place(path.parent)) for path in TRACKED if path.name == "package-lock.json"}
    held |= {
        ("github-actions", place(path.parent)) for path in COMMANDS if path.suffix == ".yml" and re.search(r"uses: [^./]", path.read_text())
    }
    assert watched == held
    assert all(entry["cooldown"]["default-days"] >= 7 for entry in updates)


@pytest.mark.parametrize(
    ("finder", "text", "wrong"),
    [
        (unpinned_requirements, "idna==3.20\n", True),
        (unpinned_requirements, "idna>=3 --hash=sha256:" + "0" * 64 + "\n", True),
        (unpinned_requirements, "idna @ git+https://example.test/idna\n", True),
        (unpinned_requirements, "--extra-index-url https://example.test/simple\n", True),
        (unpinned_requirements, "-e .\n", True),
        (unpinned_requirements, "idna==3.20 ; python_version < '3.13' \\\n    --hash=sha256:" + "0" * 64 + "\n", False),
        (unpinned_installs, "python -m pip install --quiet uv\n", True),
        (unpinned_installs, "pip install .\n", True),
        (unpinned_installs, "RUN pip install \\\n    requests\n", True),
        (unpinned_installs, "pip3 download idna\n", True),
        (unpinned_installs, 'pip = [\n    "-m",\n    "pip",\n    "install",\n    "idna",\n]\n', True),
        (unpinned_installs, "npm install express\n", True),
        (unpinned_installs, "npm ci\n", True),
        (unpinned_installs, "uvx zizmor .\n", True),
        (unpinned_installs, "curl -fsS https://example.test/install.sh | bash\n", True),
        (unpinned_installs, "pip install --require-hashes -r requirements/runtime.txt\n", False),
        (unpinned_installs, "pip install --no-deps --no-build-isolation --editable .\n", False),
        (unpinned_installs, "npm ci --ignore-scripts\n", False),
        (unpinned_actions, "      - uses: actions/checkout@v6\n", True),
        (unpinned_actions, "      - uses: actions/checkout@" + "0" * 40 + "\n", True),
        (unpinned_actions, "      - uses: actions/checkout@" + "0" * 40 + " # v6\n", True),
        (unpinned_actions, "        uses: docker://alpine:3\n", True),
        (unpinned_actions, "        uses: org/sse-check@main\n", True),
        (unpinned_actions, "      - uses: actions/checkout@" + "0" * 40 + " # v6.0.2\n", False),
        (unpinned_actions, "        uses: org/sse-check@v1\n", False),
        (unpinned_bases, "FROM python:3.13-slim\n", True),
        (unpinned_bases, "ARG BASE=python:3.13-slim\nFROM ${BASE}\n", True),
        (unpinned_bases, "FROM --platform=linux/amd64 alpine AS a\n", True),
        (unpinned_bases, "FROM scratch\nCOPY --from=alpine:3 /bin /bin\n", True),
        (unpinned_bases, "FROM python:3@sha256:" + "0" * 64 + " AS base\nFROM base\nCOPY --from=base / /\n", False),
    ],
)
def test_what_is_not_pinned_is_found(finder, text, wrong):
    """
    The tests above find what they are for.
    """
    assert bool(finder(text)) == wrong


class Database(http.server.ThreadingHTTPServer):
    """An advisory database in the form of osv.dev's, on loopback."""

    knows = True

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://127.0.0.1:{self.server_port}/v1/query"


class Advisories(http.server.BaseHTTPRequestHandler):
    """Knows of one vulnerability, in brotli."""

    def do_POST(self):
        assert isinstance(self.server, Database)
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["package"]["name"]
        known = {
            "id": "PYSEC-2026-1",
            "details": "Its output is not bounded.",
            "published": "2026-11-01T00:00:00Z",
            "affected": [
                {
                    "package": {"name": "brotli", "ecosystem": "PyPI"},
                    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}],
                }
            ],
        }
        body = json.dumps({"vulns": [known]} if asked == "brotli" and self.server.knows else {}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def advisories() -> Iterator[Database]:
    """A database that answers."""
    with Database(("127.0.0.1", 0), Advisories) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def audit(url: str, tmp_path: Path, *locks: str) -> subprocess.CompletedProcess[str]:
    """The audit of some locks, by what the database at a URL says."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PIP_AUDIT": str(Path(sys.executable).with_name("pip-audit")),
        "PIP_AUDIT_VULNERABILITY_SERVICE": "osv",
        "PIP_AUDIT_OSV_URL": url,
    }
    return subprocess.run([ROOT / ".ci/audit", *locks], env=env, capture_output=True, text=True, check=False, timeout=120)


def test_an_audit_names_the_package_the_advisory_and_the_cure(advisories, tmp_path):
    """
    And the lock that holds it; where nothing is known it passes.
    """
    done = audit(advisories.url, tmp_path, "requirements/runtime.txt")
    assert done.returncode == 1
    assert re.search(r"brotli\s+\S+\s+PYSEC-2026-1\s+99\.0", done.stdout), done.stdout
    assert "not clean: requirements/runtime.txt." in done.stderr
    advisories.knows = False
    done = audit(advisories.url, tmp_path, "requirements/runtime.txt")
    assert done.returncode == 0, done.stderr


def test_an_audit_that_asked_nobody_does_not_pass(tmp_path):
    """
    A database that is not there is no clean bill, nor is a package that it does not know.
    """
    assert "options+=(--strict)" in (ROOT / ".ci/audit").read_text()  # PyPI's own database answers 404 for such a one
    lock = tmp_path / "lock.txt"
    lock.write_text("idna==3.20 \\\n    --hash=sha256:" + "0" * 64 + "\n")
    assert audit("http://127.0.0.1:9/v1/query", tmp_path, str(lock)).returncode == 1
    lock.write_text("")
    assert audit("http://127.0.0.1:9/v1/query", tmp_path, str(lock)).returncode == 1


def test_the_audit_asks_for_every_platforms_packages(advisories, tmp_path):
    """
    What is locked for Windows only is looked up on Linux as well.
    """
    lock = tmp_path / "lock.txt"
    lock.write_text("brotli==1.2.1 ; sys_platform == 'nowhere' \\\n    --hash=sha256:" + "0" * 64 + "\n")
    done = audit(advisories.url, tmp_path, str(lock))
    assert done.returncode == 1
    assert "PYSEC-2026-1" in done.stdout


def locked(path: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """A lock's packages: name to version and hashes."""
    found = {}
    for entry in path.read_text().replace("\\\n", " ").splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", entry)
        if match:
            found[match[1]] = (match[2], frozenset(re.findall(r"sha256:([0-9a-f]{64})", entry)))
    return found


def place(directory: Path) -> str:
    """A directory as Dependabot names it: workflows belong to the root."""
    name = str(directory.relative_to(ROOT))
    return "/" if name in (".", ".github/workflows") else f"/{name}"
