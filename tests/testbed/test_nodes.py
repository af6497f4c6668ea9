"""Slowed nodes: by their own processor time, so that a busy machine changes nothing."""

from __future__ import annotations

import time

import pytest

from planner.errors import BadInputError
from scripts.testbed.nodes import VARIABLE, Slowness, own_factor, slowed

WORK_S = 0.03


def busy() -> float:
    """Use the processor for a while; for how long."""
    begun = time.thread_time()
    while time.thread_time() - begun < WORK_S:
        pass
    return time.thread_time() - begun


@pytest.mark.parametrize("factor", [1.5, 4.0])
def test_it_takes_longer_by_the_factor_and_computes_no_more(factor: float) -> None:
    before, begun = time.thread_time(), time.perf_counter()
    used = slowed(busy, factor)()
    # The last instants of a sleep are spent looking at the clock; the rest uses no processor.
    assert time.thread_time() - before < used + WORK_S / 2 * (factor - 1)
    assert time.perf_counter() - begun >= factor * used


def test_what_the_machine_does_meanwhile_is_not_multiplied() -> None:
    with Slowness(1000.0):
        begun = time.thread_time()
        time.sleep(0.05)  # as if another process had the processor
        used = time.thread_time() - begun
    assert used < 0.02  # else this test would wait for long


def test_what_it_waited_for_others_it_need_not_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    pause, asked = time.sleep, []

    def sleep(seconds: float) -> None:
        asked.append(seconds)
        pause(seconds)

    monkeypatch.setattr(time, "sleep", sleep)
    before = time.thread_time()
    with Slowness(4.0):
        begun = time.perf_counter()
        busy()
        pause(WORK_S)  # as if another process had the processor
        waited = time.perf_counter() - begun
    assert sum(asked) <= 4 * (time.thread_time() - before) - waited or not asked


def test_it_may_do_something_else_than_sleep() -> None:
    asked: list[float] = []
    with Slowness(4.0, asked.append):
        begun = time.perf_counter()
        used = busy()
        waited = time.perf_counter() - begun
    # nothing is asked for where others had the processor for longer than it would sleep
    assert len(asked) == 1 or waited > 3 * used
    assert all(0 < seconds < 4 * WORK_S for seconds in asked)


def test_what_takes_longer_than_it_should_is_noted() -> None:
    slowness = Slowness(1.0)
    with slowness:
        time.sleep(WORK_S)
    assert slowness.late_s >= WORK_S / 2


def test_an_error_is_no_less_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        slowed(lambda: 1 / 0, 2.0)()


def test_factor_one_is_the_same_object() -> None:
    assert slowed(busy, 1.0) is busy


def test_a_module_stays_a_module() -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Linear(3, 2).eval()
    slow = slowed(module, 2.0)
    x = torch.ones(1, 3)
    assert isinstance(slow, torch.nn.Module)
    assert not slow.training
    assert torch.equal(slow(x), module(x))


@pytest.mark.parametrize("text", ["0.5", "nan", "inf", "fast"])
def test_bad_factors_are_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(BadInputError, match=r"factor|FACTOR"):
        own_factor()


def test_outside_of_a_testbed_nothing_is_slowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert own_factor() == 1.0
