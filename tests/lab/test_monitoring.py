"""The metrics before real judges: Prometheus, its promtool, and the Pushgateway; and what the examples build on them."""

import http.server
import json
import re
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from sse_check.diagnosis import Finding
from sse_check.monitoring import push
from sse_check.pipeline import rejudge
from sse_check.report import Result, build_report
from sse_check.report.openmetrics import gauges, openmetrics
from tests.lab.proxies import Proxy, running
from tests.support.streams import every, probe, recording, scenario, stream

pytestmark = pytest.mark.lab

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "examples/monitoring"
RECORDINGS: Final = sorted((ROOT / "tests/recordings").glob("*.ndjson"))
_SCRAPED_S: Final = 30.0  # it scrapes each second, and begins within two

PROMETHEUS: Final = Proxy(
    name="Prometheus",
    program="prometheus",
    command=("--config.file=@dir@/config.yml", "--storage.tsdb.path=@dir@/data", "--web.listen-address=127.0.0.1:@port@"),
    files={
        "config.yml": """\
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
- {job_name: sse-check, honor_labels: true, metrics_path: /metrics, static_configs: [{targets: ["@origin@"]}]}
"""
    },
    slots={},
    ready="/-/ready",
)
PUSHGATEWAY: Final = Proxy(
    name="Pushgateway",
    program="prometheus-pushgateway",
    command=("--web.listen-address=127.0.0.1:@port@", "--persistence.file="),  # Debian's keeps it for the next
    files={},
    slots={},
    ready="/-/ready",
)

Labels = frozenset[tuple[str, str]]
HOSTILE = 'a "quoted"\\ \n name } 1'


def result_of(name: str = "chat", probe_name: str = "answers") -> Result:
    of = recording(stream(every(1.0, 20), probe=probe_name), scenario=scenario(probe(probe_name), name=name))
    return build_report(of).result


def regressed(result: Result) -> Result:
    """The result with a finding that most have not."""
    found = Finding(code="regression", severity="error", confidence="certain", probe="answers", streams=(1,), evidence={}, message="")
    return replace(result, findings=(found,))


def written(result: Result) -> dict[tuple[str, Labels], float]:
    """Every sample of the result by its name and labels; a label without a value is one that is not there (Prometheus, "Data model")."""
    return {
        (gauge.name, frozenset((name, value) for name, value in zip(gauge.labels, sample.labels, strict=True) if value)): sample.value
        for gauge in gauges(result)
        for sample in gauge.samples
    }


