"""What the paper reports and we hope for, held against the seeds; every word is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from training_results import Difference, TaskResults
from training_rows import EQUAL_LATENCY, SPARSITIES

HIGH = tuple(sparsity for sparsity in SPARSITIES if sparsity >= 0.9)
BRANCHES = "independent-branches"


@dataclass(frozen=True)
class Pair:
    """Two rows, of which the first is claimed to be no worse."""

    words: str
    better: str
    worse: str


@dataclass(frozen=True)
class Claim:
    """Pairs of rows that make up one statement."""

    words: str
    pairs: tuple[Pair, ...]


def percent(share: float) -> str:
    """``0.9`` as ``90 %``."""
    return f"{100 * share:g} %"


def claims(results: TaskResults) -> tuple[Claim, ...]:
    """The paper's orderings, and ours on the per-layer plans."""
    ladder = ["dense", *(f"disco@{s:g}" for s in SPARSITIES), BRANCHES]
    splits = [*results.named("dense-then-split"), *results.named("split-then-aggregate")]
    return (
        Claim(
            "DISCO is no worse than random sub-rows at 90 % and above",
            tuple(Pair(percent(s), f"disco@{s:g}", f"random@{s:g}") for s in HIGH),
        ),
        Claim(
            "a hundredth of the features (99 %) is better than none (100 %)",
            (Pair("99 % and 100 %", "disco@0.99", BRANCHES),),
        ),
        Claim(
            "less sparsity is no worse",
            tuple(
                Pair(f"{_named(less)} and {_named(more)}", less, more)
                for less, more in pairwise(ladder)
            ),
        ),
        Claim(
            "DISCO at 99 % is no worse than any network split at one point, which sends more",
            tuple(Pair(_named(split), "disco@0.99", split) for split in splits),
        ),
        Claim(
            "a plan per layer is no worse than uniform DISCO that is no faster",
            tuple(Pair(percent(s), f"per-layer@{s:g}", f"disco@{s:g}") for s in EQUAL_LATENCY),
        ),
    )


def found(results: TaskResults, claim: Claim) -> str:
    """Whether a claim holds over the seeds, in words."""
    differences = [results.difference(pair.better, pair.worse) for pair in claim.pairs]
    broken = [
        f"{pair.words} (by {-difference.mean:.2g})"
        for pair, difference in zip(claim.pairs, differences, strict=True)
        if difference.mean < 0
    ]
    clear = sum(difference.verdict == "above" for difference in differences)
    against = sum(difference.verdict == "below" for difference in differences)
    intervals = _intervals(clear, against, len(differences))
    if not broken:
        means = sorted(difference.mean for difference in differences)
        ends = dict.fromkeys(f"{mean:+.2g}" for mean in (means[0], means[-1]))
        return f"**holds** in the mean ({' to '.join(ends)}); {intervals}"
    kind = "does not hold" if len(broken) == len(differences) else "holds in part"
    return f"**{kind}**: the other way round at {', '.join(broken)}; {intervals}"


def _intervals(clear: int, against: int, count: int) -> str:
    if count > 1:
        words = f"{clear} of {count} intervals are above 0"
        return f"{words}, {against} below" if against else words
    if clear or against:
        return f"its interval is {'above' if clear else 'below'} 0"
    return "its interval holds 0, so that the seeds do not decide it"


def _named(row: str) -> str:
    """A row in words: ``disco@0.9`` is ``90 %``."""
    strategy, _, at = row.partition("@")
    if row == BRANCHES:
        return percent(1)
    return percent(float(at)) if strategy == "disco" else row


def interval(difference: Difference, digits: int) -> str:
    """``+0.10 (+0.05 to +0.15)``."""
    low, high = difference.mean - difference.half, difference.mean + difference.half
    return f"{difference.mean:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def difference_rows(
    results: TaskResults, pairs: Sequence[Pair], digits: int
) -> list[tuple[object, ...]]:
    """Table rows: what is compared, the interval, and in how many seeds the first is better."""
    rows: list[tuple[object, ...]] = []
    for pair in pairs:
        gap = results.difference(pair.better, pair.worse)
        rows.append((pair.words, interval(gap, digits), f"{gap.above} of {gap.seeds}", gap.verdict))
    return rows
