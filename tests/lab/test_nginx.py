"""Real nginx in front of the embedded server: what its defaults do, and that the cure cures."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.process import sse_check

pytestmark = pytest.mark.lab


@pytest.fixture
def nginx(tmp_path, server) -> Iterator[Callable[[str], str]]:
    """Start nginx with directives in the proxied location; gives the base URL."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    assert program is not None, "nginx is not installed: apt-get install nginx-light"
    started: list[subprocess.Popen[bytes]] = []

    def start(directives: str) -> str:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        temporary = "".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (tmp_path / "nginx.conf").write_text(
            f"daemon off; master_process off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;\n"
            "events { worker_connections 256; }\n"
            f"http {{ access_log off; {temporary}\n"
            f"  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {server}; {directives} }} }}\n}}\n"
        )
        started.append(subprocess.Popen([program, "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "error.log")]))
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return f"http://127.0.0.1:{port}"
            time.sleep(0.05)
        raise AssertionError((tmp_path / "error.log").read_text())

    yield start
    for process in started:
        process.terminate()
        process.wait(10)


def probe(url: str, directory: Path) -> tuple[int, dict[str, Any]]:
    """`sse-check probe` and, on its recording, `judge`: which must say the same."""
    done = sse_check("probe", url, "--report-dir", directory / "run")
    again = sse_check("judge", directory / "run/recording.ndjson", "--report-dir", directory / "judge")
    assert done.returncode == again.returncode, done.stderr + again.stderr
    assert (directory / "run/report.json").read_bytes() == (directory / "judge/report.json").read_bytes()
    return done.returncode, json.loads((directory / "run/report.json").read_text())


STREAM = "/events?count=10&every=300ms"


def test_nginx_by_default_holds_the_whole_response_back(nginx, tmp_path):
    """
    `proxy_pass` alone: not viable, `buffered-full`, certain, with the directive that cures it.
    """
    status, report = probe(nginx("") + STREAM, tmp_path)
    assert (status, report["verdict"], report["streaming_enabled"]) == (1, "not-viable", False)
    first = report["findings"][0]
    assert (first["code"], first["confidence"]) == ("buffered-full", "certain")
    assert any("proxy_buffering off;" in fix["text"] for fix in first["fixes"])
    assert report["summary"]["proxy_buffering"] is True


@pytest.mark.parametrize("cure", ["proxy_buffering off;", "proxy_buffering off; proxy_http_version 1.1;"])
def test_the_cure_cures(nginx, tmp_path, cure):
    """
    With the directives that the finding names the same stream is viable.
    """
    status, report = probe(nginx(cure) + STREAM, tmp_path)
    assert (status, report["verdict"], report["findings"]) == (0, "viable", [])


def test_a_cut_by_nginx_is_a_truncation(nginx, tmp_path):
    """
    nginx gives a silent upstream up after `proxy_read_timeout`: the stream is broken off, and the report says at which age.
    """
    status, report = probe(
        nginx("proxy_buffering off; proxy_http_version 1.1; proxy_read_timeout 1s;") + "/events?count=4&fault=stalled&every=100ms", tmp_path
    )
    assert (status, report["findings"][0]["code"]) == (1, "truncated")
    assert report["findings"][0]["evidence"]["silence"] == pytest.approx(1.0, abs=0.5)
