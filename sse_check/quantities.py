"""Times and counts as a file may hold them, which anybody may have written.

No run comes near these bounds. Within them sums, differences and logarithms are finite, and so many nanoseconds fit into 64 bits.
"""

from typing import Annotated, Final

from msgspec import Meta

MOST_SECONDS: Final = 1e9
Seconds = Annotated[float, Meta(ge=0, le=MOST_SECONDS)]
# A difference, or a moment before the one that is counted from.
SignedSeconds = Annotated[float, Meta(ge=-MOST_SECONDS, le=MOST_SECONDS)]
EpochSeconds = Annotated[float, Meta(ge=-1e11, le=1e11)]
MOST_NS: Final = 5 * 10**17  # half of MOST_SECONDS: so two are no further apart
Ns = Annotated[int, Meta(ge=-MOST_NS, le=MOST_NS)]
Count = Annotated[int, Meta(ge=0, le=10**12)]
Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]  # what an event may bring (fields.py)