def promtool(*args: str | Path, given: bytes | None = None) -> str:
    """What promtool says; it must have no complaint."""
    done = subprocess.run(["promtool", *map(str, args)], input=given, capture_output=True, cwd=EXAMPLES, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as response:
        content: bytes = response.read()
    return content


@contextmanager
def serving(text: bytes) -> Iterator[str]:
    """A server that gives the text as OpenMetrics; gives its host:port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Nothing is written beside a test's result."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


# --- Prometheus -------------------------------------------------------------------------------------------------------


def test_prometheus_reads_every_sample():
    """
    Prometheus scrapes metrics.prom as OpenMetrics, and its API gives each sample back as it was written, hostile names too.
    """
    result = regressed(result_of(HOSTILE, HOSTILE))
    with serving(openmetrics(result)) as metrics, running(PROMETHEUS, {}, metrics) as prometheus:
        assert scraped(prometheus) == written(result)


def scraped(prometheus: str) -> dict[tuple[str, Labels], float]:
    """All samples of sse-check that Prometheus has, as soon as it has any."""
    query = urllib.parse.urlencode({"query": '{__name__=~"sse_check_.+"}'})
    until = time.monotonic() + _SCRAPED_S
    while time.monotonic() < until:
        found: list[dict[str, Any]] = json.loads(fetched(f"{prometheus}/api/v1/query?{query}"))["data"]["result"]
        if found:
            return {_series(sample["metric"]): float(sample["value"][1]) for sample in found}
        time.sleep(0.2)
    raise AssertionError(fetched(f"{prometheus}/api/v1/targets").decode())


def _series(labels: dict[str, str]) -> tuple[str, Labels]:
    own = {name: value for name, value in labels.items() if name not in ("__name__", "job", "instance")}
    return labels["__name__"], frozenset(own.items())


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_promtool_has_no_complaint_about_a_recordings_metrics(path: Path):
    """
    The older text format's own parser, which is that of node_exporter's textfile collector, and Prometheus's lint.
    """
    promtool("check", "metrics", given=openmetrics(rejudge([path], None).result))


# --- the Pushgateway --------------------------------------------------------------------------------------------------


def pushed(gateway: str) -> dict[tuple[str, Labels], float]:
    """What the Pushgateway shows of sse-check, without the labels of its groups."""
    families = text_string_to_metric_families(fetched(f"{gateway}/metrics").decode())
    samples = [sample for family in families if family.name.startswith("sse_check_") for sample in family.samples]
    return {_series({"__name__": s.name, **{name: value for name, value in s.labels.items() if value}}): s.value for s in samples}


def test_what_is_pushed_is_read_back():
    """
    Every sample, hostile names too.
    """
    result = regressed(result_of(HOSTILE, HOSTILE))
    with running(PUSHGATEWAY, {}, "none:0") as gateway:
        assert push(result, pushgateway=gateway, otlp=None, environ={}) == ()
        assert pushed(gateway) == written(result)


def test_a_push_replaces_its_own_scenarios_metrics_and_no_others():
    """
    A fault that is gone is gone from the Pushgateway too, and another scenario's and another target's metrics stay.
    """
    first, other = result_of("first"), result_of("other")
    elsewhere = replace(first, target_url="https://elsewhere.example.test/a b")
    with running(PUSHGATEWAY, {}, "none:0") as gateway:
        for result in (regressed(first), other, elsewhere, first):
            assert push(result, pushgateway=gateway, otlp=None, environ={}) == ()
        assert pushed(gateway) == written(first) | written(other) | written(elsewhere)


# --- the examples -----------------------------------------------------------------------------------------------------


def test_promtool_takes_the_alerts():
    """
    The rules are correct, and each fires when it should and only then.
    """
    said = promtool("check", "rules", "alerts.yml")
    assert "SUCCESS" in said
    promtool("test", "rules", "alerts.test.yml")


def test_every_alert_is_tried():
    """
    No alert is without an expectation that it fires.
    """
    alerts = set(re.findall(r"- alert: (\w+)", (EXAMPLES / "alerts.yml").read_text()))
    fires = set(re.findall(r"alertname: (\w+)\n +exp_alerts:\n", (EXAMPLES / "alerts.test.yml").read_text()))
    assert fires == alerts


def expressions() -> list[str]:
    """All queries of the dashboard, with a time for the one that Grafana sets."""
    dashboard = json.loads((EXAMPLES / "dashboard.json").read_text())
    return [target["expr"].replace("[$__range]", "[7d]") for panel in dashboard["panels"] for target in panel.get("targets", ())]


def test_prometheus_parses_each_query_of_the_dashboard(tmp_path: Path):
    """
    Its variables stand inside of texts, so each expression is one for Prometheus's own parser.
    """
    rules = [{"record": f"panel:number_{number}", "expr": expr} for number, expr in enumerate(expressions())]
    # JSON is YAML.
    (tmp_path / "panels.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"SUCCESS: {len(rules)} rules found" in promtool("check", "rules", tmp_path / "panels.yml")


def test_the_examples_use_metrics_that_exist_and_all_of_them():
    """
    Each name in the dashboard and in the alerts is one that a run writes; the dashboard shows every metric.
    """
    exist = {gauge.name for gauge in gauges(result_of())}
    assert names(expressions()) == exist
    for file in ("dashboard.json", "alerts.yml", "alerts.test.yml", "README.md"):
        assert names([(EXAMPLES / file).read_text()]) <= exist, file


def names(texts: Iterable[str]) -> set[str]:
    return {name for text in texts for name in re.findall(r"\bsse_check_\w+", text)}


def test_the_dashboard_can_be_imported():
    """
    Every panel asks the data source that is chosen at the top, none lies on another, and no number is there twice.
    """
    dashboard = json.loads((EXAMPLES / "dashboard.json").read_text())
    panels = dashboard["panels"]
    assert (dashboard["id"], dashboard["templating"]["list"][0]["type"]) == (None, "datasource")
    sources = [part["datasource"]["uid"] for panel in panels for part in (panel, *panel.get("targets", ())) if panel["type"] != "row"]
    assert set(sources) == {"${datasource}"}
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [cell for panel in panels for cell in cells_of(**panel["gridPos"])]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23


def cells_of(x: int, y: int, w: int, h: int) -> Iterator[tuple[int, int]]:
    return ((column, line) for column in range(x, x + w) for line in range(y, y + h))
