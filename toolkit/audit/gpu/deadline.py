"""A bound on how long something may take, for scripts that run unattended."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Stop the body after so many seconds, at the next step of the interpreter.

    Where there are no alarms (Windows, a thread beside the main one) the body runs to its end.

    Raises:
        TimeoutError: The time is over, or there is none.
    """
    if seconds <= 0:
        raise TimeoutError("no time was left")
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"stopped after {time.monotonic() - start:.0f} s")

    start = time.monotonic()
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
