"""The answer that the planner gives to the page's question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import InitVar, dataclass, field, replace
from functools import cached_property, lru_cache

from app.export import plan_json
from app.next_steps import catalogue_links
from app.page.asking import LONG_TIME_LIMIT_S
from app.page.worked_out import WorkedOut
from app.question import Question, request_to_trade, with_usual_loss_limit
from app.settings import say_settings
from app.tables import plan_table, to_csv
from planner.case import Case
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Binding, NextSteps, Plan
from planner.domain.request import Request
from planner.quantise import with_weight_bits
from planner.reshape import at_input_shapes
from planner.strategies.compare import Comparison, compare
from planner.strategies.optimise import optimise
from planner.strategies.timeline import NodeTime, node_times
from planner.strategies.what_if.binding import what_binds
from planner.strategies.what_if.frontier import ParetoFrontier, Trade, frontier
from planner.strategies.what_if.needed import Needed, Resource, needed
from planner.strategies.what_if.next_steps import next_steps
from planner.strategies.what_if.quantities import Quantity, Value
from planner.strategies.what_if.sweep import Sweep, sweep
from planner.strategies.what_if.swings import Swings, swings
from profiles.accuracy import Accuracy, find_accuracy
from profiles.catalog import load_model
from profiles.files import document_text

_MANY_LAYERS = 600
"""Beyond, a plan takes many seconds, and gigabytes that are gone with the process."""

Shapes = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, eq=False)
class Answer(WorkedOut):
    """One model and one question; each part is worked out when it is first shown.

    ``own_accuracy`` is that of a file of the user's. ``before`` is another answer about the same
    profile, of which is taken over what does not change. Every part raises a
    `planner.errors.PlannerError` where the question has no answer.
    """

    profile: ModelProfile
    question: Question
    own_accuracy: Accuracy | None = None
    before: InitVar[Answer | None] = None
    _compared: dict[int, Comparison] = field(default_factory=dict, init=False, repr=False)
    _known: list[Answer] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self, before: Answer | None) -> None:
        """Keep the answer before only until it has been of use."""
        if before is not None and before.profile is self.profile and "case" in vars(before):
            self._known.append(before)

    def __reduce__(self) -> tuple[object, ...]:
        """What is asked, and the plan; of what was worked out the costs of a case are large."""
        found = {"plan": self.plan} if self.is_planned else {}
        return Answer, (self.profile, self.question, self.own_accuracy), found

    @property
    def is_large(self) -> bool:
        """Whether planning takes so long that a process of its own does it."""
        return len(self.profile.layers) > _MANY_LAYERS

    @property
    def told_plan(self) -> Plan:
        """The plan with what else was found of it so far."""
        known: dict[str, object] = {
            name: part for name, part in vars(self).items() if name in ("next_steps", "binding")
        }
        return self.plan.model_copy(update=known)

    @property
    def goal(self) -> str:
        """What the best plan has the least or the most of."""
        return self.plan.objective

    @property
    def score(self) -> dict[str, float]:
        """What plans are compared in, by goal."""
        predicted = self.plan.predicted
        return {"latency": predicted.latency_s, "throughput": predicted.throughput_per_s}

    @property
    def about(self) -> tuple[object, ...]:
        """The objects that it is about, beside the question."""
        return self.profile, self.own_accuracy

    def find_plan(self, watch: Callable[[int, int], None]) -> Plan:
        """`plan`, as a job finds it."""
        watch(0, 0)
        return self.plan

    @cached_property
    def case(self) -> Case:
        """The model on the tuned cluster."""
        case = self.question.case(self.profile, self.accuracy)
        while self._known:
            case.take_over(self._known.pop().case)
        return case

    @cached_property
    def accuracy(self) -> Accuracy:
        """The accuracy model, if any."""
        if self.own_accuracy is not None:
            return self.own_accuracy
        asked = self.question.accuracy_model
        for known in self._known:
            if known.question.accuracy_model == asked and known.own_accuracy is None:
                return known.accuracy
        return find_accuracy(asked, self.profile)

    @cached_property
    def request(self) -> Request:
        """What ``planner plan`` would ask."""
        return self.question.request

    @cached_property
    def long_request(self) -> Request:
        """The same for what shows its progress and can be stopped."""
        return replace(self.request, time_limit_s=LONG_TIME_LIMIT_S)

    @cached_property
    def plan(self) -> Plan:
        """The best plan, as ``planner plan`` finds it."""
        return optimise(self.case, self.request)

    @property
    def planned(self) -> Case:
        """The case as its plan shares out layers."""
        return self.case.sharing(self.plan.settings.shares)

    @cached_property
    def node_times(self) -> tuple[NodeTime, ...]:
        """Where the time of every node that works goes."""
        return node_times(self.case, self.plan)

    def find_next_steps(self, watch: Callable[[int, int], None]) -> NextSteps:
        """What to change first, as ``planner plan`` says it."""
        return next_steps(
            self.case, self.long_request, lambda: watch(0, 0), links=catalogue_links()
        )

    def find_swings(self, watch: Callable[[int, int], None] | None = None) -> Swings:
        """What half and twice of each quantity does."""
        return swings(self.case, self.long_request, watch)

    @cached_property
    def binding(self) -> tuple[Binding, ...]:
        """What binds, as ``planner plan --what-binds`` says it."""
        return what_binds(self.case, self.long_request)

    def find_binding(self, watch: Callable[[int, int], None]) -> tuple[Binding, ...]:
        """`binding`, as a job finds it."""
        if "binding" not in vars(self):
            watch(0, 0)
        return self.binding

    def comparisons(
        self, counts: tuple[int, ...], watch: Callable[[int, int], None] | None = None
    ) -> dict[int, Comparison]:
        """Every strategy on so many nodes, as ``planner compare --nodes`` shows them.

        Parameters
        ----------
        counts : tuple of int
        watch : callable, optional
            Told before each how many are done, and of how many. What it raises ends the work.
        """
        for done, nodes in enumerate(counts):
            if watch:
                watch(done, len(counts))
            if nodes not in self._compared:
                self._compared[nodes] = self._on(nodes)._comparison()
        return {nodes: self._compared[nodes] for nodes in counts}

    def _on(self, nodes: int) -> Answer:
        """The same question for another number of nodes."""
        if nodes == self.question.request.max_nodes:
            return self
        return Answer(self.profile, self.question.on_nodes(nodes), self.own_accuracy, self)

    def _comparison(self) -> Comparison:
        request = with_usual_loss_limit(self.case, self.long_request)
        return compare(self.case, request, (self.request.max_nodes,))

    def traded(self, trade: Trade) -> Answer:
        """The same question without limits on what is traded, nor an objective of its own."""
        free = {
            "accuracy": {"max_accuracy_drop": None, "max_energy_loss": None},
            "throughput": {"min_throughput_per_s": None},
        }[trade]
        asked = self.question.request
        limits = asked.limits.model_copy(update=free)
        sparsity = asked.max_sparsity if trade == "throughput" else None
        request = replace(asked, objective="latency", limits=limits, max_sparsity=sparsity)
        question = replace(self.question, request=request)
        return Answer(self.profile, question, self.own_accuracy, self)

    def frontier(
        self, trade: Trade, points: int, watch: Callable[[int, int], None] | None = None
    ) -> ParetoFrontier:
        """What an accuracy drop or a latency buys, as ``planner pareto`` traces it."""
        request = request_to_trade(self.case, self.question.request, trade)
        asked = replace(request, time_limit_s=LONG_TIME_LIMIT_S, exactly=False)
        return frontier(self.case, asked, trade, points, watch)

    def sweep(
        self,
        over: Quantity,
        values: tuple[Value, ...],
        watch: Callable[[int, int], None] | None = None,
    ) -> Sweep:
        """The best plan at every value, as ``planner sweep`` finds it."""
        return sweep(self.case, self.long_request, over, values, watch)

    def needed(
        self, of: Resource, target_s: float, watch: Callable[[int, int], None] | None = None
    ) -> Needed:
        """As ``planner needs`` finds it; the target takes the place of a limit on the latency."""
        limits = self.request.limits.model_copy(update={"max_latency_s": None})
        request = replace(self.long_request, limits=limits, objective="latency", exactly=False)
        return needed(self.case, request, of, target_s, watch=watch)

    def files(self) -> dict[str, Callable[[], str]]:
        """What makes the texts of the plan's own downloads, by name."""
        return {
            "plan.json": lambda: plan_json(self.plan),
            "layers.csv": lambda: to_csv(plan_table(self.plan)),
            "profile.json": lambda: document_text(self.profile),
            "cluster.json": lambda: document_text(self.case.cluster),
        }

    @property
    def title(self) -> str:
        """The model and the cluster."""
        return f"{self.profile.name} on {self.question.base_cluster.name}"

    @cached_property
    def settings(self) -> tuple[str, ...]:
        """Every setting that this answer belongs to, in words."""
        return say_settings(self.case, self.request)

    @property
    def settings_sentence(self) -> str:
        """All settings in one line."""
        return " · ".join(self.settings)


@lru_cache(maxsize=8)
def catalogue_answer(
    model: str,
    question: Question,
    shapes: Shapes = (),
    batch: int | None = None,
    weight_bits: float | None = None,
) -> Answer:
    """The answer about a catalogue model, shared by all who ask the same.

    Raises
    ------
    BadInputError
        A shape that the model cannot have.
    """
    profile = catalogue_profile(model, shapes, batch, weight_bits)
    of = model, shapes, batch, weight_bits
    answer = Answer(profile, question, before=_latest.get(of))
    _latest[of] = answer
    while len(_latest) > _MOST_LATEST:
        _latest.pop(next(iter(_latest)), None)
    return answer


_MOST_LATEST = 4
_latest: dict[tuple[str, Shapes, int | None, float | None], Answer] = {}
"""The last answer about each catalogue model: much of it holds for the next one."""


@lru_cache(maxsize=16)
def catalogue_profile(
    model: str,
    shapes: Shapes = (),
    batch: int | None = None,
    weight_bits: float | None = None,
) -> ModelProfile:
    """A catalogue model at the shapes of its inputs and the width of weights that are asked for."""
    found = at_input_shapes(load_model(model), dict(shapes) or None, batch)
    return with_weight_bits(found, weight_bits)
