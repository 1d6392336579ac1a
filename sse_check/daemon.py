"""Blocking work beside the loop, which nobody has to wait for at the program's end."""

import asyncio
import errno
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

_T = TypeVar("_T")


def in_thread(work: Callable[[], _T]) -> "asyncio.Future[_T]":
    """The result of blocking work, done in a daemon thread of its own.

    asyncio's own threads are waited for when the loop is closed and again when the interpreter ends: a resolver or an
    engine that does not answer would hold up the report of an interrupted run. Where no thread can be had it is OSError (EAGAIN).
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def settle(put: Callable[[Any], None], value: Any) -> None:
        if not done.done():
            put(value)

    def body() -> None:
        put: Callable[[Any], None] = done.set_result
        value: Any
        try:
            value = work()
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the waiting side's
            put, value = done.set_exception, error
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, put, value)

    try:
        threading.Thread(target=body, daemon=True).start()
    except RuntimeError as error:  # pthread_create(3): the machine, or the container, has no thread or memory left
        done.set_exception(OSError(errno.EAGAIN, str(error)))
    return done
