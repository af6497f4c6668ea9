"""What the commands have in common: what they write and say."""

from __future__ import annotations

from pathlib import Path

from app.inputs import accuracy_note
from app.render import say
from app.words import NO_ACCURACY_MODEL
from planner.case import Case
from profiles.files import write_atomically


def on_cluster(case: Case) -> str:
    """The model and the cluster, in words."""
    return f"{case.profile.name} on {case.cluster.name}"


def say_accuracy(case: Case) -> None:
    """Say on stderr what is to be known about the accuracy model."""
    if note := accuracy_note(case):
        say(f"note: {note}")
    if case.loss_model is None:
        say(f"note: {NO_ACCURACY_MODEL}")


def write_file(path: Path | None, text: str) -> None:
    """Write a file that was asked for, and say so."""
    if path:
        write_atomically(path, text)
        say(f"wrote {path}")
