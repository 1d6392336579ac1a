"""sse-check: do Server-Sent Events really stream through this deployment, and if not, why?"""

__version__ = "0.1.0"
