"""The embedded server: a correct SSE endpoint, and every fault a server can produce, on demand.

It is what `sse-check demo` checks, what `sse-check serve` puts behind a user's own proxy, and the known truth of the tests.
"""

from sse_check.origin.faults import FAULTS
from sse_check.origin.server import application, endpoints, serving

__all__ = ["FAULTS", "application", "endpoints", "serving"]
