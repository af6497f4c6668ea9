"""What the page's controls ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.page import parameters as page
from app.page.parameter_kinds import Value
from app.page.quantities import BANDWIDTH, COMPUTE, MEMORY, Quantity
from planner.domain.cluster import Casting, Cluster, Medium, tuned_cluster
from planner.domain.settings import Objective, Parallelism
from profiles.catalog import load_cluster

_SAME = 1e-9  # relative: what a round trip through a unit may change


@dataclass(frozen=True)
class Question:
    """Plain values, one per control; ``None`` leaves what the cluster or the model has.

    Attributes
    ----------
    cluster : str or Cluster
        A catalogue name, or the user's own.
    nodes : int
        How many may work; ``exactly`` makes that many work.
    accuracy_model : str, optional
        As `app.inputs.find_accuracy` takes it.
    """

    cluster: str | Cluster
    nodes: int
    exactly: bool = False
    bandwidth_bytes_per_s: float | None = None
    macs_per_s: float | None = None
    memory_bytes: int | None = None
    medium: Medium | None = None
    casting: Casting | None = None
    overlap: bool = False
    share_inputs: bool = False
    count_input: bool = False
    count_output: bool = False
    parallelism: Parallelism = "hybrid"
    objective: Objective = "latency"
    accuracy_model: str | None = None
    max_accuracy_drop: float | None = None
    max_energy_loss: float | None = None
    max_latency_s: float | None = None
    min_throughput_per_s: float | None = None

    @property
    def base_cluster(self) -> Cluster:
        """The cluster before it is tuned."""
        return load_cluster(self.cluster) if isinstance(self.cluster, str) else self.cluster

    @property
    def tuned_cluster(self) -> Cluster:
        """The cluster with the figures that were typed.

        Of like nodes it holds as many as may work; of others any may.
        """
        cluster = self.base_cluster
        fills = is_uniform(cluster) or self.nodes > len(cluster.nodes)
        return tuned_cluster(
            cluster,
            bandwidth_bytes_per_s=self.bandwidth_bytes_per_s,
            macs_per_s=self.macs_per_s,
            memory_bytes=self.memory_bytes,
            nodes=self.nodes if fills else None,
        )

    @property
    def cluster_name(self) -> str:
        """What the cluster is called."""
        return self.base_cluster.name


def is_uniform(cluster: Cluster) -> bool:
    """Whether all nodes are alike but for their names, and all links."""
    kinds = {node.model_copy(update={"name": "-"}) for node in cluster.nodes}
    return len(kinds) == 1 and not cluster.pair_links


def ask(values: Mapping[str, Value], kind: str | None = None) -> Question:
    """The question of the controls' values.

    Parameters
    ----------
    values : mapping
        One per `app.page.parameters.PARAMETERS`.
    kind : str, optional
        Of an accuracy model that a file of the user's holds: ``csv:NAME`` or ``energy:NAME``.
    """
    cluster = page.chosen_cluster(values)
    chosen = str(values["accuracy"])
    curve = f"curve:{chosen}/{values['rule']}"
    known = chosen != page.NO_MODEL and (kind or chosen not in (page.CSV_FILE, page.ENERGY_FILE))
    is_energy = chosen == page.ENERGY_FILE
    alike = len({node.macs_per_s for node in cluster.nodes}) == 1
    typed: dict[str, float | None] = {key: _number(values[key]) for key in _NUMBERS}
    latency_ms = typed["max_latency"]
    return Question(
        cluster=str(values["cluster"]) if values["cluster"] != page.OWN_CLUSTER else cluster,
        nodes=int(typed["nodes"] or 1),
        exactly=values["node_choice"] == "exactly",
        bandwidth_bytes_per_s=_tuned(values, BANDWIDTH, cluster.link.bandwidth_bytes_per_s),
        macs_per_s=_tuned(values, COMPUTE, cluster.nodes[0].macs_per_s) if alike else None,
        memory_bytes=_memory_bytes(typed["memory"], cluster),
        medium=_changed(values["medium"], cluster.medium),  # type: ignore[arg-type]
        casting=_changed(values["casting"], cluster.casting),  # type: ignore[arg-type]
        overlap=bool(values["overlap"]),
        share_inputs=bool(values["share_inputs"]),
        count_input=bool(values["count_input"]),
        count_output=bool(values["count_output"]),
        parallelism=values["parallelism"],  # type: ignore[arg-type]
        objective=values["objective"],  # type: ignore[arg-type]
        accuracy_model=(kind or curve) if known else page.NO_MODEL,
        max_accuracy_drop=typed["limit"] if known and not is_energy else None,
        max_energy_loss=typed["energy_limit"] if known and is_energy else None,
        max_latency_s=None if latency_ms is None else latency_ms / 1e3,
        min_throughput_per_s=typed["min_throughput"],
    )


_NUMBERS = ("nodes", "memory", "limit", "energy_limit", "max_latency", "min_throughput")


def _number(value: Value) -> float | None:
    return None if value is None else float(value)


def _changed(value: Value, usual: str) -> str | None:
    return None if value == usual else str(value)


def _tuned(values: Mapping[str, Value], quantity: Quantity, preset: float) -> float | None:
    """The SI value that was typed, or None where it is still the preset's."""
    value = quantity.to_si(_number(values[quantity.key]) or 0.0, str(values[quantity.unit_key]))
    return None if abs(value - preset) <= _SAME * preset else value


def _memory_bytes(typed: float | None, cluster: Cluster) -> int | None:
    if typed is None:
        return None
    found = round(MEMORY.to_si(typed, MEMORY.units[0]))
    return None if found == cluster.nodes[0].memory_bytes else found
