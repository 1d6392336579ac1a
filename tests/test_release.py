"""A release, as far as it needs no GitHub: the version is one, and the tagged action names its image by digest."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from sse_check import __version__
from tests.support.process import ROOT

DIGEST = "sha256:" + "0a" * 32


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with what a release reads, on its main branch."""
    for name in (".ci/release", "action.yml", "composite/action.yml", "CHANGELOG.md", "sse_check/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text(
        changelog.read_text() + f"\n## [{__version__}] - 2026-12-01\n\n- All of it.\n\n## [0.0.1] - 2026-01-01\n\n- Before.\n"
    )
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "Begin")
    return tmp_path


def git(where: Path, *args: str) -> str:
    """What git says."""
    done = subprocess.run(
        ["git", "-c", "user.name=tests", "-c", "user.email=tests@example.test", *args],
        cwd=where,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def release(where: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """The release's own script."""
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(where)}
    env |= {f"GIT_{who}_{what}": "tests@example.test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return subprocess.run([str(where / ".ci/release"), *args], env=env, capture_output=True, text=True, check=False)


def test_the_tagged_action_names_its_image_by_digest_and_main_builds_its_own(repository):
    """
    The tags stand on a commit of their own, in which only `image` differs; main stays as it was.
    """
    before = git(repository, "rev-parse", "main")
    assert release(repository, "tag", __version__, DIGEST).returncode == 0
    assert git(repository, "rev-parse", "main") == before
    major = f"v{__version__.partition('.')[0]}"
    assert git(repository, "rev-parse", f"v{__version__}") == git(repository, "rev-parse", major)
    assert git(repository, "diff", "--name-only", "main", major) == "action.yml"
    tagged, here = (yaml.safe_load(git(repository, "show", f"{ref}:action.yml")) for ref in (major, "main"))
    assert here["runs"].pop("image") == "Dockerfile"
    assert tagged["runs"].pop("image") == f"docker://ghcr.io/org/sse-check@{DIGEST}"
    assert tagged == here


def test_the_major_tag_moves_and_a_version_does_not(repository):
    """
    A second release moves the major tag; the same version again is refused.
    """
    assert release(repository, "tag", "3.0.0", DIGEST).returncode == 0
    first = git(repository, "rev-parse", "v3")
    git(repository, "switch", "-q", "main")
    assert release(repository, "tag", "3.0.1", DIGEST).returncode == 0
    assert git(repository, "rev-parse", "v3") != first == git(repository, "rev-parse", "v3.0.0")
    git(repository, "switch", "-q", "main")
    assert release(repository, "tag", "3.0.1", DIGEST).returncode != 0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("check", "9.9.9"), "has another version"),
        (("check", "v1"), "is no version"),
        (("tag", __version__, "latest"), "is no digest"),
        (("tag", __version__), "is no digest"),
        (("sweep", __version__), "check, notes or tag?"),
    ],
)
def test_a_release_that_is_not_right_is_refused(repository, args, said):
    """
    What is wrong is said, and nothing is tagged.
    """
    done = release(repository, *args)
    assert done.returncode == 1
    assert said in done.stderr
    assert git(repository, "tag") == ""


def test_the_notes_are_the_changelogs_section(repository):
    """
    The section of this version, and nothing of another.
    """
    assert release(repository, "check", __version__).returncode == 0
    assert release(repository, "notes", __version__).stdout.strip() == "- All of it."
