"""A profile's layers nested by the paths in their names, and what the terminal shows of them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from app.profile_tree import Entry, Sums, draw_tree, profile_tree
from planner.domain.layer_profile import LayerProfile, TensorSpec
from planner.domain.model_profile import ModelProfile, Provenance
from profiles.catalog import load_model

SHIPPED = ("resnet50", "deit-s", "llama-3.1-8b", "swin-t", "esrgan")


def network(*layers: tuple[str, str, int]) -> ModelProfile:
    """A chain of layers, each with a name, an operator and its MACs per pair of features."""
    made: list[LayerProfile] = []
    for name, op, macs in layers:
        made.append(
            LayerProfile(
                name=name,
                op=op,
                inputs=(made[-1].name if made else "x",),
                feature_flow="mixing" if macs else "local",
                macs=macs * 16,
                params=16 if macs else 0,
                param_bytes=64 if macs else 0,
                in_features=4,
                out_features=4,
                elements_per_feature=2,
                output_elements_per_feature=2,
                input_bytes=32,
                output_bytes=32,
            )
        )
    return ModelProfile(
        name="net",
        inputs=(TensorSpec(name="x", shape=(4, 2), bytes=32, features=4),),
        outputs=(made[-1].name,),
        layers=tuple(made),
        provenance=Provenance(front_end="test", source=""),
    )


def outline(entry: Entry) -> list[object]:
    """Labels and operators, nested."""
    return [
        [child.shown, *outline(child)] if child.children else f"{child.shown}={child.what}"
        for child in entry.children
    ]


def shown(profile: ModelProfile, width: int, depth: int | None = None) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(draw_tree(profile, depth, width))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_dots_and_colons_nest() -> None:
    profile = network(
        ("body.stem.conv", "conv", 1),
        ("body.block", "reshape", 0),
        ("body.block.q", "linear", 1),
        ("body.block:transpose:2", "transpose", 0),
        ("head", "linear", 2),
    )
    assert outline(profile_tree(profile)) == [
        [
            "body",
            "stem.conv=conv",
            ["block", "(itself)=reshape", "q=linear", ":transpose:2=transpose"],
        ],
        "head=linear",
    ]


def test_slashes_nest_and_a_chain_of_modules_is_one_line() -> None:
    profile = network(
        ("/model/layers.0/attn/MatMul", "linear", 1),
        ("/model/layers.0/attn/Softmax", "softmax", 0),
        ("/model/layers.0/mlp/Gemm", "linear", 1),
    )
    assert outline(profile_tree(profile)) == [
        ["model/layers.0", ["attn", "MatMul=linear", "Softmax=softmax"], "mlp/Gemm=linear"]
    ]


def test_order_is_kept_when_a_module_runs_twice() -> None:
    profile = network(
        ("a.one", "conv", 1),
        ("a.two", "relu", 0),
        ("b", "conv", 1),
        ("a.one:conv", "conv", 1),
        ("a.two:relu", "relu", 0),
    )
    assert [child.shown for child in profile_tree(profile).children] == ["a", "b", "a"]


def test_numbered_operators_are_no_modules() -> None:
    profile = network(("Conv.0", "conv", 1), ("Add.1", "add", 1), ("Add.2", "add", 1))
    assert outline(profile_tree(profile)) == ["Conv.0=conv", "Add.1=add", "Add.2=add"]
    sequence = network(("body.0", "conv", 1), ("body.1", "relu", 0))
    assert outline(profile_tree(sequence)) == [["body", "0=conv", "1=relu"]]


def test_equal_blocks_fold_and_unequal_ones_do_not() -> None:
    blocks = [
        (f"layers.{number}.{name}", op, macs)
        for number, work in enumerate((1, 1, 1, 7))
        for name, op, macs in (("norm", "norm", 0), ("fc", "linear", work))
    ]
    tree = profile_tree(network(*blocks))
    first = ["0", "norm=norm", "fc=linear"]
    last = ["3", "norm=norm", "fc=linear"]
    assert outline(tree) == [["layers", first, "1 … 2=2 × like 0", last]]
    (layers,) = tree.children
    assert layers.children[1].sums.macs == 2 * layers.children[0].sums.macs


def test_blocks_of_other_names_do_not_fold() -> None:
    tree = profile_tree(
        network(("q.w", "linear", 1), ("q.b", "add", 0), ("k.w", "linear", 1), ("k.b", "add", 0))
    )
    assert [child.shown for child in tree.children] == ["q", "k"]
    assert all(child.children for child in tree.children)


def test_operators_without_work_are_taken_together_unless_they_exchange() -> None:
    free = [(f"m.{name}", name, 0) for name in ("reshape", "permute", "add", "mul")]
    profile = network(("m.fc", "linear", 1), *free)
    assert outline(profile_tree(profile)) == [
        ["m", "fc=linear", "4 free operators=reshape, permute, add, …"]
    ]
    for change in ({"feature_flow": "one-node"}, {"statistics_bytes": 8}):
        layers = tuple(
            layer.model_copy(update=change) if layer.op == "add" else layer
            for layer in profile.layers
        )
        lines = "\n".join(shown(profile.model_copy(update={"layers": layers}), 160))
        assert "free operators" not in lines and "add" in lines


@pytest.mark.parametrize("name", SHIPPED)
def test_sums_of_every_subtree_are_those_of_its_parts(name: str) -> None:
    profile = load_model(name)
    tree = profile_tree(profile)

    def check(entry: Entry) -> None:
        if entry.children:
            parts = [child.sums for child in entry.children]
            assert entry.sums == Sums(
                *(
                    sum(getattr(part, field) for part in parts)
                    for field in Sums.__dataclass_fields__
                )
            )
            assert [x for child in entry.children for x in child.layers] == list(entry.layers)
        for child in entry.children:
            check(child)

    check(tree)
    assert (tree.sums.macs, tree.sums.params, len(tree.layers)) == (
        profile.totals.macs,
        profile.totals.params,
        profile.totals.layers,
    )


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_no_line_is_wider_than_the_terminal(name: str, width: int) -> None:
    lines = shown(load_model(name), width)
    assert max(map(len, lines)) <= width
    whole = Sums.of(load_model(name).layers)
    assert f"{whole.macs_per_byte:.3g}" in lines[3]
    assert not any(line.rstrip().endswith("…") for line in lines[:3])


def test_a_deep_network_fits_a_screen() -> None:
    assert len(load_model("llama-3.1-8b").layers) > 1000
    assert len(shown(load_model("llama-3.1-8b"), 80)) < 50


def test_depth_folds_levels_and_keeps_totals() -> None:
    profile = load_model("resnet50")
    assert outline(profile_tree(profile, 1)) == [
        "resnet=173 layers",
        "classifier=2 layers",
    ]
    cut = profile_tree(profile, 2)
    assert cut.sums == profile_tree(profile).sums
    assert any(child.children for child in cut.children)
    assert not any(inner.children for child in cut.children for inner in child.children)
    assert len(shown(profile, 100, depth=1)) == 3 + 1 + 2  # a heading, the model, its parts


def test_carries_round_to_the_next_prefix() -> None:
    profile = network(("fc", "linear", 62_500_000 - 1))  # 999,999,984 MACs
    assert any("1 G" in line for line in shown(profile, 80))


def test_a_name_cannot_steer_the_terminal_or_be_markup() -> None:
    profile = network(("a.\x1b[31mred", "conv", 1), ("a.[bold]b", "relu", 0))
    text = "\n".join(shown(profile, 100))
    assert "\x1b" not in text
    assert "\\x1b[31mred" in text and "[bold]b" in text


def test_names_that_nest_very_deeply() -> None:
    deep = "a." * 250
    tree = profile_tree(network(*((f"{deep}{n}", op, 1) for n, op in enumerate("xy"))))
    assert tree.sums.macs == 32
    odd = network(("...", "conv", 1), (":", "conv", 1), ("a..b", "conv", 1), ("a.", "conv", 1))
    assert profile_tree(odd).sums.macs == 64
