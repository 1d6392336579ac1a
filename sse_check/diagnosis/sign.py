"""What rules see and what they say: the values that the families of rules share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sse_check.diagnosis.finding import Confidence, Fix, Severity
from sse_check.diagnosis.shape import Delivery
from sse_check.metrics import StreamMetrics
from sse_check.recording import Factor
from sse_check.scenario import Criteria

Figures = dict[str, float | int | str]
# How a stream is held back.
Kind = Literal["buffered-full", "one-behind", "buffered-block", "buffered-time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """The streams of a probe that were opened together: how many, how many of them were well, and when an answer was late among them.

    `late` is in seconds from the request. Worked out once for all of them: there may be thousands.
    """

    streams: int
    well: int
    late: float


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One stream as a rule sees it: its figures, and what there is to compare them with.

    `company` are the streams that were opened together with it, itself among them. `twins` are the follow-ups of its
    probe, by the factor that was changed. `idle_limit` is the limit on silence that was measured, else the smallest
    documented one of the hops it came through; for `survived` seconds silent streams of a search for limits were seen to live.
    `held` is how the stream was held back (holding.py), if it was: worked out once for all rules, since a stream may be long.
    """

    m: StreamMetrics
    criteria: Criteria
    company: Company
    twins: Mapping[Factor, tuple[StreamMetrics, ...]] = field(default_factory=dict)
    idle_limit: float | None = None
    survived: float = 0.0
    held: tuple[Kind, Delivery] | None = None

    def twin(self, factor: Factor) -> StreamMetrics | None:
        """The first follow-up with this factor."""
        return next(iter(self.twins.get(factor, ())), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """What a rule saw in one stream."""

    message: str
    evidence: Figures
    confidence: Confidence = "certain"
    severity: Severity | None = None  # where it is not the rule's own
    fixes: tuple[Fix, ...] = ()  # where they are not those of every such fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One fault code, how bad it is, and how it is recognised.

    `ends`: nothing after it can be judged. `explains`: consequences that are not reported beside it.
    """

    code: str
    severity: Severity
    sign: Callable[[View], Sign | None]
    ends: bool = False
    explains: frozenset[str] = frozenset()
