"""From times to the figures of a node: numbers in, numbers out, nothing runs here.

An operator takes max(MACs / C, bytes / M) + a time per operator, with C and M of its kind; that
rule is `planner.cost.work.work_s`, the one that plans are costed with, and it is called for every
guess.
Figures are fitted to the logarithms of the times, so that an operator of ten microseconds counts as
much as one of ten milliseconds, and with a loss that a few odd times cannot pull away.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.stats import t as student

from planner.cost import work
from planner.domain.cluster import BY_KIND, Figure, Node, OperatorKind
from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from planner.measure.parts import Residual, Sample, value_of

Floats = NDArray[np.float64]

INTERVAL = (0.05, 0.95)
"""Quantiles of the intervals: a figure lies in its own nine times of ten."""
RESAMPLINGS = 200
_SCALE = 0.15  # of log times: what lies farther off counts less and less
_LEAST_OVERHEAD_S = 1e-9
_SEED = 20250101
_LEAST_SHARE = 1e-4  # of a model's time; a time per operator below is none
_WIDEST_LOG = 20.0  # of an interval, upwards or downwards
_MAY_BE_COMMON = ("memory_bytes_per_s_by_kind.", "layer_overhead_s_by_kind.")
_HARDLY_WORSE = 1.03  # about what a figure more wins by chance, of some 150 times
_NO_MISS = 1e-9  # of times without noise
_SURE_FACTOR = 2.0  # of an interval, upwards: a memory bandwidth less certain than that is none


@dataclass(frozen=True)
class _Operator:
    """What `work_s` asks of a layer."""

    kind: OperatorKind
    measured_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """Operators with what they compute and touch.

    Attributes
    ----------
    layers : sequence
        L of them.
    macs, touched_bytes : float array, shape (L,)
    """

    layers: Sequence[LayerProfile]
    macs: Floats
    touched_bytes: Floats

    @classmethod
    def of_samples(cls, samples: Sequence[Sample]) -> Work:
        """The operators that were run."""
        operators = [_Operator(sample.kind) for sample in samples]
        return cls(
            cast(Sequence[LayerProfile], operators),
            np.array([sample.macs for sample in samples], dtype=float),
            np.array([sample.touched_bytes for sample in samples], dtype=float),
        )

    @classmethod
    def of_model(cls, profile: ModelProfile) -> Work:
        """All layers of a model on one node, by their counts alone."""
        layers = [layer.model_copy(update={"measured_s": {}}) for layer in profile.layers]
        macs, touched = (work.column(layers, name) for name in ("macs", "touched_bytes"))
        return cls(layers, macs.astype(float), touched.astype(float))

    def seconds(self, node: Node) -> Floats:
        """The time of every operator on a node, shape (L,)."""
        column = (slice(None), None)
        ones = np.ones((len(self.layers), 1))
        found = work.work_s(
            self.layers, (node,), self.macs[column], self.touched_bytes[column], ones
        )
        return found[:, 0]

    def drawn(self, index: NDArray[np.int64]) -> Work:
        """Some of them, one as often as its number is there."""
        return Work(
            [self.layers[row] for row in index], self.macs[index], self.touched_bytes[index]
        )


def predicted_s(profile: ModelProfile, node: Node) -> float:
    """The time of a whole model on one node, s."""
    return float(layers_predicted_s(profile, node).sum())


def layers_predicted_s(profile: ModelProfile, node: Node) -> Floats:
    """The time of every layer of a model on one node, s, shape (L,)."""
    return Work.of_model(profile).seconds(node)


@dataclass(frozen=True)
class Fitted:
    """A node's figures, where they come from, and how well they say the times.

    Attributes
    ----------
    node : Node
    figures : tuple of Figure
        By the node's fields: ``macs_per_s``, ``macs_per_s_by_kind.conv``.
    residuals : tuple of Residual
    """

    node: Node
    figures: tuple[Figure, ...]
    residuals: tuple[Residual, ...]


@dataclass(frozen=True)
class _Unknowns:
    """The figures to fit, as a vector of logarithms.

    Attributes
    ----------
    keys : tuple of str
        Figures by the node's fields.
    fixed : Node
        What the others are.
    """

    keys: tuple[str, ...]
    fixed: Node

    def node(self, logs: Floats) -> Node:
        values = dict(zip(self.keys, map(float, np.exp(np.clip(logs, -60, 60))), strict=True))
        by_kind = {field: dict(getattr(self.fixed, field)) for field in BY_KIND}
        update: dict[str, object] = {}
        for key, value in values.items():
            name, _, kind = key.partition(".")
            if kind:
                by_kind[name][kind] = value
            else:
                update[name] = value
        return self.fixed.model_copy(update={**update, **by_kind})

    @cached_property
    def is_rate(self) -> NDArray[np.bool_]:
        return np.array([not key.startswith("layer_overhead_s") for key in self.keys])

    def solve(
        self, logs: Floats, residuals: Callable[[Node], Floats], loss: Literal["linear", "soft_l1"]
    ) -> Any:
        """Least squares of residuals, from a start."""

        def missed(guess: Floats) -> Floats:
            return residuals(self.node(guess))

        return least_squares(
            missed,
            logs,
            loss=loss,
            f_scale=_SCALE,
            bounds=(-60.0, 60.0),
            max_nfev=60,
        )

    def fitted(self, logs: Floats, operators: Work, times: Floats) -> Any:
        """The figures that say the times of operators best."""
        return self.solve(logs, lambda node: _log_ratio(operators.seconds(node), times), "soft_l1")


def fit_samples(
    name: str,
    samples: Sequence[Sample],
    *,
    source: str,
    measured_at: str,
    pass_factors: Sequence[float] = (),
    resamplings: int = RESAMPLINGS,
) -> Fitted:
    """Fit a node's rates, memory bandwidths and times per operator to measured operators.

    A kind of operators has a memory bandwidth and a time per operator of its own where the times
    tell them: those that re-order what they read, or write into memory that was never touched, get
    through fewer bytes, and prepare longer.

    Intervals come from fitting again to operators drawn anew from those of each kind, with times
    drawn from between their repeats, widened by how much passes over all of them differed.

    Parameters
    ----------
    name : str
        The node's.
    samples : sequence of Sample
        Of several kinds; those without MACs tell the memory bandwidth.
    source, measured_at : str
        Of the figures: how, and when.
    pass_factors : sequence of float
        Of `planner.measure.running.operators.Times`.
    resamplings : int

    Raises
    ------
    BadInputError
        Too few operators of a kind to tell its rate from the time per operator, or none without
        MACs.
    """
    kinds = _kinds_to_fit(samples)
    seconds = np.array([sample.seconds for sample in samples])
    spread = np.array([np.log(sample.high_s / sample.low_s) / 1.35 for sample in samples])
    whole = Work.of_samples(samples)
    unknowns, best = _told(name, kinds, samples, whole, seconds)
    random = np.random.default_rng(_SEED)
    rows = np.array([sample.kind for sample in samples])
    drawn_logs = []
    for _ in range(resamplings):
        index = np.concatenate(
            [
                random.choice(np.flatnonzero(rows == kind), (rows == kind).sum())
                for kind in set(rows)
            ]
        )
        noisy = seconds * np.exp(random.normal(size=len(rows)) * spread)
        found = unknowns.fitted(best, whole.drawn(index), noisy[index])
        drawn_logs.append(found.x)
    drift = np.log(np.quantile(pass_factors, INTERVAL)) if len(pass_factors) else np.zeros(2)
    low, high = _interval(best, np.array(drawn_logs), drift, unknowns.is_rate)
    common = _common_rate(unknowns.node(best), whole, seconds)
    of_kind = [key.startswith("macs_per_s_by") for key in unknowns.keys]
    node = unknowns.node(best).model_copy(update={"macs_per_s": common})
    bounds = {"macs_per_s": (float(low[of_kind].min()), float(high[of_kind].max()))}
    bounds |= {key: (float(low[i]), float(high[i])) for i, key in enumerate(unknowns.keys)}
    figures = []
    for key, (least, most) in bounds.items():
        value = value_of(node, key)
        figures.append(
            Figure(
                key=key,
                origin="measured",
                source=source,
                low=min(value, math.exp(least)),
                high=max(value, math.exp(most)),
                measured_at=measured_at,
            )
        )
    return Fitted(node, tuple(figures), _residuals(node, samples, whole))


def _kinds_to_fit(samples: Sequence[Sample]) -> tuple[str, ...]:
    counts: dict[str, set[int]] = {}
    for sample in samples:
        if sample.macs:
            counts.setdefault(sample.kind, set()).add(sample.macs)
    if not counts:
        raise BadInputError("no operator with MACs was measured: no rate follows from the others")
    for kind, sizes in counts.items():
        if len(sizes) < 2:
            raise BadInputError(
                f"{kind}: operators of one size only; two unknowns, its rate and the time per "
                "operator, need two sizes or more"
            )
    if not any(sample.macs == 0 for sample in samples):
        raise BadInputError(
            "no operator without MACs was measured: the memory bandwidth follows from those"
        )
    return tuple(counts)


def _start(kinds: Sequence[str], samples: Sequence[Sample]) -> dict[str, float]:
    """First guesses of all figures.

    Rates of the better operators of each kind, half of that for its bytes, and half of the least
    time of any per operator.
    """

    def better(rates: list[float]) -> float:
        return float(np.quantile(rates, 0.75))

    memory = better([s.touched_bytes / s.seconds for s in samples if not s.macs])
    overhead_s = max(min(sample.seconds for sample in samples), _LEAST_OVERHEAD_S) / 2
    found = {
        f"macs_per_s_by_kind.{kind}": better(
            [s.macs / s.seconds for s in samples if s.kind == kind and s.macs]
        )
        for kind in kinds
    }
    found["memory_bytes_per_s"] = memory
    found |= {f"memory_bytes_per_s_by_kind.{kind}": memory / 2 for kind in kinds}
    found["layer_overhead_s"] = overhead_s
    # The first kind has that for all kinds, which times could not tell if every kind had its own.
    found |= {
        f"layer_overhead_s_by_kind.{kind}": overhead_s for kind in (*kinds[1:], "element-wise")
    }
    return found


def _told(
    name: str, kinds: Sequence[str], samples: Sequence[Sample], whole: Work, seconds: Floats
) -> tuple[_Unknowns, Floats]:
    """The figures that the times tell, and their logarithms.

    Kinds with MACs begin with a memory bandwidth and a time per operator of their own. What
    misses the times hardly more without one is better said by the figure for all kinds.
    """
    fixed = Node(name=name, macs_per_s=1.0, memory_bytes_per_s=1.0)
    start = _start(kinds, samples)
    unknowns = _Unknowns(tuple(start), fixed)
    best = unknowns.fitted(np.log([*start.values()]), whole, seconds)
    for key in [key for key in start if key.startswith(_MAY_BE_COMMON)]:
        fewer = _Unknowns(tuple(x for x in unknowns.keys if x != key), fixed)
        logs = np.array([x for x, own in zip(best.x, unknowns.keys, strict=True) if own != key])
        without = fewer.fitted(logs, whole, seconds)
        if without.cost <= best.cost * _HARDLY_WORSE + _NO_MISS:
            unknowns, best = fewer, without
    return unknowns, best.x


def _log_ratio(predicted: Floats, measured: Floats) -> Floats:
    """Logarithms of predicted over measured; no time at all counts as the least."""
    return cast(Floats, np.log(np.maximum(predicted, _LEAST_OVERHEAD_S) / measured))


def _interval(
    best: Floats, drawn: Floats, drift: Floats, is_rate: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Bounds of logarithms around the best ones; a slow machine lowers rates and raises times."""
    if len(drawn):
        low, high = np.quantile(drawn, INTERVAL, axis=0)
    else:
        low = high = best
    slower, faster = max(drift[1], 0.0), max(-drift[0], 0.0)
    below = np.hypot(np.maximum(best - low, 0.0), np.where(is_rate, slower, faster))
    above = np.hypot(np.maximum(high - best, 0.0), np.where(is_rate, faster, slower))
    return best - below, best + above


