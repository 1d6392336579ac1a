"""report.json is what its published JSON Schema says; other programs are written against that."""

import json
from pathlib import Path

import jsonschema
import pytest

from sse_check.pipeline import rejudge
from sse_check.report import report_json
from tests.support.process import ROOT, sse_check

PUBLISHED = json.loads((ROOT / "docs/report.schema.json").read_text())
RECORDINGS = sorted((ROOT / "tests/recordings").glob("*.ndjson"))


def test_the_published_schema_is_the_programs():
    """
    docs/report.schema.json is what `sse-check schema report` prints, and a valid schema.
    """
    assert json.loads(sse_check("schema", "report").stdout) == PUBLISHED
    jsonschema.Draft202012Validator.check_schema(PUBLISHED)


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_every_report_follows_the_schema(path: Path):
    """
    The report of any recording is valid.
    """
    jsonschema.validate(json.loads(report_json(rejudge([path], None).result)), PUBLISHED)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("verdict", "fine"),
        ("streaming_enabled", "true"),
        ("findings", {}),
        ("test_results", [{"probe": "x"}]),
        ("overall_success_rate", None),
    ],
)
def test_a_report_with_something_else_does_not(key: str, value: object):
    """
    The schema is not one that anything fits.
    """
    report = json.loads(report_json(rejudge([RECORDINGS[0]], None).result))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(report | {key: value}, PUBLISHED)


def test_every_key_of_a_report_is_in_the_schema():
    """
    What a report holds is described: a key that the schema does not have would be one that nobody can rely on.
    """

    def unknown(value: object, schema: dict[str, object], at: str) -> list[str]:
        schema = PUBLISHED["$defs"][str(schema["$ref"]).rpartition("/")[2]] if "$ref" in schema else schema
        if isinstance(value, dict) and isinstance(known := schema.get("properties"), dict):
            return [name for key in value for name in (unknown(value[key], known[key], f"{at}.{key}") if key in known else [f"{at}.{key}"])]
        if isinstance(value, list) and isinstance(items := schema.get("items"), dict):
            return [name for item in value for name in unknown(item, items, f"{at}[]")]
        return []

    for path in RECORDINGS:
        assert unknown(json.loads(report_json(rejudge([path], None).result)), PUBLISHED, "") == []
