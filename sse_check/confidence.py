"""How sure a share is that was counted: the Wilson score interval, and what a limit on the success rate comes to with it.

Of `n` events `k` were on time. Were the true share p, the observed one, k/n, would be within z standard deviations of it
(z = 1.96 for 95 %: the two-sided quantile of the normal distribution). The interval holds every p of which that is so:

    |k/n - p| <= z * sqrt(p * (1 - p) / n)
    low, high = (k + z²/2 -+ z * sqrt(k * (n - k) / n + z²/4)) / (n + z²)

(E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22, 1927.) It is for events that are
late or not each by itself. Those of one stream often are not: a cut loses all that follow. So it says how far chance may have
moved a rate, and nothing of how the next run, or the next deployment, differs from this one.
"""

import math
from statistics import NormalDist
from typing import Final

# In percent. Beyond it the events of no run are enough, and further on a float cannot hold the share.
MOST_CONFIDENCE: Final = 99.9999


def wilson(successes: int, of: int, confidence: float) -> tuple[float, float]:
    """The interval of a share, in percent: 18 of 20 at 95 % -> 69.9 to 97.2. All and none have their ends exactly; of nothing: 0 to 100.

    `confidence` is in percent; one beyond MOST_CONFIDENCE is that.
    """
    if not of:
        return 0.0, 100.0
    z = _deviations(confidence)
    middle = successes + z * z / 2
    spread = z * math.sqrt(successes * (of - successes) / of + z * z / 4)
    low = 0.0 if successes == 0 else 100 * (middle - spread) / (of + z * z)
    high = 100.0 if successes == of else 100 * (middle + spread) / (of + z * z)
    return low, high


def rate_met(successes: int, of: int, limit: float, confidence: float | None = None) -> bool | None:
    """Whether a share of at least one event reaches a limit in percent.

    With a confidence: met where the whole interval does, missed where none of it does, else None, which is not known. Of 100 %
    a single miss is one too many, and no number of events is enough to prove it; 0 % is always met.
    """
    if confidence is None:
        return 100 * successes >= limit * of
    low, high = wilson(successes, of, confidence)
    return True if low >= limit else False if high < limit else None


def more_events(successes: int, of: int, limit: float, confidence: float) -> int | None:
    """About how many more events would decide, were the share to stay as it is; None where no number would.

    From the inequality above: n >= z² * p * (1 - p) / (k/n - p)², with the limit as p. 19 of 20 at 95 %, limit 90 % -> 119.
    None: the share is the limit itself, or too near to it.
    """
    share, wanted = successes / of, limit / 100
    if (apart := (share - wanted) ** 2) == 0:
        return None
    needed = _deviations(confidence) ** 2 * wanted * (1 - wanted) / apart
    return max(1, math.ceil(needed) - of) if needed < 1e15 else None


def _deviations(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + min(confidence, MOST_CONFIDENCE) / 100) / 2)
