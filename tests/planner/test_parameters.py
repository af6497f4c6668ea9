"""Which stored tensor is whose weight."""

from __future__ import annotations

import pytest

from planner.domain.layer_profile import LayerProfile
from planner.weights.parameters import stored_weights
from tests.planner.builders import Net


def square_projection() -> LayerProfile:
    net = Net(8, 1)
    net.conv("image", 8)
    return net.profile().layers[0].model_copy(update={"name": "h.0.attn.c_proj", "op": "linear"})


@pytest.mark.parametrize(("namesake", "axes"), [((32, 8), (1, 0)), ((8, 32), (0, 1))])
def test_a_square_weight_lies_as_its_namesakes_do_whose_biases_show_it(
    namesake: tuple[int, int], axes: tuple[int, int]
) -> None:
    shapes = {
        "h.0.attn.c_proj.weight": (8, 8),
        "h.0.attn.c_proj.bias": (8,),
        "h.0.mlp.c_proj.weight": namesake,
        "h.0.mlp.c_proj.bias": (8,),
    }
    (found,) = stored_weights(shapes, [square_projection()], "test").values()
    assert (found.output_axis, found.input_axis) == axes
    assert found.name == "h.0.attn.c_proj.weight"
