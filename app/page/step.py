"""A next step, taken: the controls say what it changes."""

from __future__ import annotations

from app.kinds import Value
from app.next_steps import cluster_of
from app.page import state
from app.page.address import CONTROLS, unit_key
from app.page.answer import Answer
from app.page.hardware import edited_name
from planner.domain.plan import NextStep


def take_step(answer: Answer, step: NextStep) -> None:
    """Set the controls so that they ask what the step was tried with."""
    known = {setting.field for setting in CONTROLS.values()}
    if step.changes or not known.issuperset(step.settings):
        changed = cluster_of(answer.case, answer.request, step)
        state.use_cluster(changed.model_copy(update={"name": edited_name(changed.name)}))
    state.put(controls_of(step))


def controls_of(step: NextStep) -> dict[str, Value]:
    """The controls' values of a step's settings, in the units that are chosen."""
    units = state.values()
    found: dict[str, Value] = {}
    for key, setting in CONTROLS.items():
        if setting.field in step.settings:
            unit = str(units.get(unit_key(setting), ""))
            value = step.settings[setting.field]
            found[key] = setting.kind.to_control(value, unit)
    return found
