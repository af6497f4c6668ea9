"""The shipped accuracy curves are the published tables, row for row."""

from __future__ import annotations

import itertools

import pytest

from profiles.catalog import load_curve

# S_comm in percent: DISCO, random; 100 % is one architecture, printed under random
PUBLISHED: dict[str, dict[int, tuple[float | None, float | None]]] = {
    "resnet50-imagenet": {
        0: (76.80, None),
        80: (76.84, 75.26),
        90: (76.50, 74.90),
        95: (76.26, 74.54),
        99: (75.94, 73.85),
        100: (73.36, 73.36),
    },
    "deit-s-imagenet": {
        0: (79.94, None),
        60: (80.08, 78.51),
        80: (79.50, 78.45),
        90: (79.21, 78.24),
        95: (79.11, 75.65),
        99: (78.70, None),
        100: (74.57, 74.57),
    },
    "ssd300-coco": {
        0: (26.0, None),
        80: (26.7, 23.6),
        90: (26.1, 23.2),
        95: (25.6, 22.6),
        99: (24.6, None),
        100: (19.6, 19.6),
    },
    "deeplabv3plus-voc": {
        0: (77.2, None),
        80: (78.5, 74.4),
        90: (78.1, 72.8),
        95: (77.5, 70.9),
        99: (76.7, 66.8),
        100: (64.5, 64.5),
    },
    "esrgan-div2k": {
        0: (32.56, None),
        60: (32.56, None),
        80: (32.47, 31.82),
        90: (32.46, 31.76),
        95: (32.41, 31.75),
        99: (32.49, None),
        100: (31.69, 31.69),
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_accuracy(name: str) -> None:
    curve = load_curve(name)
    disco = {p.sparsity_percent: p.value for p in curve.disco}
    random = {p.sparsity_percent: p.value for p in curve.random}
    rows = PUBLISHED[name]
    assert disco == {s: value for s, (value, _) in rows.items() if value is not None}
    assert random == {s: value for s, (_, value) in rows.items() if value is not None}
    assert curve.nodes == 2 and curve.origin == "measured"


def test_published_split_rows() -> None:
    rows = load_curve("resnet50-imagenet").splits
    found = {(row.strategy, row.groups): row.value for row in rows}
    assert found == dict(
        zip(
            itertools.product(("dense-then-split", "split-then-aggregate"), (1, 2, 3)),
            (75.14, 74.55, 73.3, 75.10, 74.88, 73.66),
            strict=True,
        )
    )
