"""The multiple-choice search on bare arrays: against every combination, HiGHS, and itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import NamedTuple

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, milp

from planner.solve.deadline import Deadline
from planner.solve.options import core_search, multiple_choice
from planner.solve.options.multiple_choice import MemoryRow, Pick, SumRow, choose
from planner.solve.options.state_lists import CellIndex
from tests.planner.oracle import SparsityCase, sparsity_case

pytestmark = pytest.mark.thorough  # `make quick` does without

KINDS = {
    "no limit": partial(sparsity_case, sums=0),
    "a sum": partial(sparsity_case, sums=1),
    "three sums": partial(sparsity_case, sums=3),
    "a memory": partial(sparsity_case, nodes=1),
    "three memories": partial(sparsity_case, nodes=3),
    "sums and memories": partial(sparsity_case, sums=2, nodes=2),
    "equal layers": partial(sparsity_case, sums=1, nodes=1, alike=True),
    "equal layers, memories": partial(sparsity_case, nodes=3, alike=True),
    "bottleneck of two": partial(sparsity_case, resources=2, sums=1, alike=True),
    "bottleneck of three": partial(sparsity_case, resources=3, sums=2, nodes=2),
}
CASES = 300  # of each kind
LARGER = 12  # of each kind, with a hundred thousand combinations
SCALES = (1e-9, 1e-6, 1.0, 1e3)  # seconds of a tick


class Arrays(NamedTuple):
    """What `choose` takes."""

    costs: np.ndarray
    allowed: np.ndarray
    sums: list[SumRow]
    memories: list[MemoryRow]

    def fits(self, choice: np.ndarray) -> bool:
        """Whether a choice keeps every limit, sums within 1e-9 of it."""
        at = np.arange(len(choice))
        return (
            bool(self.allowed[at, choice].all())
            and all(v[at, choice].sum() <= most + 1e-9 * abs(most) for v, most in self.sums)
            and all(
                w[at, choice].sum() + a[at, choice].max() <= most for w, a, most in self.memories
            )
        )

    def value(self, choice: np.ndarray) -> float:
        """The largest of the sums of costs."""
        return float(self.costs[:, np.arange(len(choice)), choice].sum(axis=1).max())


def arrays(case: SparsityCase) -> Arrays:
    """A case in seconds and bytes."""
    return Arrays(
        np.array(case.objective) * case.tick,
        np.array(case.allowed),
        [(np.array(values) * case.tick, limit * case.tick) for values, limit in case.sums],
        [(np.array(weights), np.array(live), limit) for weights, live, limit in case.memory],
    )


def drawn(kind: str, seed: int) -> SparsityCase:
    """A case at any scale; in one of eight a sum's limit is zero and has choices that keep it."""
    random = Random(f"{kind} {seed}")
    case = replace(KINDS[kind](random), tick=random.choice(SCALES))
    if case.sums and random.random() < 0.125:
        values = [[value * random.randint(0, 1) for value in row] for row in case.sums[0][0]]
        case = replace(case, sums=[(values, 0), *case.sums[1:]])
    return case


