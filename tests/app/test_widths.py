"""Bits per weight and per element of messages, on the command line and on the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.page.address import defaults
from app.page.answer import Answer, catalogue_profile
from app.page.asking import question_of
from app.page.command import plan_command
from planner.domain.model_profile import ModelProfile
from profiles.files import read_document
from tests.app.command import planner

MODEL = "resnet50-eighth"


def test_a_profile_of_narrow_weights_is_saved_and_planned(tmp_path: Path) -> None:
    path = tmp_path / "narrow.json"
    done = planner("profile", MODEL, "--weight-bits", "4.5", "-o", str(path))
    assert done.code == 0, done.err
    assert "with 4.5-bit weights" in done.out
    saved = read_document(path, ModelProfile, what="profile")
    assert saved == read_document(saved.model_dump_json().encode(), ModelProfile, what="profile")
    assert saved.weight_bits == 4.5
    options = ("--cluster", "small-nodes", "--max-nodes", "2", "--format", "json")
    from_file, at_once, wide = (
        planner("plan", *source, *options)
        for source in ((str(path),), (MODEL, "--weight-bits", "4.5"), (MODEL,))
    )
    assert from_file.code == at_once.code == wide.code == 0, from_file.err
    plans = [json.loads(each.out) for each in (from_file, at_once, wide)]
    assert plans[0]["model"] == plans[1]["model"] != plans[2]["model"]
    memory = [max(plan["predicted"]["memory_bytes"].values()) for plan in plans]
    assert memory[0] == memory[1] < memory[2]


def test_narrow_messages_are_faster() -> None:
    options = ("plan", MODEL, "--nodes", "2", "--ways", "features", "--format", "json")
    usual, narrow = (planner(*options, *more) for more in ((), ("--message-bits", "8")))
    assert usual.code == narrow.code == 0, narrow.err
    before, after = (json.loads(each.out) for each in (usual, narrow))
    assert after["settings"]["message_bits"] == 8
    assert before["settings"]["message_bits"] is None
    assert after["predicted"]["comm_s"] < before["predicted"]["comm_s"]
    assert after["predicted"]["memory_bytes"] == before["predicted"]["memory_bytes"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("profile", MODEL, "--weight-bits", "0"), "weight bits: found 0.0; give a number above 0"),
        (("plan", MODEL, "--weight-bits", "65"), "weight bits: found 65.0; give a number above 0"),
        (("plan", MODEL, "--weight-bits", "nan"), "weight bits: found nan; give a number above 0"),
        (("plan", MODEL, "--weight-bits", "four"), "Invalid value for '--weight-bits'"),
        (
            ("plan", MODEL, "--message-bits", "0"),
            "message_bits: found 0.0; input should be greater",
        ),
        (("plan", MODEL, "--message-bits", "65"), "message_bits: found 65.0; input should be less"),
        (
            ("plan", MODEL, "--message-bits", "nan"),
            "--message-bits: found nan; give a finite number",
        ),
    ],
)
def test_other_widths_are_refused(words: tuple[str, ...], said: str) -> None:
    done = planner(*words)
    assert done.code != 0
    assert said in done.err
    assert done.err.count("\n") == 1


def test_the_page_says_both_and_shows_the_command_of_both() -> None:
    values = defaults({}) | {"message_bits": 8.0, "accuracy": "none", "model": MODEL}
    question = question_of(values)
    assert question.costs.message_bits == 8
    answer = Answer(catalogue_profile(MODEL, weight_bits=4.5), question)
    assert {"4.5-bit weights", "8-bit messages"} <= set(answer.settings)
    assert "--message-bits 8" in plan_command(answer, None)
    plain = Answer(catalogue_profile(MODEL), question_of(values | {"message_bits": None}))
    assert not any("bit" in words for words in plain.settings if "Mbit" not in words)
