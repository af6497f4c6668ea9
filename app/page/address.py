"""The address: every control's value as a parameter of a link, and back.

A parameter is the key of a control (`app.settings`, docs/page.md); what is at its default is left
out. Defaults follow from the model, the cluster and the units that are chosen.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

from app.kinds import Number, OneOf, Text, Value
from app.page.source_text import sources_of
from app.setting import Setting
from app.settings import (
    CATALOGUE,
    CSV_FILE,
    ENERGY_FILE,
    FILE,
    MOST_NODES,
    NO_MODEL,
    OWN_CLUSTER,
    PAGE,
    SETTINGS,
)
from planner.domain.cluster import Cluster
from planner.errors import BadInputError
from profiles.catalog import curve_for_model, load_cluster
from profiles.files import one_line, read_document

DEFAULT_NODES = 4
LONGEST_HARDWARE = 6000  # characters of a cluster in a link
_TOLD = 3  # problems of a link that are told in full


@dataclass(frozen=True)
class Link:
    """What a link asks for: a value for every control, and what was refused, in one line each."""

    values: dict[str, Value]
    problems: tuple[str, ...]

    @property
    def message(self) -> str:
        """What was refused, in one line; empty when nothing was."""
        if not self.problems:
            return ""
        more = len(self.problems) - _TOLD
        told = "; ".join(self.problems[:_TOLD]) + (f"; and {more} more" if more > 0 else "")
        return f"The link was not understood everywhere, so defaults stand there: {told}"


@lru_cache(maxsize=64)
def own_cluster(text: str) -> Cluster:
    """The cluster of a JSON text, as ``--cluster FILE`` reads it."""
    return read_document(text.encode(), Cluster, what="hardware")


def unit_key(setting: Setting) -> str:
    """The control that chooses a setting's unit."""
    return f"{setting.key}_unit"


def _units(settings: tuple[Setting, ...]) -> tuple[Setting, ...]:
    return tuple(
        Setting(unit_key(x), OneOf(x.kind.units), x.kind.units[0], label=f"Unit of {x.label}")
        for x in settings
        if x.label and isinstance(x.kind, Number) and len(x.kind.units) > 1
    )


CONTROLS: dict[str, Setting] = {
    x.key: x
    for x in (
        *PAGE,
        Setting("hardware", Text(own_cluster, LONGEST_HARDWARE), "", label="Hardware"),
        *_units(SETTINGS),
        *SETTINGS,
        Setting("sources", Text(sources_of, 2000), "", label="Sources"),
    )
    if x.label
}
"""Every control of the page by its key, which is its parameter of the address."""

_FIRST = ("source", "model", "cluster", "hardware", *(unit_key(x) for x in SETTINGS))
"""The defaults of the others follow from these."""


def defaults(values: Mapping[str, Value]) -> dict[str, Value]:
    """What every control is where neither a user nor a link says anything.

    Parameters
    ----------
    values : mapping
        Of the source, the model, the cluster and the units; those that are missing have defaults
        as well.
    """
    found = {key: x.start for key, x in CONTROLS.items()}
    found.update({key: values[key] for key in _FIRST if key in found and key in values})
    cluster = chosen_cluster(found)
    for key, x in CONTROLS.items():
        if x.preset:
            found[key] = x.kind.to_control(x.preset(cluster), str(found.get(unit_key(x), "")))
    most = MOST_NODES if found["cluster"] == OWN_CLUSTER else DEFAULT_NODES
    found["nodes"] = min(most, len(cluster.nodes))
    found["accuracy"] = own_curve(found) or NO_MODEL
    return found


def chosen_cluster(values: Mapping[str, Value]) -> Cluster:
    """The preset, or the user's own cluster, before bandwidth, speed and memory are tuned."""
    name, text = str(values["cluster"]), str(values["hardware"])
    return own_cluster(text) if name == OWN_CLUSTER and text else load_cluster(name)


def own_curve(values: Mapping[str, Value]) -> str | None:
    """The curve published for the chosen catalogue model; an upload's name proves nothing."""
    if values["source"] != CATALOGUE:
        return None
    curve = curve_for_model(str(values["model"]))
    return curve.name if curve else None


def read_link(query: Mapping[str, str], brought: Collection[str] = ()) -> Link:
    """Every control's value for a link's parameters; what is refused stays at its default.

    Parameters
    ----------
    query : mapping of str to str
        Hostile.
    brought : collection of str
        Files that come with it: ``file`` (the model) and kinds of accuracy models. A mere link
        brings none.
    """
    problems: list[str] = []
    problems += [f"{one_line(key[:40])!r} is no control" for key in query if key not in CONTROLS]
    first = _read({key for key in CONTROLS if key in _FIRST}, query, problems)
    if first.get("cluster") == OWN_CLUSTER and not first.get("hardware"):
        problems.append("cluster: the link holds no hardware of its own")
        del first["cluster"]
    if first.get("source") == FILE and FILE not in brought:
        problems.append("source: the model was a file of somebody's own; give it again")
        del first["source"]
    values = defaults(first)
    values.update(_read({key for key in CONTROLS if key not in _FIRST}, query, problems))
    if values["accuracy"] in {CSV_FILE, ENERGY_FILE}.difference(brought):
        problems.append("accuracy: it was a file of somebody's own; give it again")
        values["accuracy"] = own_curve(values) or NO_MODEL
    return Link(values, tuple(problems))


def _read(keys: Collection[str], query: Mapping[str, str], problems: list[str]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for key in CONTROLS:
        text = query.get(key)
        if text is None or key not in keys:
            continue
        kind = CONTROLS[key].kind
        try:
            if len(text) > kind.longest:
                raise BadInputError(f"{key}: {len(text):,} characters; at most {kind.longest:,}")
            found[key] = kind.read(key, text)
        except BadInputError as error:
            problems.append(one_line(str(error)))
    return found


def write_link(values: Mapping[str, Value]) -> dict[str, str]:
    """The parameters of a link that asks for these values; what is at its default is left out."""
    first = defaults({})
    usual = defaults(values) | {key: first[key] for key in _FIRST if key in first}
    query = {
        key: _text(values[key]) for key in CONTROLS if key in values and values[key] != usual[key]
    }
    if query.get("cluster") != OWN_CLUSTER:
        query.pop("hardware", None)
    elif "hardware" in query:
        bare = own_cluster(query["hardware"]).model_copy(update={"figures": (), "description": ""})
        query["hardware"] = bare.model_dump_json(exclude_defaults=True)
    return query


def _text(value: Value) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        short = f"{value:.12g}"
        return short if float(short) == value else repr(value)
    return str(value)
