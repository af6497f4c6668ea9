"""Work in threads and in processes of its own: progress, stopping, turns."""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from app.page import apart
from app.page.answer import Answer
from app.page.apart import Watch, WorkLostError
from app.page.asking import ask_on_page
from app.page.jobs import MOST_AT_ONCE, Job, StoppedError
from app.page.store import Same, Store
from planner.errors import BadInputError
from profiles.catalog import load_model
from tests.page import working
from tests.processor_time import HANG_S


def test_a_job_tells_its_steps_and_its_result() -> None:
    steps = threading.Event()

    def work(watch: Watch) -> int:
        watch(2, 5)
        assert steps.wait(HANG_S)
        return 7

    job = Job(work)
    assert not job.wait(0.05)
    steps.set()
    assert job.wait(HANG_S)
    assert (job.done, job.total, job.result()) == (2, 5, 7)


def test_a_job_says_why_it_has_no_result() -> None:
    def work(watch: Watch) -> int:
        raise BadInputError("no such thing")

    job = Job(work)
    assert job.wait(HANG_S)
    with pytest.raises(BadInputError, match="no such thing"):
        job.result()


def test_a_stopped_job_ends_at_its_next_step() -> None:
    going, stopped = threading.Event(), threading.Event()
    reached: list[str] = []

    def work(watch: Watch) -> None:
        going.set()
        assert stopped.wait(HANG_S)
        watch(1, 2)
        reached.append("behind the step")

    job = Job(work)
    assert going.wait(HANG_S)
    job.stop()
    stopped.set()
    assert job.wait(HANG_S)
    with pytest.raises(StoppedError):
        job.result()
    assert job.is_stopped and not reached


def test_few_jobs_work_at_once_and_a_waiting_one_can_be_stopped() -> None:
    go_on = threading.Event()
    running = threading.Semaphore(0)

    def work(watch: Watch) -> None:
        running.release()
        assert go_on.wait(HANG_S)

    jobs = [Job(work) for _ in range(MOST_AT_ONCE + 2)]
    for _ in range(MOST_AT_ONCE):
        assert running.acquire(timeout=HANG_S)
    assert not running.acquire(timeout=0.1)
    for job in jobs:
        job.stop()
    go_on.set()
    assert all(job.wait(HANG_S) for job in jobs)
    assert not running.acquire(timeout=0.1)  # those that waited never began


def test_a_store_keeps_one_job_for_a_key_and_stops_the_one_before() -> None:
    kept, first, second = Store(), object(), object()
    go_on = threading.Event()
    work = [lambda watch: go_on.wait(HANG_S), lambda watch: "second"]
    a = kept.job("name", Same(first), work[0])
    assert kept.job("name", Same(first), work[1]) is a
    b = kept.job("name", Same(second), work[1])
    assert a.is_stopped and b is not a
    go_on.set()
    assert b.wait(HANG_S) and b.result() == "second"
    kept.forget("name")
    assert b.is_stopped and not kept.jobs


def test_same_compares_by_identity() -> None:
    a, b = [1], [1]
    assert Same(a) == Same(a) and hash(Same(a)) == hash(Same(a))
    assert Same(a) != Same(b) and Same(a) != Same(a, a) and Same(a) != a


def test_work_apart_tells_its_steps_and_its_result() -> None:
    job = Job(partial(working.count_up, 5), is_apart=True)
    assert job.result() != os.getpid()
    assert (job.done, job.total) == (4, 5)


def test_what_work_apart_raises_is_raised_here() -> None:
    with pytest.raises(BadInputError, match="no such thing"):
        Job(working.refuse, is_apart=True).result()
    with pytest.raises(ZeroDivisionError, match="a defect") as caught:
        Job(working.break_down, is_apart=True).result()
    assert "break_down" in caught.value.__notes__[0]
    with pytest.raises(WorkLostError, match="too little memory"):
        Job(working.vanish, is_apart=True).result()
    assert Job(partial(working.count_up, 1), is_apart=True).result()  # the next one is not harmed


def test_work_apart_is_ended_at_once_though_it_hears_nothing(tmp_path: Path) -> None:
    said = tmp_path / "pid"
    job = Job(partial(working.linger, said), is_apart=True)
    assert until(lambda: said.exists() and said.read_text())
    job.stop()
    assert job.wait(HANG_S)
    with pytest.raises(StoppedError):
        job.result()
    assert until(lambda: not Path("/proc", said.read_text()).exists())


def until(true) -> bool:
    deadline = time.monotonic() + HANG_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return True


def test_a_process_that_forks_others_is_replaced_when_it_is_gone() -> None:
    assert Job(partial(working.count_up, 1), is_apart=True).result()
    (forker,) = apart._forkers
    forker._process.kill()
    forker._process.wait()
    assert Job(partial(working.count_up, 1), is_apart=True).result()


def test_an_answer_apart_is_the_answer_here() -> None:
    question = ask_on_page("small-nodes", 2, time_limit_s=HANG_S)
    here = Answer(load_model("resnet50-eighth"), question)
    there = Job(Answer(here.profile, question).find_plan, is_apart=True).result()
    assert there.stages == here.plan.stages and there.predicted == here.plan.predicted
