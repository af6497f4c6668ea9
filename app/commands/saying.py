"""What the commands have in common: what they write and say."""

from __future__ import annotations

from pathlib import Path

from app.asked import Asked
from app.render import say
from app.words import NO_ACCURACY_MODEL
from profiles.files import write_atomically


def on_cluster(asked: Asked) -> str:
    """The model and the cluster, in words."""
    return f"{asked.case.profile.name} on {asked.case.cluster.name}"


def say_accuracy(asked: Asked) -> None:
    """Say on stderr what is to be known about the accuracy model."""
    if asked.accuracy.note:
        say(f"note: {asked.accuracy.note}")
    if asked.accuracy.model is None:
        say(f"note: {NO_ACCURACY_MODEL}")


def write_file(path: Path | None, text: str) -> None:
    """Write a file that was asked for, and say so."""
    if path:
        write_atomically(path, text)
        say(f"wrote {path}")
