"""What the documents say is what the program does."""

import re
import tomllib

import pytest
import yaml

from sse_check import __version__
from sse_check.diagnosis import CODES
from sse_check.diagnosis import FAULTS as OF_STREAMS
from sse_check.diagnosis.cures import CURES
from sse_check.origin import FAULTS
from sse_check.scenario import Variables, load, schema
from tests.support.process import ROOT, sse_check

README = (ROOT / "README.md").read_text()


def test_the_readme_lists_the_actions_inputs_with_their_defaults():
    """
    The table of inputs in the README has the names and defaults of action.yml.
    """
    declared = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    table = re.findall(r"^\| `([a-z-]+)` \| (?:`([^`]*)`)? ?\|", README.split("| Output |")[0], re.MULTILINE)
    assert dict(table) == {name: spec.get("default", "") for name, spec in declared.items()}


def test_the_readme_lists_the_actions_outputs():
    """
    Every output of action.yml stands in the README, and no other.
    """
    table = README.split("| Output |")[1].split("\n\n")[0]
    names = [name for row in table.splitlines() for name in re.findall(r"`([a-z_-]+)`", row.split("|")[1])]
    assert set(names) == set(yaml.safe_load((ROOT / "action.yml").read_text())["outputs"])


def test_every_code_has_its_heading_its_cure_and_its_fault():
    """
    Each diagnosis is a heading of docs/diagnoses.md, has a cure, and is shown by the server, if it is a fault of one stream.
    """
    headings = re.findall(r"^## (.+)$", (ROOT / "docs/diagnoses.md").read_text(), re.MULTILINE)
    assert set(headings) == set(CODES) == set(CURES)
    assert set(OF_STREAMS) <= set(FAULTS)


@pytest.mark.parametrize(
    "path", sorted([*(ROOT / "examples").glob("*.yml"), ROOT / "examples/pull-request/sse-check.yml"]), ids=lambda path: path.name
)
def test_examples_are_valid(path):
    """
    Every example is a valid scenario.
    """
    done = sse_check("validate", path)
    assert done.returncode == 0, done.stderr


def test_the_scenario_in_the_readme_is_valid():
    """
    The scenario shown in the README can be run as it stands.
    """
    text = re.search(r"```yaml\n(version: 1.*?)```", README, re.DOTALL)
    assert text is not None
    load(text[1].encode(), file="README.md", variables=Variables(values={"BASE_URL": "https://app.example.test", "API_KEY": "x"}))


@pytest.mark.parametrize("path", ["README.md", "SECURITY.md"])
def test_what_is_named_is_there(path):
    """
    Every file of the repository that the text names or links to exists.
    """
    text = re.sub(r"<!--.*?-->", "", (ROOT / path).read_text(), flags=re.DOTALL)
    named = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text) + re.findall(
        r"`((?:tests|docs|requirements|\.github/workflows|\.ci)/[^` *]+)`", text
    )
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_key_of_the_schema_is_documented():
    """
    docs/scenario.md names every key that a scenario can have.
    """
    text = (ROOT / "docs/scenario.md").read_text()
    keys = {key for part in schema()["$defs"].values() for key in part.get("properties", {})}
    assert {key for key in keys if not re.search(rf"\b{key}\b", text)} == set()


def test_the_commands_of_the_readme_exist():
    """
    Every subcommand that the README shows is one that --help knows, and every make target is in the Makefile.
    """
    known = sse_check("--help").stdout
    shown = "".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
    for command in re.findall(r"^sse-check ([a-z]+)", shown, re.MULTILINE):
        assert re.search(rf"^    {command} ", known, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make ([a-z]+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_example_workflows_use_inputs_and_outputs_that_exist():
    """
    Workflows in examples/ name only inputs and outputs of action.yml.
    """
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    for path in (ROOT / "examples/workflows").glob("*.yml"):
        text = path.read_text()
        for job in yaml.safe_load(text)["jobs"].values():
            for step in job["steps"]:
                if str(step.get("uses", "")).startswith("org/sse-check"):
                    assert set(step["with"]) <= set(action["inputs"])
        assert set(re.findall(r"steps\.sse\.outputs\.([a-z_-]+)", text)) <= set(action["outputs"])


def test_the_manifests_agree_on_the_number_of_shards():
    """
    As many pods, all at once, as the streams are shared out between, and a recording of each for the judge.
    """
    shards, judge = (yaml.safe_load((ROOT / "examples/kubernetes" / name).read_text())["spec"] for name in ("shards.yml", "judge.yml"))
    of = shards["completions"]
    asked, named = (job["template"]["spec"]["containers"][0]["args"] for job in (shards, judge))
    assert (shards["completionMode"], shards["parallelism"]) == ("Indexed", of)
    assert {f"--shard=job/{of}", "--report-dir=/recordings/$(JOB_COMPLETION_INDEX)"} <= set(asked)
    assert [name for name in named if name.endswith(".ndjson")] == [f"/recordings/{index}/recording.ndjson" for index in range(of)]


def test_the_version_is_told_once():
    """
    The package's version comes from one place.
    """
    assert "version" in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dynamic"]
    assert sse_check("--version").stdout == f"sse-check {__version__}\n"