def larger(kind: str, seed: int) -> tuple[SparsityCase, int | None]:
    """Ten layers of two to four options, and the best of all combinations in exact integers."""
    random = np.random.default_rng([seed, *kind.encode()])
    like = KINDS[kind].keywords
    few = like.get("alike", False)
    options = int(random.integers(2, 5))
    layers = 10 if options < 4 else 8
    kinds = random.integers(0, 2, layers) if few else np.arange(layers)

    def rows(top: int) -> np.ndarray:
        return random.integers(0, top + 1, (layers, options))[kinds]

    allowed = (random.random((layers, options)) < 0.9)[kinds]
    allowed[:, 0] = True
    ranges = [np.flatnonzero(row) for row in allowed]

    def every(table: np.ndarray, join: np.ufunc) -> np.ndarray:
        """What each combination of allowed options adds up to, or its largest."""
        found = np.zeros(1, dtype=np.int64)
        for row, mine in zip(table, ranges, strict=True):
            found = join.outer(found, row[mine]).ravel()
        return found

    top = 10 if few else 10**6
    costs = [rows(top) for _ in range(like.get("resources", 1))]
    objective = np.max([every(table, np.add) for table in costs], axis=0)
    fits = np.ones(len(objective), dtype=np.bool_)
    sums, memory = [], []

    def limit_of(taken: np.ndarray) -> int:
        """What some choice just takes, or just not, or little more than the least."""
        low, some = int(taken.min()), int(random.choice(taken))
        limit = int(random.choice([some, some - 1, low + (some - low) // 3]))
        np.logical_and(fits, taken <= limit, out=fits)
        return limit

    for _ in range(like.get("sums", 0)):
        values = rows(top)
        sums.append((values.tolist(), limit_of(every(values, np.add))))
    for _ in range(like.get("nodes", 0)):
        weights, live = rows(2 * 10**9), rows(2 * 10**9)
        limit = limit_of(every(weights, np.add) + every(live, np.maximum))
        memory.append((weights.tolist(), live.tolist(), limit))
    tick = float(random.choice(SCALES))
    tables = [table.tolist() for table in costs]
    case = SparsityCase(tick, tables, allowed.tolist(), sums, memory)
    return case, int(objective[fits].min()) if fits.any() else None


def check(case: SparsityCase, found: Pick, best: int | None) -> None:
    assert found.closed
    if best is None:
        assert found.choice is None
        assert found.objective == found.bound == np.inf
        return
    assert found.choice is not None
    choice = tuple(found.choice.tolist())
    assert all(row[k] for row, k in zip(case.allowed, choice, strict=True))
    assert case.fits(choice)
    assert case.value(choice) == best
    assert found.objective == pytest.approx(best * case.tick, rel=1e-9, abs=0)
    assert found.bound <= found.objective
    assert found.bound >= found.objective * (1 - 1e-9)
    assert len(found.multipliers) == len(case.sums) + len(case.memory)
    assert (found.multipliers >= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_optimum_is_that_of_all_combinations(kind: str) -> None:
    statuses = {True: 0, False: 0}
    for seed in range(CASES):
        case = drawn(kind, seed)
        best = case.best()
        statuses[best is None] += 1
        check(case, choose(*arrays(case)), best)
    assert statuses[False] > CASES // 10
    assert statuses[True] > 3 or kind == "no limit"


@pytest.mark.parametrize("kind", KINDS)
def test_the_optimum_is_that_of_a_hundred_thousand_combinations(kind: str) -> None:
    feasible = 0
    for seed in range(LARGER):
        case, best = larger(kind, seed)
        feasible += best is not None
        check(case, choose(*arrays(case)), best)
    assert feasible > LARGER // 6


@pytest.mark.parametrize("kind", KINDS)
def test_short_lists_divide_boxes_and_stay_exact(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists that are cut, boxes that are halved and pairs in many chunks, as in large problems."""
    for module, name, value in (
        (multiple_choice, "_FIRST", 4),
        (multiple_choice, "_FIRST_COUNTED", 2),
        (multiple_choice, "_WIDTH", 4),
        (multiple_choice, "_WIDEST", 12),
        (core_search, "_PAIRS", 3),
        (core_search, "_MOST_PAIRS", 20),
    ):
        monkeypatch.setattr(module, name, value)
    closed, count = 0, LARGER // 2
    for seed in range(count):
        case, best = larger(kind, seed)
        found = choose(*arrays(case))
        closed += found.closed
        if found.closed:
            check(case, found, best)
            continue
        assert best is None or found.bound <= best * case.tick * (1 + 1e-9)
        if found.choice is not None:
            choice = tuple(found.choice.tolist())
            assert best is not None and case.fits(choice) and case.value(choice) >= best
    assert closed > count // 2


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_costs_less_than_the_cutoff_is_found(kind: str) -> None:
    for seed in range(CASES // 10):
        case = drawn(kind, seed)
        best = case.best()
        if not best:
            continue
        optimum_s = best * case.tick
        found = choose(*arrays(case), cutoff=optimum_s)
        assert found.closed and found.choice is None and found.objective == np.inf
        assert found.bound == optimum_s
        check(case, choose(*arrays(case), cutoff=optimum_s * (1 + 1e-7)), best)


@pytest.mark.parametrize("kind", KINDS)
def test_multipliers_of_another_problem_change_nothing(kind: str) -> None:
    random = np.random.default_rng(1)
    for seed in range(CASES // 10):
        case = drawn(kind, seed)
        best = case.best()
        rows = len(case.sums) + len(case.memory)
        own = choose(*arrays(case)).multipliers
        for near in (own, own * random.uniform(0, 3, rows), random.lognormal(0, 9, rows)):
            check(case, choose(*arrays(case), near=near), best)


def medium(seed: int, layers: int = 20, options: int = 8, resources: int = 1) -> Arrays:
    """Dearer options lose less accuracy and need more memory; both limits bind."""
    random = np.random.default_rng(seed)
    level = np.sort(random.uniform(0, 1, (layers, options)), axis=1)
    size = random.lognormal(0, 1, (layers, 1))
    costs = random.lognormal(0, 0.3, (resources, layers, 1)) * size * (1.2 - level) * 1e-3
    loss = random.lognormal(0, 0.6, (layers, 1)) * level ** random.uniform(1.5, 4, (layers, 1))
    weights = np.rint(random.lognormal(13, 1, (layers, 1)) * (1.5 - level)).astype(np.int64)
    live = np.rint(random.lognormal(14, 0.5, (layers, 1)) * (1.3 - level)).astype(np.int64)
    least, most = weights.min(axis=1).sum(), weights.max(axis=1).sum()
    return Arrays(
        costs,
        random.uniform(size=(layers, options)) < 0.9,
        [(loss, float(loss.max(axis=1).sum() * 0.4))],
        [(weights, live, int(least + 0.4 * (most - least) + live.max() * 0.9))],
    )


def with_limits(problem: Arrays, factor: float) -> Arrays:
    return problem._replace(
        sums=[(values, limit * factor) for values, limit in problem.sums],
        memories=[(w, live, int(limit * factor)) for w, live, limit in problem.memories],
    )


def by_highs(problem: Arrays) -> float:
    """The optimum of the plain integer program, where layers of equal rows are counted.

    Variables: how many layers of each kind take each option, whether any does, a peak for each
    memory, and the largest of the sums.
    """
    columns = [*problem.costs, problem.allowed, *(values for values, _ in problem.sums)]
    columns += [table for memory in problem.memories for table in memory[:2]]
    _, first, kind = np.unique(
        np.concatenate(columns, axis=1), axis=0, return_index=True, return_inverse=True
    )
    counts = np.bincount(kind)
    options = problem.allowed.shape[1]
    pairs, peaks = len(first) * options, len(problem.memories)
    most = np.repeat(counts, options) * problem.allowed[first].ravel()
    rows: list[tuple[np.ndarray, float, float]] = []

    def add(least: float, limit: float, **parts: np.ndarray) -> None:
        """A row of parts by their variables; all others do not count."""
        sizes = {"taken": pairs, "used": pairs, "peaks": peaks, "largest": 1}
        row = [parts.get(name, np.zeros(size)) for name, size in sizes.items()]
        rows.append((np.concatenate(row), least, limit))

    one, each = np.ones(1), np.eye(pairs)
    unit = problem.costs.max() * len(problem.allowed)
    for costs in problem.costs:
        add(-np.inf, 0.0, taken=costs[first].ravel() / unit, largest=-one)
    for index, count in enumerate(counts):
        add(count, count, taken=np.repeat(np.arange(len(first)) == index, options).astype(float))
    for values, limit in problem.sums:
        add(-np.inf, 1.0, taken=values[first].ravel() / limit)
    for pair in range(pairs):
        add(-np.inf, 0.0, taken=each[pair], used=-each[pair] * most[pair])
    for peak, (weights, live, limit) in zip(np.eye(peaks), problem.memories, strict=True):
        add(-np.inf, 1.0, taken=weights[first].ravel() / limit, peaks=peak)
        for pair, needed in enumerate(live[first].ravel() / limit):
            add(-np.inf, 0.0, used=each[pair] * needed, peaks=-peak)
    matrix, low, high = zip(*rows, strict=True)
    whole = np.concatenate([np.ones(2 * pairs), np.zeros(peaks + 1)])
    upper = np.concatenate([most, np.ones(pairs), np.full(peaks + 1, np.inf)])
    found = milp(
        np.append(np.zeros(2 * pairs + peaks), 1e6),  # its absolute gap is 1e-6
        constraints=LinearConstraint(np.array(matrix), low, high),
        integrality=whole,
        bounds=(0, upper),
        options={"mip_rel_gap": 0.0},
    )
    assert found.status == 0
    taken = np.rint(found.x[:pairs]).astype(int).reshape(len(first), options)
    choice = np.empty(len(problem.allowed), dtype=np.int64)
    for index, times in enumerate(taken):
        choice[kind == index] = np.repeat(np.arange(options), times)
    assert problem.fits(choice)
    return problem.value(choice)


@pytest.mark.parametrize("resources", [1, 2])
def test_the_optimum_is_that_of_the_integer_program(resources: int) -> None:
    for seed in range(8):
        problem = medium(seed, resources=resources)
        found = choose(*problem)
        assert found.closed
        assert found.objective == pytest.approx(by_highs(problem), rel=1e-9)


def test_a_larger_limit_is_never_worse() -> None:
    for seed in range(10):
        now = np.inf
        for factor in (0.95, 1.0, 1.02, 1.2, 2.0):
            found = choose(*with_limits(medium(seed), factor))
            assert found.closed and found.objective <= now * (1 + 1e-9)
            now = found.objective
        assert np.isfinite(now)


@pytest.mark.parametrize("factor", [1e-6, 2.0, 1e5])
def test_times_scaled_by_a_factor_scale_the_optimum(factor: float) -> None:
    for seed in range(10):
        problem = medium(seed, resources=1 + seed % 2)
        one = choose(*problem)
        other = choose(*problem._replace(costs=problem.costs * factor))
        assert one.closed and other.closed
        assert other.objective == pytest.approx(one.objective * factor, rel=1e-9)


def test_layers_can_be_renamed() -> None:
    random = np.random.default_rng(0)
    for seed in range(10):
        problem = medium(seed)
        order = random.permutation(len(problem.allowed))
        renamed = Arrays(
            problem.costs[:, order],
            problem.allowed[order],
            [(loss[order], limit) for loss, limit in problem.sums],
            [(weights[order], live[order], limit) for weights, live, limit in problem.memories],
        )
        found = choose(*renamed)
        assert found.closed
        assert found.objective == pytest.approx(choose(*problem).objective, rel=1e-9)


def check_given_up(problem: Arrays, found: Pick, best: Pick) -> None:
    """What is said without a proof holds: the bound, the choice and its objective."""
    assert best.closed
    assert found.bound <= best.objective * (1 + 1e-9)
    assert found.objective >= best.objective * (1 - 1e-9)
    if found.choice is not None:
        assert problem.fits(found.choice) and problem.value(found.choice) == found.objective
    if found.closed:
        assert found.objective == pytest.approx(best.objective, rel=1e-9)


@pytest.mark.parametrize("effort", [0, 10, 100, 1_000, 10_000])
def test_a_search_that_gives_up_still_bounds_the_optimum(effort: int) -> None:
    given_up = 0
    for seed in range(15):
        problem = medium(seed, layers=30, resources=1 + seed % 2)
        found = choose(*problem, effort=effort)
        given_up += not found.closed
        check_given_up(problem, found, choose(*problem))
    assert given_up > 0 or effort == 10_000


def test_a_moment_that_is_over_stops_the_search() -> None:
    problem = medium(3, layers=40)
    found = choose(*problem, deadline=Deadline(0.0))
    assert not found.closed and found.bound < np.inf
    assert found.bound <= choose(*problem).objective


@dataclass(frozen=True)
class Looks(Deadline):
    """A deadline that passes after so many looks at it, whatever the machine."""

    most: int = 0
    looks: list[bool] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        self.looks.append(len(self.looks) >= self.most)
        return self.looks[-1]


@pytest.mark.parametrize("resources", [1, 2])
def test_a_search_can_be_stopped_at_every_moment(resources: int) -> None:
    problem = medium(3, layers=60, resources=resources)
    best = choose(*problem)
    never = Looks(most=10**9)
    assert choose(*problem, deadline=never).objective == best.objective
    whole = len(never.looks)
    assert whole > 50
    open_ends = 0
    for most in range(whole):
        deadline = Looks(most=most)
        found = choose(*problem, deadline=deadline)
        check_given_up(problem, found, best)
        open_ends += not found.closed
        # what is begun is ended with a few states only: at most a look for each class's moves
        assert sum(deadline.looks) <= 8 * len(problem.allowed)
    assert open_ends > whole // 2


def stages(count: int, layers: int, options: int) -> Arrays:
    """A bottleneck of many stages that share one budget: a large basis."""
    random = np.random.default_rng(0)
    level = np.sort(random.uniform(0, 1, (layers, options)), axis=1)
    costs = np.zeros((count, layers, options))
    seconds = random.lognormal(0, 1, (layers, 1)) * (1.2 - level)
    for stage, mine in enumerate(np.array_split(np.arange(layers), count)):
        costs[stage, mine] = seconds[mine]
    loss = random.lognormal(0, 1, (layers, 1)) * level**2
    limit = float(loss.max(axis=1).sum() * 0.4)
    return Arrays(costs, np.ones((layers, options), dtype=np.bool_), [(loss, limit)], [])


@pytest.mark.parametrize("count", [4, 16, 40])
def test_a_search_that_gives_up_has_a_choice_that_fits(count: int) -> None:
    problem = stages(count, 6 * count, 12)
    for effort in (10_000, 100_000):
        found = choose(*problem, effort=effort)
        assert not found.closed and found.choice is not None
        assert problem.fits(found.choice) and problem.value(found.choice) == found.objective
        assert found.bound < found.objective


def test_pivots_of_a_large_basis_count_as_effort() -> None:
    layers, options, effort = 400, 40, 1_000
    deadline = Looks(most=10**9)
    choose(*stages(40, layers, options), effort=effort, deadline=deadline)
    pivot = (41**2 + 42 * layers * options) // 1_000
    assert len(deadline.looks) < 2 * effort / pivot + 2 * layers + 10


def equal_layers(kinds: int, layers: int = 200) -> Arrays:
    """Layers of a few kinds, and limits that a random choice just keeps."""
    base = medium(7, layers=kinds, options=12)
    at, rows = np.arange(layers), np.arange(layers) % kinds
    ((loss, _),), ((stored, at_once, _),) = base.sums, base.memories
    values, weights, live, allowed = (a[rows] for a in (loss, stored, at_once, base.allowed))
    random = np.random.default_rng(kinds)
    choice = np.array([random.choice(np.flatnonzero(row)) for row in allowed])
    need = int(weights[at, choice].sum() + live[at, choice].max())
    limit = float(values[at, choice].sum())
    return Arrays(base.costs[:, rows], allowed, [(values, limit)], [(weights, live, need)])


@pytest.mark.parametrize("kinds", [1, 2, 3, 12])
def test_many_equal_layers_are_counted(kinds: int) -> None:
    problem = equal_layers(kinds)
    found = choose(*problem)
    assert found.closed and found.choice is not None
    assert problem.fits(found.choice)
    assert found.objective == pytest.approx(by_highs(problem), rel=1e-9)
    dearest = np.where(problem.allowed, problem.costs[0], -1.0).argmax(axis=1)
    for start in (found.choice, dearest):
        again = choose(*problem, known=start)
        assert again.closed and again.objective == pytest.approx(found.objective, rel=1e-9)


def test_a_known_choice_is_beaten_or_kept_and_one_that_does_not_fit_is_ignored() -> None:
    for seed in range(8):
        problem = medium(seed)
        best = choose(*problem)
        assert best.choice is not None
        kept = choose(*problem, known=best.choice)
        assert kept.closed and kept.objective == best.objective
        for known in (best.choice * 0, np.full_like(best.choice, 7)):
            found = choose(*problem, known=known)
            assert found.closed and found.objective == pytest.approx(best.objective, rel=1e-9)


def from_the_last(problems: list[Arrays]) -> list[Pick]:
    """Similar problems in a row, such as one at many bandwidths, each from the one before."""
    found: list[Pick] = []
    for problem in problems:
        last = found[-1] if found else None
        near, known = (last.multipliers, last.choice) if last else (None, None)
        found.append(choose(*problem, near=near, known=known))
    return found


def test_similar_problems_in_a_row_give_what_each_gives_alone() -> None:
    base, moving = medium(4), medium(5).costs
    factors = np.geomspace(0.1, 10.0, 25)
    problems = [base._replace(costs=base.costs + moving / factor) for factor in factors]
    for problem, found in zip(problems, from_the_last(problems), strict=True):
        assert found.closed and found.choice is not None
        assert problem.fits(found.choice)
        assert found.objective == pytest.approx(choose(*problem).objective, rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_other_costs_and_limits_in_a_row(kind: str) -> None:
    for seed in range(6):
        base = arrays(drawn(kind, seed))
        random = np.random.default_rng(seed)
        several = [base.costs * random.integers(1, 9, base.allowed.shape) for _ in range(4)]
        problems = [base._replace(costs=costs) for costs in several]
        if base.sums:
            looser = [(values, 2 * limit) for values, limit in base.sums]
            problems[2:2] = [problems[1]._replace(sums=looser)]
        for problem, found in zip(problems, from_the_last(problems), strict=True):
            alone = choose(*problem)
            assert found.closed and alone.closed
            assert found.objective == pytest.approx(alone.objective, rel=1e-9, abs=0)


def test_problems_that_nothing_fits_in_a_row() -> None:
    base = medium(4)
    ((loss, limit),) = base.sums
    problems = [base._replace(sums=[(loss, most)]) for most in (limit, 0.0, limit * 1.1)]
    found = from_the_last(problems)
    assert all(pick.closed for pick in found)
    assert [pick.choice is None for pick in found] == [False, True, False]


def test_bytes_beyond_what_floats_tell_apart() -> None:
    size = 2**60 + 1
    weights = np.array([[size, 0], [size, 1]])
    arrays = (np.array([[1.0, 2.0], [1.0, 2.0]]), np.ones((2, 2), dtype=np.bool_))
    live = np.zeros((2, 2), dtype=np.int64)
    for limit, value in ((2 * size, 2.0), (2 * size - 1, 3.0), (size, 3.0), (size - 1, 4.0)):
        found = choose(*arrays, memories=[(weights, live, limit)])
        assert not found.closed or found.objective == value
        assert found.choice is not None and found.objective >= value
        assert found.bound <= value


def test_a_layer_without_an_option_has_no_choice() -> None:
    found = choose(np.ones((2, 2)), np.array([[True, True], [False, False]]))
    assert found.closed and found.choice is None and found.bound == np.inf


@pytest.mark.parametrize("count", [1, 7, 400])
@pytest.mark.parametrize("strips", [None, 0.05, 3.0])
def test_no_state_inside_both_windows_is_missed(count: int, strips: float | None) -> None:
    random = np.random.default_rng(count)
    fine, coarse = np.round(random.normal(size=(2, count)), 1)  # with ties, also at the ends
    index = CellIndex(fine, None if strips is None else coarse, strips or 0.0)
    ends = np.concatenate([fine, np.round(random.normal(size=60) * 3, 1)])
    low = np.where(random.random(len(ends)) < 0.2, -np.inf, ends - random.random(len(ends)))
    beside = random.choice(coarse, len(ends))
    windows = None if strips is None else (beside - strips * random.random(len(ends)), beside)
    start, counts = index.ranges((low, ends), windows)
    for query in range(len(ends)):
        found = index.members(start[:, query], counts[:, query]).tolist()
        inside = (low[query] <= fine) & (fine <= ends[query])
        if windows is not None:
            inside &= (windows[0][query] <= coarse) & (coarse <= windows[1][query])
        assert len(set(found)) == len(found)
        assert set(np.flatnonzero(inside).tolist()) <= set(found)
