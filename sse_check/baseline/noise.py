"""How much of a difference between two runs chance explains. Sources:

* Student's t quantile from the normal one: Abramowitz & Stegun, Handbook of Mathematical Functions, 26.7.5.
* Degrees of freedom of a sum of variances: Welch 1947 (Satterthwaite's formula).
* A variance of few values, drawn towards a prior one: Smyth 2004, "Linear models and empirical Bayes", section 3.
* Two shares, each by its own interval: Wilson 1927, Newcombe 1998 (method 10); clusters by the ratio estimator of
  Cochran, Sampling Techniques, section 9.
* Shares of few: Fisher's exact test, by the hypergeometric distribution.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median, median_high, median_low, stdev, variance
from typing import Final

# What streams of one run vary by where too few show it: 25 % (log scale), weighted as two further streams would be.
# With three streams their own spread alone is by chance often near nothing. Of the weights from 2 to 6 this one had the
# fewest false alarms with heavy tails, and noticed the most (`tests/lab/baseline.py`).
PRIOR_SPREAD: Final = 0.25
PRIOR_WEIGHT: Final = 2.0
# What is shorter than this a clock in a container does not tell from nothing.
_CLOCK_S: Final = 0.001
# One stream that takes so many times as long as the middle one found something asleep.
COLD_START: Final = math.log(4)
# A median of three or more varies more than a mean does: by the square root of this, for many normal values.
_MEDIAN: Final = math.pi / 2
_NORMAL: Final = NormalDist()


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The middle of one run's values on a log scale, the variance of that middle, and its degrees of freedom.

    `low` and `high` are the middle two of an even number, which differ much where there are two.
    """

    low: float
    high: float
    variance: float
    freedom: float


def usual_spread(samples: Iterable[Sequence[float]]) -> float:
    """What the streams of a run vary by, on the log scale, as its other probes show it: the middle one; never below the prior.

    One or two samples show only themselves.
    """
    spreads = [stdev(map(_log, sample)) for sample in samples if len(sample) > 1]
    return max(PRIOR_SPREAD, median(spreads)) if len(spreads) > 2 else PRIOR_SPREAD


def _log(value: float) -> float:
    return math.log(max(value, _CLOCK_S))


def level(values: Sequence[float], prior: float = PRIOR_SPREAD) -> Level:
    """The level of times in seconds; `prior` is what streams usually vary by."""
    logs = [_log(value) for value in values]
    n, usual = len(logs), _without_cold_start(logs)
    own = variance(usual) if len(usual) > 1 else 0.0
    freedom = PRIOR_WEIGHT + len(usual) - 1
    spread = (PRIOR_WEIGHT * prior**2 + (len(usual) - 1) * own) / freedom
    return Level(low=median_low(logs), high=median_high(logs), variance=spread * (_MEDIAN if n > 2 else 1.0) / n, freedom=freedom)


def _without_cold_start(logs: Sequence[float]) -> Sequence[float]:
    """All values but the longest, where that is so far off that it says nothing of the others; of two none is off."""
    if len(logs) < 3 or max(logs) - median(logs) < COLD_START:
        return logs
    return sorted(logs)[:-1]


def allowance(one: Level, other: Level, tail: float, drift: float = 0.0) -> float:
    """By how much two levels may differ with a chance of `tail` in each direction, on the log scale.

    `drift` is the standard deviation by which whole runs differ.
    """
    own = one.variance + other.variance
    known = 2 * drift**2
    freedom = (own + known) ** 2 / (one.variance**2 / one.freedom + other.variance**2 / other.freedom)
    return t_quantile(tail, freedom) * math.sqrt(own + known)


def t_quantile(tail: float, freedom: float) -> float:
    """What Student's t exceeds with the chance `tail`: 0.025 at 10 degrees of freedom -> 2.23. Exact to 2 % from 4 degrees on."""
    z, f = -_NORMAL.inv_cdf(tail), max(freedom, 4.0)
    return (
        z
        + (z**3 + z) / (4 * f)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * f**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * f**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * f**4)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of events over streams, 0 to 1, and how many independent events it is worth."""

    share: float
    worth: float

    def interval(self, tail: float) -> tuple[float, float]:
        """Wilson's interval, beyond each end of which the true share is with the chance `tail`."""
        z, n, p = -_NORMAL.inv_cdf(tail), self.worth, self.share
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, middle - half), min(1.0, middle + half)


def share(parts: Sequence[tuple[int, int]]) -> Share:
    """The share of (part, whole) of each stream, and what it is worth.

    Events of one stream share its fate: where streams differ more than events drawn apart would, they are worth fewer. A
    stream by itself shows nothing of that, and is worth one event.
    """
    whole, n = sum(w for _, w in parts), len(parts)
    p = sum(part for part, _ in parts) / whole
    if n == 1:
        return Share(share=p, worth=1.0)
    apart = p * (1 - p) / whole
    clustered = n / (n - 1) * sum((part - p * w) ** 2 for part, w in parts) / whole**2
    return Share(share=p, worth=whole / max(1.0, clustered / apart if apart else 1.0))


def share_allowance(one: Share, other: Share, tail: float) -> float:
    """By how much the lower share may lie below the higher by chance (`tail`): Newcombe's interval for the difference."""
    low, high = sorted((one, other), key=lambda s: s.share)
    above, below = low.interval(tail)[1] - low.share, high.share - high.interval(tail)[0]
    return math.hypot(above, below)


def chance_of_more(now: int, of_now: int, before: int, of_before: int) -> float:
    """The chance of at least `now` of `of_now` beside `before` of `of_before`, if both have one cause (Fisher, one-sided).

    3 of 3 beside 0 of 3 -> 0.05.
    """
    total, marked = of_now + of_before, now + before
    ways = _log_choose(total, marked)
    return math.fsum(
        math.exp(_log_choose(of_now, k) + _log_choose(of_before, marked - k) - ways)
        for k in range(now, min(of_now, marked) + 1)
        if marked - k <= of_before
    )


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
