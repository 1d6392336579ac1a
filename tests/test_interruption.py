"""Signals: the first asks for an orderly end, from the program's start to its end, and the second breaks nothing off."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sse_check.interruption import Interruption
from tests.support.process import COMMAND, ROOT, sse_check
from tests.support.servers import Endless, raw_server


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """What a test does to the signals of this process is undone."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_later_ones_change_nothing(number: signal.Signals):
    """
    `by` is the first signal; it is asked once.
    """
    asked: list[str] = []
    with Interruption() as interruption, interruption.asking(asked.append):
        assert interruption.by is None
        signal.raise_signal(number)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)

    assert asked == [number.name]
    assert interruption.by is number
    assert signal.getsignal(number) is signal.SIG_IGN  # up to the program's end


def test_without_a_signal_everything_is_as_it_was():
    """
    The handlers from before are back.
    """
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interruption():
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_signal_that_came_before_is_asked_at_once():
    """
    While inputs are read nobody asks yet; the run that begins then ends at once.
    """
    asked: list[str] = []
    with Interruption() as interruption:
        signal.raise_signal(signal.SIGINT)
        with interruption.asking(asked.append):
            assert asked == ["SIGINT"]


async def test_a_second_signal_does_not_break_off_the_report(tmp_path):
    """
    SIGINT and, while its report is written, SIGTERM: the report is whole, and the status is the first one's.
    """
    endless = Endless()
    async with raw_server(endless) as base:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "probe", f"{base}/", "--report-dir", str(tmp_path / "report"),
            env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        await asyncio.wait_for(endless.begun.wait(), 30)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            if process.returncode is None:
                process.send_signal(number)
                await asyncio.sleep(0.03)
        assert await asyncio.wait_for(process.wait(), 30) == 130
    judged = sse_check("judge", tmp_path / "report/recording.ndjson")
    assert judged.returncode == 3
    assert "SIGINT" in judged.stdout
    assert (tmp_path / "report/junit.xml").is_file()


def test_a_fallback_that_hangs_does_not_cost_what_was_measured(server, tmp_path):
    """
    SIGINT while a fallback is tried: the streams are reported, at once.
    """
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes connections, and never answers
        (tmp_path / "s.yml").write_text(
            f"version: 1\nprobes: [{{name: a, url: '{server}/events?fault=http-error'}}]\n"
            f"fallbacks: [{{batch: {{url: 'http://127.0.0.1:{deaf.getsockname()[1]}/'}}}}]\n"
        )
        process = subprocess.Popen(
            [*COMMAND, "run", "s.yml", "--format", "json"],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        connection, _ = deaf.accept()
        with connection:
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    report = json.loads(said)
    assert (report["verdict"], report["interrupted"], report["findings"][0]["code"]) == ("inconclusive", "SIGINT", "http-error")


def test_a_resolver_that_does_not_answer_holds_up_no_report(tmp_path):
    """
    The system's resolver blocks for half a minute; the end of the program does not wait for it.
    """
    code = (
        "import socket, sys, time; socket.getaddrinfo = lambda *a, **k: print('asked', flush=True, file=sys.stderr) or time.sleep(60)\n"
        "from sse_check.cli import main; sys.exit(main(['probe', 'http://app.example.test/', '--format', 'json']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while process.stderr.readline() != "asked\n":
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 143
    assert json.loads(said)["interrupted"] == "SIGTERM"
