"""What one visitor's session holds besides the controls: nothing here is seen by another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import streamlit as st

from app.kinds import Value
from app.page.answer import Answer
from app.page.apart import Watch
from app.page.jobs import Job
from app.page.language_answer import LanguageAnswer
from planner.domain.language_model import LanguageModel
from planner.domain.model_profile import ModelProfile

Shown = Answer | LanguageAnswer
Score = Mapping[str, float]
"""What plans are compared in, by the goal that counts it."""

_KEY = "_store"
_MOST_UNDONE = 30  # good states that can be gone back to
Result = TypeVar("Result")


@dataclass(frozen=True)
class Moment:
    """A state that had a plan: enough to come back to it.

    Attributes
    ----------
    values : mapping
        Of every control.
    files : Files
        The visitor's own, as they were.
    score : Score
        Of its plan.
    asked : object
        Equal where the very same was asked.
    """

    values: Mapping[str, Value]
    files: Files
    score: Score
    asked: object


@dataclass(frozen=True)
class Pinned:
    """A state that others are compared with, and its answer."""

    moment: Moment
    answer: Shown


@dataclass(frozen=True, eq=False)
class File:
    """One that was uploaded; each upload has a token of its own."""

    name: str
    content: bytes
    token: str = ""


@dataclass(frozen=True, eq=False)
class Files:
    """What a visitor brought.

    Attributes
    ----------
    profile : ModelProfile, optional
        Of the model file, at the shapes that were asked for.
    accuracy : mapping of str to File
        Of the accuracy models, by kind.
    times : File, optional
        Measured times.
    language : LanguageModel, optional
        Of the model file, in place of a profile.
    """

    profile: ModelProfile | None = None
    accuracy: Mapping[str, File] = field(default_factory=dict)
    times: File | None = None
    language: LanguageModel | None = None


class Same:
    """A key that is equal where it was made of the very same objects, which it keeps alive."""

    def __init__(self, *objects: object) -> None:
        self._objects = objects

    def __eq__(self, other: object) -> bool:
        """Whether it holds the very same objects."""
        return (
            isinstance(other, Same)
            and len(self._objects) == len(other._objects)
            and all(a is b for a, b in zip(self._objects, other._objects, strict=True))
        )

    def __hash__(self) -> int:
        """By identity."""
        return hash(tuple(map(id, self._objects)))


@dataclass
class Store:
    """Of one session."""

    files: Files = field(default_factory=Files)
    past: list[Moment] = field(default_factory=list)
    shown: Shown | None = None  # the last that had a plan; those before are found again
    pinned: Pinned | None = None
    read: dict[str, tuple[object, object]] = field(default_factory=dict)
    jobs: dict[str, tuple[object, Job[Any]]] = field(default_factory=dict)

    @property
    def last(self) -> Moment | None:
        """The last state that had a plan."""
        return self.past[-1] if self.past else None

    @property
    def before(self) -> Moment | None:
        """The state before the last one in which something else was asked."""
        earlier = (moment for moment in reversed(self.past) if moment.asked != self.past[-1].asked)
        return next(earlier, None)

    def keep(self, moment: Moment, answer: Shown) -> None:
        """Remember a state that has a plan, and its answer."""
        self.shown = answer
        last = self.last
        if last is None or last.values != moment.values or last.files is not moment.files:
            self.past.append(moment)
            del self.past[:-_MOST_UNDONE]

    def once(self, name: str, key: object, make: Callable[[], Result]) -> Result:
        """What was made for a key; made again when the key is another."""
        known = self.read.get(name)
        if known is None or known[0] != key:
            known = (key, make())
            self.read[name] = known
        return known[1]  # type: ignore[return-value]

    def job(
        self,
        name: str,
        key: object,
        work: Callable[[Watch], Result],
        *,
        is_apart: bool = False,
        settle_s: float = 0.0,
    ) -> Job[Result]:
        """The job of a name; one for another key is told to stop, and the new one begun."""
        known = self.jobs.get(name)
        if known is not None and known[0] == key:
            return known[1]
        self.forget(name)
        job = Job(work, is_apart=is_apart, settle_s=settle_s)
        self.jobs[name] = (key, job)
        return job

    def is_busy(self, *names: str) -> bool:
        """Whether a job of such a name goes on."""
        known = (self.jobs[name][1] for name in names if name in self.jobs)
        return any(not (job.is_done or job.is_stopped) for job in known)

    def forget(self, name: str) -> None:
        """Stop a job and forget it."""
        known = self.jobs.pop(name, None)
        if known is not None:
            known[1].stop()


def store() -> Store:
    """What this session holds."""
    found = st.session_state.get(_KEY)
    if found is None:
        found = st.session_state[_KEY] = Store()
    assert isinstance(found, Store)
    return found
