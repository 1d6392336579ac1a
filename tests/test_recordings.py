"""Recordings of real streams, and the verdict that each must come to."""

from pathlib import Path

import pytest
import yaml

from sse_check.diagnosis import FAULTS
from sse_check.pipeline import rejudge

FOLDER = Path(__file__).parent / "recordings"
EXPECTED = yaml.safe_load((FOLDER / "expected.yml").read_text())


@pytest.mark.parametrize("name", EXPECTED)
def test_a_recording_comes_to_the_verdict_it_must(name: str):
    """
    `judge` finds in each recording exactly the faults that were there, the cause first.
    """
    result = rejudge([FOLDER / f"{name}.ndjson"], None).result

    assert {"verdict": result.verdict, "codes": list(dict.fromkeys(f.code for f in result.findings))} == EXPECTED[name]


def test_every_recording_has_its_verdict_and_every_code_its_recording():
    """
    No file is without an expectation, and no fault without a recording that shows it.
    """
    assert {path.stem for path in FOLDER.glob("*.ndjson")} == set(EXPECTED)
    assert {code for expected in EXPECTED.values() for code in expected["codes"]} == set(FAULTS)