def _common_rate(node: Node, operators: Work, seconds: Floats) -> float:
    """One rate for all kinds that says the same times best, beside the other figures."""
    unknowns = _Unknowns(("macs_per_s",), node.model_copy(update={"macs_per_s_by_kind": {}}))
    works = np.flatnonzero(operators.macs > 0)
    some = operators.drawn(works)
    start = np.log([np.median(list(node.macs_per_s_by_kind.values()))])
    found = unknowns.solve(
        start, lambda guess: _log_ratio(some.seconds(guess), seconds[works]), "soft_l1"
    )
    return float(np.exp(found.x[0]))


def _residuals(node: Node, samples: Sequence[Sample], operators: Work) -> tuple[Residual, ...]:
    """How far the times are missed, by kind."""
    misses = np.abs(operators.seconds(node) / [sample.seconds for sample in samples] - 1)
    kinds = np.array([sample.kind for sample in samples])
    return tuple(
        Residual(
            kind=str(kind),
            samples=int((kinds == kind).sum()),
            median=float(np.median(misses[kinds == kind])),
            p90=float(np.quantile(misses[kinds == kind], 0.9)),
        )
        for kind in dict.fromkeys(kinds)
    )


def fit_models(
    name: str,
    times: Sequence[tuple[ModelProfile, float]],
    *,
    source: str,
    only_rate: bool = False,
) -> Fitted:
    """Fit C and the time per operator, and M where it shows, to times of whole models.

    Intervals are those of linearised least squares on log times where there are more models than
    unknowns. Where there are as many, the fit is exact and nothing is left to tell an error from:
    the figures have no interval then.

    Parameters
    ----------
    name : str
        The node's.
    times : sequence of (ModelProfile, float)
        Models with their seconds.
    source : str
        Of the figures.
    only_rate : bool
        Fit C alone, with no time per operator.

    Raises
    ------
    BadInputError
        Fewer models than unknowns, or models so alike that they cannot be told apart.
    """
    _check_models(times, only_rate)
    seconds = np.array([time for _, time in times])
    works = [Work.of_model(profile) for profile, _ in times]
    plain = Node(name=name, macs_per_s=1.0)
    operators = np.array([(one.macs > 0).sum() for one in works], dtype=float)
    macs = np.array([one.macs.sum() for one in works])
    rate = float(np.exp(np.median(np.log(macs / seconds))))
    start = {
        "macs_per_s": rate,
        "layer_overhead_s": max(float(np.min(seconds / operators)) / 4, _LEAST_OVERHEAD_S),
    }
    if only_rate:
        found = _solved(_Unknowns(("macs_per_s",), plain), start, works, seconds)
    else:
        two = _Unknowns(("macs_per_s", "layer_overhead_s"), plain)
        found = _solved(two, start, works, seconds)
        overhead_s = found.unknowns.node(found.logs).layer_overhead_s
        if overhead_s * operators.max() < _LEAST_SHARE * seconds.min():
            raise BadInputError(
                f"{name}: models of smaller layers are no slower per MAC, so that no time per "
                "operator follows; add times of other models, or fit C alone (--only-rate)"
            )
        if not found.certain:
            raise BadInputError(
                f"{len(times)} models cannot tell C from the time per operator: their MACs per "
                "operator are too alike; add a model of many small layers, or fit C alone "
                "(--only-rate)"
            )
        if len(times) > 2:
            found = _with_memory(found, plain, start, works, seconds)
    node = found.unknowns.node(found.logs)
    figures = tuple(found.figure(index, source) for index in range(len(found.logs)))
    misses = np.abs(np.exp(found.residuals) - 1)
    residual = Residual(
        kind="models",
        samples=len(times),
        median=float(np.median(misses)),
        p90=float(np.quantile(misses, 0.9)),
    )
    return Fitted(node, figures, (residual,))


