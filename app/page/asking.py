"""What the page's controls ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.kinds import Value
from app.page.address import chosen_cluster, unit_key
from app.question import Question, ask
from app.setting import Setting
from app.settings import CSV_FILE, ENERGY_FILE, EXACTLY, NO_MODEL, OWN_CLUSTER, asked_of
from planner.domain.cluster import Cluster

TIME_LIMIT_S = 3.0
"""For a plan, which every change asks for, unless the server was told otherwise: what is not proven
by then is shown with its gap."""

LONG_TIME_LIMIT_S = 60.0
"""For what shows its progress and can be stopped."""

_SAME = 1e-9  # relative: what a round trip through a unit may change

_served = {"time_limit_s": TIME_LIMIT_S}


def set_time_limit(seconds: float) -> None:
    """Let every plan of this server's pages take so long."""
    _served["time_limit_s"] = seconds


def ask_on_page(cluster: str | Cluster, nodes: int, **given: Any) -> Question:
    """A question of the page, on so many nodes, copies of the cluster's last one among them."""
    question = ask(cluster, max_nodes=nodes, **(_served | given))
    return question.on_nodes(nodes)


def question_of(
    values: Mapping[str, Value], kind: str | None = None, *, is_language: bool = False
) -> Question:
    """The question of the controls' values.

    Parameters
    ----------
    values : mapping
        One per control (`app.page.address.CONTROLS`).
    kind : str, optional
        Of an accuracy model that a file of the user's holds: ``csv:NAME`` or ``energy:NAME``.
    is_language : bool
        About a prompt and its answer, not about one forward pass.
    """
    cluster = chosen_cluster(values)
    given = {x.field: _given(x, values, cluster) for x in asked_of(is_language) if x.label}
    given |= dict.fromkeys(unlike(cluster))  # there is no control then
    base = cluster if values["cluster"] == OWN_CLUSTER else str(values["cluster"])
    nodes, exactly = given.pop("max_nodes"), values["node_choice"] == EXACTLY
    if is_language:
        return ask_on_page(base, nodes, exactly=exactly, **given)
    chosen = str(values["accuracy"])
    is_known = chosen != NO_MODEL and (kind or chosen not in (CSV_FILE, ENERGY_FILE))
    if not is_known or chosen == ENERGY_FILE:
        given["max_accuracy_drop"] = None
    if not is_known or chosen != ENERGY_FILE:
        given["max_energy_loss"] = None
    return ask_on_page(
        base,
        nodes,
        exactly=exactly,
        accuracy_model=(kind or f"curve:{chosen}/{values['rule']}") if is_known else NO_MODEL,
        **given,
    )


def unlike(cluster: Cluster) -> tuple[str, ...]:
    """The fields of nodes that the side bar does not show, since one number would hide others."""
    fields = ("macs_per_s", "memory_bytes")
    return tuple(x for x in fields if len({getattr(node, x) for node in cluster.nodes}) > 1)


def _given(setting: Setting, values: Mapping[str, Value], cluster: Cluster) -> Any:
    """A control's value in the core; None where it is still the cluster's own."""
    found = setting.kind.to_core(values[setting.key], str(values.get(unit_key(setting), "")))
    if setting.preset is None or found is None:
        return found
    own = setting.preset(cluster)
    if isinstance(found, float) and abs(found - own) <= _SAME * own:
        return None
    return None if found == own else found
