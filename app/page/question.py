"""What the page's controls ask, and the answer that the planner gives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

from app.export import plan_json
from app.inputs import Accuracy, build_study, default_limits, find_accuracy, tuned_cluster
from app.tables import comparison_table, plan_table, to_csv
from planner.domain.cluster import Casting, Medium
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Plan
from planner.domain.settings import CostSettings, Limits, Objective
from planner.strategies.compare import Comparison, compare
from planner.strategies.optimise import Request, optimise
from planner.strategies.study import Study
from planner.units import format_bytes, format_si
from profiles.catalog import load_cluster, load_model
from profiles.files import document_text

UNIFORM_LEVELS = (0.8, 0.9)
"""S_comm of the uniform rows and views; DISCO's own operating points."""

TIME_LIMIT_S = 3.0
"""For each problem behind the page: what is not proven by then is shown with its gap."""


@dataclass(frozen=True)
class Question:
    """Plain values, one per control; ``None`` leaves what the cluster or the model has.

    Attributes
    ----------
    cluster : str
        A catalogue name.
    nodes : int
        How many there are; ``exactly`` makes every one of them work.
    accuracy_model : str, optional
        As `app.inputs.find_accuracy` takes it.
    """

    cluster: str
    nodes: int
    exactly: bool = False
    bandwidth_bytes_per_s: float | None = None
    macs_per_s: float | None = None
    memory_bytes: int | None = None
    medium: Medium | None = None
    casting: Casting | None = None
    overlap: bool = False
    objective: Objective = "latency"
    accuracy_model: str | None = None
    max_accuracy_drop: float | None = None


@dataclass(frozen=True)
class Answer:
    """One model and one question; each part is worked out when it is first shown.

    Every part raises a `planner.errors.PlannerError` where the question has no answer.
    """

    profile: ModelProfile
    question: Question

    @cached_property
    def study(self) -> Study:
        """The model on the tuned cluster."""
        asked = self.question
        cluster = tuned_cluster(
            load_cluster(asked.cluster),
            bandwidth_bytes_per_s=asked.bandwidth_bytes_per_s,
            macs_per_s=asked.macs_per_s,
            memory_bytes=asked.memory_bytes,
            nodes=asked.nodes,
        )
        settings = CostSettings(overlap=asked.overlap, casting=asked.casting, medium=asked.medium)
        return build_study(self.profile, cluster, settings, self.accuracy)

    @cached_property
    def accuracy(self) -> Accuracy:
        """The accuracy model, if any."""
        return find_accuracy(self.question.accuracy_model, self.profile)

    @cached_property
    def limits(self) -> Limits:
        """The accuracy limit, with the command line's default."""
        asked = Limits(max_accuracy_drop=self.question.max_accuracy_drop)
        return default_limits(asked, self.accuracy)

    @cached_property
    def plan(self) -> Plan:
        """The best plan, as ``planner plan`` finds it."""
        asked = self.question
        request = Request(
            max_nodes=asked.nodes,
            objective=asked.objective,
            limits=self.limits,
            exactly=asked.exactly,
            time_limit_s=TIME_LIMIT_S,
        )
        return optimise(self.study, request)

    @cached_property
    def comparison(self) -> Comparison:
        """Every strategy on all nodes, as ``planner compare`` shows them."""
        asked = self.question
        return compare(
            self.study,
            (asked.nodes,),
            UNIFORM_LEVELS,
            asked.objective,
            self.limits,
            TIME_LIMIT_S,
        )

    @cached_property
    def files(self) -> dict[str, str]:
        """Texts of the plan's own downloads, by name."""
        return {
            "plan.json": plan_json(self.plan),
            "layers.csv": to_csv(plan_table(self.plan)),
            "profile.json": document_text(self.profile),
        }

    @cached_property
    def comparison_file(self) -> str:
        """The comparison's download."""
        return to_csv(comparison_table(self.comparison))

    @property
    def title(self) -> str:
        """The model and the cluster."""
        return f"{self.profile.name} on {self.question.cluster}"

    @cached_property
    def settings_sentence(self) -> str:
        """Every setting that this answer belongs to, in one line."""
        asked, cluster = self.question, self.study.cluster
        node, settings = cluster.nodes[0], self.study.settings
        medium = (settings.medium or cluster.medium).replace("_", " ")
        memory = "no memory limit"
        if node.memory_bytes is not None:
            memory = f"{format_bytes(node.memory_bytes)} a node"
        limit = self.limits.max_accuracy_drop
        return " · ".join(
            (
                f"{'exactly' if asked.exactly else 'up to'} {count(asked.nodes, 'node')}",
                f"B {format_si(cluster.link.bandwidth_bytes_per_s, 'B/s', 4)}",
                f"C {format_si(node.macs_per_s, 'MAC/s', 4)}",
                memory,
                f"{medium}, {settings.casting or cluster.casting}",
                "overlap" if settings.overlap else "no overlap",
                "least latency" if asked.objective == "latency" else "most throughput",
                "no accuracy model" if limit is None else f"at most {limit:g} points lost",
            )
        )


@lru_cache(maxsize=8)
def catalogue_answer(model: str, question: Question) -> Answer:
    """The answer about a catalogue model, shared by all who ask the same."""
    return Answer(load_model(model), question)


def count(number: int, noun: str) -> str:
    """A number with its noun: ``1 node``, ``4 nodes``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
