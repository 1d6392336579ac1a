"""Nothing that was measured is lost, and no exit status is wrong, whatever happens to the files of a run."""

from pathlib import Path

import pytest

from tests.hostile.files import CASES


@pytest.mark.parametrize("name", CASES)
def test_what_is_promised_of_files_is_kept(name: str, server: str, tmp_path: Path):
    """
    Kills, full disks, directories that vanish, links, two runs in one place, the runner's files: each as the table has it.
    """
    row = CASES[name](server, tmp_path)

    assert row.held, f"{row.attempt}: {row.seen}"
