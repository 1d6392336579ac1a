"""The fallbacks of a scenario, tried through the same deployment: does a WebSocket open, is a batch request answered?"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec

from sse_check.probe import USER_AGENT, host_allowed
from sse_check.recording import FallbackRecording
from sse_check.redaction import Redactor
from sse_check.scenario import BatchFallback, Scenario, WebSocketFallback
from sse_check.schedule import tls_context
from sse_check.transport.resolve import KnownFirst

_TIMEOUT: Final = 10.0  # seconds for each fallback
_MAX_MESSAGE: Final = 1024 * 1024


async def try_fallbacks(
    scenario: Scenario, *, redactor: Redactor, hosts: tuple[str, ...] | None, addresses: Mapping[str, str]
) -> tuple[FallbackRecording, ...]:
    """Try the fallbacks in their order, up to the first that works. Never raises for what a server does."""
    tried: list[FallbackRecording] = []
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls_context(scenario), resolver=KnownFirst(addresses)),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": USER_AGENT},
        trust_env=not addresses,
    ) as session:
        for fallback in scenario.fallbacks:
            option = fallback.websocket or fallback.batch
            assert option is not None  # the scenario was checked
            url = scenario.fallback_url(option)
            headers = _headers(scenario, url)
            began = time.monotonic()
            try:
                async with asyncio.timeout(_TIMEOUT):
                    if hosts is not None and not host_allowed(url, hosts):
                        worked, detail = False, "its host is not allowed"
                    elif isinstance(option, WebSocketFallback):
                        worked, detail = await _websocket(session, url, option, headers)
                    else:
                        worked, detail = await _batch(session, url, option, headers)
            except TimeoutError:
                worked, detail = False, f"no answer within {_TIMEOUT:g} s"
            except (aiohttp.ClientError, OSError, ValueError) as error:
                worked, detail = False, f"{type(error).__name__}: {error}"
            tried.append(
                FallbackRecording(
                    kind="websocket" if isinstance(option, WebSocketFallback) else "batch",
                    url=redactor.url(url),
                    worked=worked,
                    seconds=round(time.monotonic() - began, 6),
                    detail=redactor.text(detail)[:300],
                )
            )
            if worked:
                break
    return tuple(tried)


def _headers(scenario: Scenario, url: str) -> dict[str, str]:
    """The target's headers, for the target's host only."""
    same = urlsplit(url).netloc == urlsplit(scenario.target.url or "").netloc
    return dict(scenario.target.headers) if same else {}


async def _websocket(session: aiohttp.ClientSession, url: str, option: WebSocketFallback, headers: dict[str, str]) -> tuple[bool, str]:
    async with session.ws_connect(url, headers=headers, max_msg_size=_MAX_MESSAGE) as socket:
        if option.send is None:
            return True, "the connection was upgraded"
        await socket.send_str(option.send)
        message = await socket.receive()
        answered = message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)
        return answered, "the connection was upgraded and a message answered" if answered else "upgraded, but the message was not answered"


async def _batch(session: aiohttp.ClientSession, url: str, option: BatchFallback, headers: dict[str, str]) -> tuple[bool, str]:
    body: dict[str, Any] = {}
    if isinstance(option.body, dict):
        body = {"data": msgspec.json.encode(option.body)}
        headers = {"Content-Type": "application/json", **headers}
    elif option.body is not None:
        body = {"data": option.body.encode()}
    async with session.request(option.method, url, headers=headers, allow_redirects=False, **body) as response:
        await response.content.read(1)
        return 200 <= response.status < 300, f"status {response.status}"
