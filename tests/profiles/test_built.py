"""Networks of the catalogue as modules that run have the layers that plans are made of."""

from __future__ import annotations

import pytest

from profiles.built import built_model
from profiles.catalog import load_model, model_names

SLOW = {"esrgan", "llama-3.1-8b", "llama-3.1-8b-decode", "llama-3.1-70b", "llama-3.1-70b-decode"}
QUICK = {"deit-s", "mobilenetv2-224"}
"""One with attention, whose output lies in memory as a device's kernel has it; one without."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
        for name in model_names()
        if name not in SLOW
    ],
)
def test_a_network_that_runs_has_the_layers_of_the_catalogue(name: str) -> None:
    built, planned = built_model(name).profile, load_model(name)
    assert [layer.name for layer in built.layers] == [layer.name for layer in planned.layers]
    assert built.totals == planned.totals
