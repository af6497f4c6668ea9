"""Every table and every plan of a case is costed once, however many strategies ask for it."""

from __future__ import annotations

from collections import Counter

import pytest

from planner import case as case_module
from planner.case import Case
from planner.domain.request import Request
from planner.domain.settings import Limits
from planner.strategies import costed
from planner.strategies.compare import compare
from planner.strategies.optimise import optimise
from tests.planner.builders import chain, cluster, linear_loss


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[object]:
    """How often each table and each plan was made."""
    made: Counter[object] = Counter()
    make_table, make_stages = case_module.cost_table, costed._cost_stages

    def table(profile, group, settings, levels, shares):  # type: ignore[no-untyped-def]
        made["table", tuple(node.name for node in group.nodes), levels] += 1
        return make_table(profile, group, settings, levels, shares)

    def stages(case, planned):  # type: ignore[no-untyped-def]
        made["plan", planned] += 1
        return make_stages(case, planned)

    monkeypatch.setattr(case_module, "cost_table", table)
    monkeypatch.setattr(costed, "_cost_stages", stages)
    return made


def test_a_comparison_costs_nothing_twice(counted: Counter[object]) -> None:
    profile = chain(16, 8, 32, 8)
    case = Case(profile, cluster(4), loss_model=linear_loss(profile))
    request = Request(4, limits=Limits(max_accuracy_drop=0.5))
    compare(case, request, (2, 4))
    optimise(case, request)
    assert max(counted.values()) == 1
    tables = [key[1:] for key in counted if isinstance(key, tuple) and key[0] == "table"]
    # one table for each group and its levels, whatever the strategy: four single nodes, runs of
    # two to four where features may be dropped, and those that are compared where they may not
    alone = {((name,), (0.0,)) for name in "abcd"}
    dropping = {(tuple("abcd"[:n]), case.levels) for n in (2, 3, 4)}
    lossless = {(tuple("abcd"[:n]), (0.0,)) for n in (2, 4)}
    assert set(tables) == alone | dropping | lossless and len(set(tables)) == len(tables)
