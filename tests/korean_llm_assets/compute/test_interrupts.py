"""A signal that comes while a cancellation is carried out does not stop it half-way."""

import os
import signal
import threading

import pytest

from korean_llm_assets.compute.cluster.compute import undisturbed


def test_a_second_signal_is_not_heard_until_the_job_is_dealt_with():
    def raises(number: int, frame: object) -> None:
        raise InterruptedError

    before = signal.signal(signal.SIGTERM, raises)
    try:
        with undisturbed():
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(InterruptedError):
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_another_thread_has_no_signals_to_ignore():
    seen: list[object] = []

    def look() -> None:
        with undisturbed():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]
