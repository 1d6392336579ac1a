"""What is seen of a run while it lasts, on a terminal and without one."""

import io
import os
import pty
import re
import sys
from array import array

import pytest

from sse_check.escape import log_lines
from sse_check.live import LiveStream
from sse_check.planning import Planner
from sse_check.progress import Progress, show_result
from sse_check.recording import Head
from tests.support.process import ROOT, sse_check
from tests.support.streams import probe, scenario

COLOUR = re.compile(rb"\x1b\[[0-9;]*3[0-7]m")
ARGUMENTS = ["-m", "sse_check", "demo", "--report-dir"]


def on_a_terminal(directory: os.PathLike[str], **environment: str) -> bytes:
    """All that a run writes to a terminal of its own."""
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "CI")}
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            os.chdir(ROOT)
            os.execve(
                sys.executable,
                [sys.executable, *ARGUMENTS, str(directory)],
                {**clean, "TERM": "xterm-256color", "COLUMNS": "120", **environment},
            )
        finally:
            os._exit(127)  # whatever went wrong, the child must not go on as the tests
    written = b""
    while True:
        try:
            written += os.read(terminal, 65536)
        except OSError:  # Linux says so where the other end is closed
            break
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, written.decode()
    return written


def test_a_terminal_shows_each_stream_while_it_lasts_and_then_the_verdict(tmp_path):
    """
    A line per stream with its events as a strip, its state and its last gap, in colours; then the verdict.
    """
    seen = on_a_terminal(tmp_path)

    for text in ("events over time", "last gap", "three at once #3", "streaming", "viable: PROCEED with SSE"):
        assert text.encode() in seen
    assert re.search("[▁▂▃▄▅▆▇█]·+[▁▂▃▄▅▆▇█]", seen.decode())
    assert COLOUR.search(seen)


def test_no_color_is_obeyed(tmp_path):
    """
    With NO_COLOR there are no colours (no-color.org), and everything else is as before.
    """
    seen = on_a_terminal(tmp_path, NO_COLOR="1")

    assert COLOUR.search(seen) is None
    assert b"events over time" in seen


def test_without_a_terminal_there_are_plain_lines(tmp_path):
    """
    A log gets one line for each stream when it has ended, and no control character.
    """
    done = sse_check("demo", "--report-dir", tmp_path)

    assert "three at once #2: status 200, 11 events in " in done.stderr
    assert "\x1b" not in done.stderr + done.stdout
    assert "\r" not in done.stderr + done.stdout


def live(name: str) -> LiveStream:
    plan = scenario(probe(name))
    return LiveStream(plan=Planner(plan, hosts=None, addresses={}).groups()[0][0])


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_line_counts_in_words_that_fit(count: int):
    """
    One event is not called events.
    """
    out = io.StringIO()
    progress = Progress(out, live=False)
    stream = live("chat")
    stream.head_seen = Head(status=200, reason="OK", protocol="http/1.1", headers=())
    stream.events_ns, stream.reads_ns = array("q", range(count)), array("q", [0])
    stream.finished = True
    progress.watch("chat", stream)
    progress.finish()

    assert out.getvalue().startswith(f"chat: status 200, {count} event{'' if count == 1 else 's'} in 1 read")


def test_a_hostile_name_stays_on_its_line():
    """
    A probe's name may come from a fork: no control character of it reaches the log.
    """
    out = io.StringIO()
    progress = Progress(out, live=False)
    stream = live("chat")
    stream.finished = True
    progress.watch("x\r\n::error::y\x1b[2J", stream)
    progress.finish()

    assert "\x1b" not in out.getvalue()
    assert out.getvalue().count("\n") == 1


def test_a_result_that_is_piped_is_the_text_itself():
    """
    Colours are for terminals: what a script reads is the plain text.
    """
    out = io.StringIO()
    show_result(log_lines(["✘ not-viable: x", "  error: y"]), out)
    assert out.getvalue() == "✘ not-viable: x\n  error: y\n"