def _check_models(times: Sequence[tuple[ModelProfile, float]], only_rate: bool) -> None:
    different = {profile.name for profile, _ in times}
    for profile, time in times:
        if not (np.isfinite(time) and time > 0):
            raise BadInputError(f"{profile.name}: found {time:g} seconds; give a number above 0")
        if not profile.totals.macs:
            raise BadInputError(f"{profile.name}: has no MACs, so its time tells no rate")
    least = 1 if only_rate else 2
    if len(different) < least:
        raise BadInputError(
            f"{len(different)} model{'s' * (len(different) != 1)}: two unknowns, C and the time "
            "per operator, need the times of two models or more; C alone can be had of one "
            "(--only-rate)"
            if not only_rate
            else "no times: give that of one model or more"
        )


@dataclass(frozen=True)
class _Solution:
    """Figures that whole models were fitted to, with the matrix that says how well."""

    unknowns: _Unknowns
    logs: Floats
    residuals: Floats
    jacobian: Floats

    @property
    def certain(self) -> bool:
        """Whether the times say every figure: no two of them can stand for one another."""
        singular = np.linalg.svd(self.jacobian, compute_uv=False)
        return bool(singular[-1] > 1e-2 * singular[0])

    @property
    def half_widths(self) -> Floats | None:
        """Of the intervals of the logarithms; None where nothing is left to tell them from."""
        freedom = len(self.residuals) - len(self.logs)
        if freedom < 1:
            return None
        variance = float((self.residuals**2).sum() / freedom)
        covariance = variance * np.linalg.pinv(self.jacobian.T @ self.jacobian)
        quantile = float(student.ppf(INTERVAL[1], freedom))
        half: Floats = quantile * np.sqrt(np.diag(covariance))
        return half

    def figure(self, index: int, source: str) -> Figure:
        """One of the figures, with its interval if there is one."""
        key, widths = self.unknowns.keys[index], self.half_widths
        value = value_of(self.unknowns.node(self.logs), key)
        width = None if widths is None else min(float(widths[index]), _WIDEST_LOG)
        return Figure(
            key=key,
            origin="derived",
            source=source,
            low=None if width is None else value * math.exp(-width),
            high=None if width is None else value * math.exp(width),
        )


def _solved(
    unknowns: _Unknowns, start: Mapping[str, float], works: Sequence[Work], seconds: Floats
) -> _Solution:
    def residuals(node: Node) -> Floats:
        return _log_ratio(np.array([one.seconds(node).sum() for one in works]), seconds)

    logs = np.log([start[key] for key in unknowns.keys])
    found = unknowns.solve(logs, residuals, "linear")
    return _Solution(unknowns, found.x, found.fun, found.jac)


def _with_memory(
    two: _Solution,
    plain: Node,
    start: Mapping[str, float],
    works: Sequence[Work],
    seconds: Floats,
) -> _Solution:
    """The fit with M besides, where the times say it; else the one without."""
    three = _Unknowns((*two.unknowns.keys, "memory_bytes_per_s"), plain)
    touched = np.array([one.touched_bytes.sum() for one in works])
    begin = {**start, "memory_bytes_per_s": float(np.max(touched / seconds)) * 2}
    found = _solved(three, begin, works, seconds)
    better = (found.residuals**2).sum() < 0.5 * (two.residuals**2).sum()
    widths = found.half_widths
    sure = widths is None or bool(widths[-1] < math.log(_SURE_FACTOR))
    return found if better and found.certain and sure else two
