"""The scenario: what is to be checked, read from YAML into frozen values."""

from sse_check.scenario.load import Mistake, ScenarioError, Variables, load, variables_in
from sse_check.scenario.model import (
    DEFAULT_CONCURRENT_STREAMS,
    BatchFallback,
    Compare,
    Criteria,
    Expect,
    Fallback,
    Probe,
    Scenario,
    Target,
    Timestamps,
    Tls,
    Until,
    WebSocketFallback,
    join_url,
    planned_until,
    schema,
    stream_timeout,
)
from sse_check.scenario.values import check_url

__all__ = [
    "DEFAULT_CONCURRENT_STREAMS",
    "BatchFallback",
    "Compare",
    "Criteria",
    "Expect",
    "Fallback",
    "Mistake",
    "Probe",
    "Scenario",
    "ScenarioError",
    "Target",
    "Timestamps",
    "Tls",
    "Until",
    "Variables",
    "WebSocketFallback",
    "check_url",
    "join_url",
    "load",
    "planned_until",
    "schema",
    "stream_timeout",
    "variables_in",
]
