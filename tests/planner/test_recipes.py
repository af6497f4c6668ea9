"""The recipe for a link term, applied to a copy of the planner: two files, and all messages pay."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.planner.builders import chain, cluster

ROOT = Path(__file__).parents[2]

EDITS = {
    "domain/cluster.py": [
        (
            "    latency_s: NonNegativeFloat = 0.0\n",
            "    start_s: NonNegativeFloat = Field(default=0.0, description='of a message')\n",
        ),
        (
            '        return self._pairs(self.link.latency_s, "latency_s")\n',
            "\n    def pair_start_s(self) -> NDArray[np.float64]:\n"
            '        return self._pairs(self.link.start_s, "start_s")\n',
        ),
    ],
    "cost/exchange.py": [
        (
            "    pair_latency_s: Floats\n",
            "    pair_start_s: Floats\n",
        ),
        (
            "            pair_latency_s=cluster.pair_latency_s(),\n",
            "            pair_start_s=cluster.pair_start_s(),\n",
        ),
        (
            "            pair_latency_s=self.pair_latency_s[pairs],\n",
            "            pair_start_s=self.pair_start_s[pairs],\n",
        ),
    ],
}
FORMULA = "    pair_s = pairs / links.pair_bandwidth_bytes_per_s\n"
NEW_FORMULA = (
    "    start_s = np.where(pairs > 0, links.pair_start_s, 0.0)\n"
    "    pair_s = start_s + pairs / links.pair_bandwidth_bytes_per_s\n"
)

COSTED = """
import json, sys
from planner.cost.handover import Handovers, Member
from planner.cost.table import cost_table, group_shares
from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.domain.settings import CostSettings
profile, *clusters = json.load(sys.stdin)
profile = ModelProfile.model_validate(profile)
found = []
for ring in map(Cluster.model_validate, clusters):
    alone = [Member((k,), group_shares(profile, ring.first(1))) for k in range(2)]
    handovers = Handovers(profile, ring, CostSettings(count_output=True))
    between = handovers.between_pairs([tuple(alone)]).seconds[0]
    layers = cost_table(profile, ring, levels=(0.0,)).comm_s[1:, 0]
    found.append([*layers, *between, float(handovers.cost_output(alone[1]).seconds)])
print(json.dumps(found))
"""


def test_a_fixed_cost_per_message_takes_two_files(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "planner", tmp_path / "planner")
    for name, pairs in EDITS.items():
        path = tmp_path / "planner" / name
        text = path.read_text("utf-8")
        for line, more in pairs:
            assert text.count(line) == 1, f"{name} has another {line!r}"
            text = text.replace(line, line + more)
        if "exchange" in name:
            assert text.count(FORMULA) == 1
            text = text.replace(FORMULA, NEW_FORMULA)
        path.write_text(text, "utf-8")
    profile = chain(8, 8, 8).model_dump(mode="json")
    plain = cluster(2).model_dump(mode="json")
    slow = {**plain, "link": {**plain["link"], "start_s": 0.5}}
    done = subprocess.run(
        [sys.executable, "-c", COSTED],
        input=json.dumps([profile, plain, slow]),
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    before, after = json.loads(done.stdout)
    assert len(before) == 5  # two layers that exchange, two cuts, the output
    assert [b - a for a, b in zip(before, after, strict=True)] == pytest.approx([0.5] * 5)
