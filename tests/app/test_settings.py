"""A new setting is one row beside its field in the core: every face of the planner has it then."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from app.kinds import Kind
from app.page.address import CONTROLS, defaults
from app.page.asking import question_of
from app.setting import Setting
from app.settings import SETTINGS, asked_of, taken_by
from app.workload_settings import WORKLOAD

REPO = Path(__file__).parents[2]

ADDED = """
import planner.domain.settings as core

class CostSettings(core.CostSettings):
    eager_sending: bool = False  # the field: in planner/domain/settings.py

core.CostSettings = CostSettings

import app.settings as table
from app.kinds import Flag

table.SETTINGS += (  # the row: in app/settings.py
    table.Setting(
        "eager_sending",
        Flag(),
        option="Send as soon as there is something.",
        panel=table.COST,
        label="Send eagerly",
        section="conventions",
        words="sent eagerly",
    ),
)

import shlex
from app.page.address import defaults, read_link, write_link
from app.page.answer import Answer
from app.page.asking import question_of
from app.page.command import other_commands, plan_command
from profiles.catalog import load_model
from tests.app.command import planner
from tests.page.driving import good, opened, texts

for name in ("plan", "compare", "pareto", "sweep", "needs"):
    help_text = planner(name, "--help").out
    costs, _, _ = help_text.partition("Cost conventions")[2].partition("╰")
    assert "--eager-sending" in costs and "Send as soon as there is something." in costs, name

values = defaults({}) | {"eager_sending": True, "model": "resnet50-eighth", "accuracy": "none"}
assert write_link(values)["eager_sending"] == "1"
assert read_link(write_link(values)).values == values
assert read_link({"eager_sending": "2"}).problems == ("eager_sending: found '2'; give 0 or 1",)

question = question_of(values)
assert question.costs.eager_sending and question != question_of(values | {"eager_sending": False})
answer = Answer(load_model("resnet50-eighth"), question)
assert answer.case.settings.eager_sending and "sent eagerly" in answer.settings
command = plan_command(answer, "resnet50-eighth")
assert command.endswith("--eager-sending")
assert all("--eager-sending" in line for line in other_commands(answer, None).values())
done = planner(*shlex.split(command)[1:])
assert done.code == 0, done.err

page = opened(model="resnet50-eighth", nodes="2", accuracy="none")
assert "sent eagerly" not in texts(page)
good(page.toggle(key="eager_sending").set_value(True).run())
assert "sent eagerly" in texts(page) and page.query_params["eager_sending"] == "1"
"""


def test_one_row_more_reaches_every_face_of_the_planner() -> None:
    done = subprocess.run([sys.executable, "-c", ADDED], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("setting", [x for x in SETTINGS if x.label], ids=lambda x: x.field)
def test_a_control_that_nobody_touched_asks_for_what_is_usual(setting: Setting) -> None:
    usual = defaults({})
    question = question_of(usual, is_language=setting in WORKLOAD)
    assert CONTROLS[setting.key] is setting
    if setting.preset:
        assert question.value(setting.field) is None
    else:
        value = setting.kind.to_core(usual[setting.key])
        assert question.value(setting.field) == (
            None if setting.field == "max_energy_loss" else value
        )


def test_every_row_has_a_name_of_its_own() -> None:
    for names in (
        [x.field for x in SETTINGS],
        [x.flag for x in SETTINGS if x.option],
        [x.key for x in SETTINGS if x.label],
    ):
        assert len(set(names)) == len(names)
    assert all(isinstance(x.kind, Kind) for x in SETTINGS)


def test_what_a_language_model_is_asked_is_asked_of_no_other() -> None:
    usual = defaults({}) | {"prompt": 7, "goal": "token", "ways": "features", "limit": 1.0}
    other, language = question_of(usual), question_of(usual, is_language=True)
    assert other.asked == () and other.request.ways == ("features",)
    assert (language.workload.prompt, language.workload.goal) == (7, "token")
    assert language.request.ways == question_of(defaults({})).request.ways
    assert not set(WORKLOAD).intersection(asked_of(False))
    assert set(WORKLOAD) <= set(taken_by("fits")) <= set(asked_of(True))
