"""Archives that mean harm: one plain line each, nothing run, nothing left behind."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planner.errors import BadInputError
from profiles.from_pt2.archive import MAX_JSON_BYTES
from profiles.from_pt2.frontend import profile_pt2
from profiles.sandbox import Limits
from profiles.strangers import MAX_MODEL_BYTES
from tests.processor_time import HANG_S, at_most
from tests.profiles.test_onnx_hostile import readers

REPO = Path(__file__).parents[2]
FLOAT = 7


def tensor(*sizes: Any, dtype: int = FLOAT) -> dict[str, Any]:
    return {
        "dtype": dtype,
        "sizes": [size if isinstance(size, dict) else {"as_int": size} for size in sizes],
    }


def argument(name: str, **value: Any) -> dict[str, Any]:
    return {"name": name, "arg": value, "kind": 1}


def call(target: str, output: str, *arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "target": target,
        "inputs": list(arguments),
        "outputs": [{"as_tensor": {"name": output}}],
        "metadata": {},
        "name": output,
    }


def reads(field: str, name: str) -> dict[str, Any]:
    return argument(field, as_tensor={"name": name})


def linear_document() -> dict[str, Any]:
    """y = x · wᵀ, as torch writes it."""
    return {
        "graph_module": {
            "graph": {
                "inputs": [{"as_tensor": {"name": name}} for name in ("p_w", "x")],
                "outputs": [{"as_tensor": {"name": "y"}}],
                "nodes": [
                    call(
                        "torch.ops.aten.linear.default",
                        "y",
                        reads("input", "x"),
                        reads("weight", "p_w"),
                    )
                ],
                "tensor_values": {"p_w": tensor(3, 4), "x": tensor(1, 4), "y": tensor(1, 3)},
            },
            "signature": {
                "input_specs": [
                    {"parameter": {"arg": {"name": "p_w"}, "parameter_name": "w"}},
                    {"user_input": {"arg": {"as_tensor": {"name": "x"}}}},
                ],
                "output_specs": [],
            },
        },
        "range_constraints": {},
        "torch_version": "2.13.0",
    }


def archived(document: Any, **others: bytes) -> bytes:
    """An archive of a document, or of a text that is none."""
    text = document if isinstance(document, (bytes, str)) else json.dumps(document)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/models/model.json", text)
        for name, content in others.items():
            archive.writestr(f"m/{name}", content)
    return buffer.getvalue()


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = linear_document()
    change(document)
    return archived(document)


def graph(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["graph_module"]["graph"]
    return found


def with_size(size: Any) -> bytes:
    return changed(lambda d: graph(d)["tensor_values"]["x"].update(tensor(size, 4)))


def with_expression(text: str, hint: Any = 1) -> dict[str, Any]:
    return {"as_expr": {"expr_str": text, "hint": hint if hint is None else {"as_int": hint}}}


def output_size(text: str) -> bytes:
    return changed(
        lambda d: graph(d)["tensor_values"]["y"].update(tensor(with_expression(text), 3))
    )


class Payload:
    """What pickle would run."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (os.system, (f"touch {self.marker}",))


def bomb() -> bytes:
    return archived(b" " * (MAX_JSON_BYTES + 1))


def lying_size() -> bytes:
    """A table of contents that declares 100 bytes for what unpacks to more than is read."""
    data = bytearray(archived(b" " * (MAX_JSON_BYTES + 2**20)))
    size = struct.pack("<L", MAX_JSON_BYTES + 2**20)
    small = struct.pack("<L", 100)
    assert data.count(size) == 2
    return bytes(data.replace(size, small))


def many_entries() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(50_001):
            archive.writestr(zipfile.ZipInfo(f"{number}"), b"")
    return buffer.getvalue()


def two_graphs() -> bytes:
    return archived(linear_document(), **{"models/other.json": b"{}"})


def encrypted() -> bytes:
    data = bytearray(archived(linear_document()))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    return bytes(data)


def compressed(method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("m/models/model.json", json.dumps(linear_document()))
    return buffer.getvalue()


def broken_checksum() -> bytes:
    text = json.dumps(linear_document()).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("m/models/model.json", text)
    return buffer.getvalue().replace(b"torch_version", b"torch_Version")


def nested_graphs(depth: int) -> bytes:
    inner = copy.deepcopy(graph(linear_document()))
    for _ in range(depth):
        outer = copy.deepcopy(graph(linear_document()))
        outer["nodes"][0]["target"] = "torch.ops.higher_order.wrap_with_set_grad_enabled"
        outer["nodes"][0]["inputs"] = [
            argument("", as_bool=False),
            argument("", as_graph={"name": "inner", "graph": inner}),
            reads("", "p_w"),
            reads("", "x"),
        ]
        inner = outer
    document = linear_document()
    document["graph_module"]["graph"] = inner
    return archived(document)


def self_reading(d: dict[str, Any]) -> None:
    graph(d)["nodes"][0]["inputs"][0] = reads("input", "y")


def later_reading(d: dict[str, Any]) -> None:
    graph(d)["nodes"][0]["inputs"][0] = reads("input", "z")
    graph(d)["tensor_values"]["z"] = tensor(1, 4)
    graph(d)["nodes"].append(call("torch.ops.aten.relu.default", "z", reads("self", "y")))


def twice(d: dict[str, Any]) -> None:
    graph(d)["nodes"].append(copy.deepcopy(graph(d)["nodes"][0]))


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is no .pt2 archive"),
    "text": (lambda: b"this is no archive\n" * 40, "is no .pt2 archive"),
    "a pickle": (lambda: pickle.dumps({"a": 1}), "is no .pt2 archive"),
    "cut in half": (lambda: archived(linear_document())[:300], "is no .pt2 archive"),
    "last bytes missing": (lambda: archived(linear_document())[:-9], "is no .pt2 archive"),
    "broken checksum": (broken_checksum, "a part of one is missing"),
    "another archive": (
        lambda: archived(b"{}").replace(b"models/model.json", b"models/model.text"),
        "holds no models/model.json",
    ),
    "two graphs": (two_graphs, "holds 2 graphs"),
    "zip bomb": (bomb, "at most 67,108,864 are read"),
    "lying size": (lying_size, "is no .pt2 archive"),
    "many entries": (many_entries, "has 50,001 entries"),
    "encrypted": (encrypted, "is encrypted"),
    "bzip2": (lambda: compressed(zipfile.ZIP_BZIP2), "compressed in a way"),
    "lzma": (lambda: compressed(zipfile.ZIP_LZMA), "compressed in a way"),
    "no JSON": (lambda: archived(b"{'a': 1}"), "is no JSON"),
    "not UTF-8": (lambda: archived(b'{"a": "\xff\xfe"}'), "is no JSON"),
    "NaN": (lambda: with_size(float("nan")), "NaN is no number"),
    "infinity": (lambda: with_size(float("inf")), "Infinity is no number"),
    "a number of 100,000 digits": (lambda: archived("[" + "9" * 100_000 + "]"), "is no JSON"),
    "deep lists": (lambda: archived("[" * 500_000 + "]" * 500_000), "nested too deeply"),
    "deep objects": (lambda: archived('{"a":' * 200_000 + "1" + "}" * 200_000), "too deeply"),
    "deep graphs": (lambda: nested_graphs(30), "nested too deeply"),
    "a list": (lambda: archived([1, 2]), "an object is needed"),
    "no graph module": (lambda: archived({}), "'graph_module' of the document is missing"),
    "no nodes": (lambda: changed(lambda d: graph(d).pop("nodes")), "'nodes' of the graph"),
    "no signature": (
        lambda: changed(lambda d: d["graph_module"].pop("signature")),
        "'signature' of graph_module is missing",
    ),
    "huge size": (lambda: with_size(2**62), "sizes are 0 to 2^40"),
    "huger size": (lambda: with_size(10**400), "sizes are 0 to 2^40"),
    "huge product": (
        lambda: changed(lambda d: graph(d)["tensor_values"].update(p_w=tensor(*[2**39] * 60))),
        "elements are allowed",
    ),
    "many dimensions": (
        lambda: changed(lambda d: graph(d)["tensor_values"].update(y=tensor(*[1] * 50_000))),
        "has 50000 dimensions",
    ),
    "negative size": (lambda: with_size(-1), "sizes are 0 to 2^40"),
    "empty tensor": (
        lambda: changed(lambda d: graph(d)["tensor_values"].update(x=tensor(0, 4), y=tensor(0, 3))),
        "input 'x' has the empty shape (0, 4)",
    ),
    "a size that is a fraction": (lambda: with_size(1.5), "a whole number is needed"),
    "a size that is true": (lambda: with_size(True), "a whole number is needed"),
    "a size that is text": (lambda: with_size("7"), "a whole number is needed"),
    "a size of another form": (lambda: with_size({"as_name": "s0"}), "'as_expr'"),
    "an unknown type": (
        lambda: changed(lambda d: graph(d)["tensor_values"]["x"].update(dtype=99)),
        "has the element type 99",
    ),
    "an open size": (
        lambda: with_size(with_expression("Symbol('s0')", None)),
        "leaves the size 's0' of its inputs open; give it with --input-shape",
    ),
    "an expression that is code": (
        lambda: output_size("__import__('os').system('touch pwned')"),
        "is not understood",
    ),
    "a call of an unknown function": (lambda: output_size("exec('1')"), "is not understood"),
    "an attribute": (lambda: output_size("Integer.__class__(1)"), "is not understood"),
    "a lambda": (lambda: output_size("(lambda: 1)()"), "is not understood"),
    "a division by zero": (
        lambda: output_size("FloorDiv(Integer(1), Integer(0))"),
        "is not understood",
    ),
    "a wrong number of arguments": (lambda: output_size("Mod(Integer(1))"), "is not understood"),
    "no argument": (lambda: output_size("Max()"), "is not understood"),
    "a power": (lambda: output_size("9**9**9**9"), "is not understood"),
    "a huge product of sizes": (
        lambda: output_size("Mul(" + ", ".join(["Integer(4000000000)"] * 80) + ")"),
        "more than 2^62",
    ),
    "a deep expression": (lambda: output_size("-" * 1900 + "1"), "is not understood"),
    "deep brackets": (lambda: output_size("(" * 900 + "1" + ")" * 900), "is not understood"),
    "a long expression": (lambda: output_size("1+" * 5000 + "1"), "open size of 10,001 characters"),
    "an unknown symbol": (lambda: output_size("Symbol('s9')"), "is not understood"),
    "cyclic": (lambda: changed(self_reading), "reads 'y', which nothing before it makes"),
    "out of order": (lambda: changed(later_reading), "reads 'z', which nothing before it makes"),
    "made twice": (lambda: changed(twice), "'y' is made twice"),
    "nodes that are no list": (lambda: changed(lambda d: graph(d).update(nodes={})), "a list"),
    "an input twice": (
        lambda: changed(lambda d: graph(d)["inputs"].append({"as_tensor": {"name": "x"}})),
        "the graph has an input twice",
    ),
    "an unknown output": (
        lambda: changed(lambda d: graph(d).update(outputs=[{"as_tensor": {"name": "q"}}])),
        "returns 'q', which nothing makes",
    ),
    "an unknown input": (
        lambda: changed(lambda d: graph(d).update(inputs=[])),
        "which is no input of its graph|which nothing before it makes",
    ),
    "a name that is a number": (
        lambda: changed(lambda d: graph(d)["nodes"][0].update(name=7)),
        "a text is needed",
    ),
    "a target that is a list": (
        lambda: changed(lambda d: graph(d)["nodes"][0].update(target=["a"])),
        "a text is needed",
    ),
    "a weight that does not fit": (
        lambda: changed(lambda d: graph(d)["tensor_values"].update(p_w=tensor(3, 5))),
        "node 'y' (aten.linear) has arguments that do not fit each other",
    ),
    "no inputs": (
        lambda: changed(lambda d: d["graph_module"]["signature"].update(input_specs=[])),
        "there is nothing to plan",
    ),
}


def refused(data: bytes, limits: Limits | None = None) -> str:
    """The message for an archive that is refused, held against what all messages promise."""
    with pytest.raises(BadInputError) as caught:
        profile_pt2(data, name="model", source="/home/someone/model.pt2", limits=limits)
    message = str(caught.value)
    assert message.startswith("model.pt2: ")
    assert message.isprintable()
    assert len(message) < 500
    for place in ("Traceback", sys.prefix, str(REPO), "/home", ".py", "reader fails"):
        assert place not in message
    assert readers(os.getpid()) == []
    return message


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives_are_refused_in_one_line(case: str) -> None:
    build, expected = HOSTILE[case]
    data = build()
    with at_most(15):
        message = refused(data, Limits(wall_s=HANG_S))
    assert any(part in message for part in expected.split("|")), message


def test_the_document_that_the_others_are_made_of_is_good() -> None:
    profile = profile_pt2(archived(linear_document()), name="m", source="m.pt2")
    assert (profile.totals.macs, profile.totals.params) == (12, 12)
    assert profile_pt2(nested_graphs(3), name="m", source="m.pt2").totals.macs == 12


@pytest.mark.parametrize("valid", [True, False])
def test_pickles_in_an_archive_are_never_run(tmp_path: Path, valid: bool) -> None:
    marker = tmp_path / "marker"
    payload = pickle.dumps(Payload(marker))
    entries = (
        "data/weights/weight_0 data/weights/model_weights_config.json data/constants/tensor_0 "
        "data/sample_inputs/model.pt data.pkl serialized_state_dict.pt serialized_constants.pt"
    ).split()
    document = linear_document()
    if not valid:
        document["graph_module"]["graph"]["nodes"][0]["target"] = 3
    data = archived(document, **dict.fromkeys(entries, payload))
    if valid:
        assert profile_pt2(data, name="m", source="m.pt2").totals.macs == 12
    else:
        refused(data)
    assert not marker.exists()
    pickle.loads(payload)
    assert marker.exists(), "the payload works where it is let"


def test_an_expression_that_torch_would_run_is_not(tmp_path: Path) -> None:
    """What makes reading the JSON necessary: torch's own loader runs it."""
    torch = pytest.importorskip("torch")
    marker, path = tmp_path / "marker", tmp_path / "model.pt2"
    exported = torch.export.export(torch.nn.Linear(4, 3), (torch.zeros(1, 4),), strict=False)
    original = io.BytesIO()
    torch.export.save(exported, original)
    with zipfile.ZipFile(original) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith("models/model.json"):
                document = json.loads(content)
                code = f"__import__('os').system('touch {marker}')"
                graph(document)["tensor_values"]["linear"]["sizes"][0] = with_expression(code)
                content = json.dumps(document).encode()
            new.writestr(entry.filename, content)
    assert "is not understood" in refused(path.read_bytes())
    assert not marker.exists()
    script = "import sys, torch; torch.export.load(sys.argv[1])"
    subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, timeout=HANG_S)
    assert marker.exists(), "the payload works where it is let"


def test_an_archive_over_the_size_limit_is_not_even_sent() -> None:
    class Large(bytes):
        def __len__(self) -> int:
            return MAX_MODEL_BYTES + 1

    with at_most(1), pytest.raises(BadInputError, match="is larger than 512 MiB"):
        profile_pt2(Large(), name="m", source="m.pt2")


def test_a_large_document_meets_the_memory_limit() -> None:
    data = archived("[" + "{}," * 5_000_000 + "{}]")
    message = refused(data, Limits(memory_bytes=256 * 2**20))
    assert "needs more than 0.25 GiB of memory to read" in message


def test_names_are_data() -> None:
    document = linear_document()
    path = "=HYPERLINK(1)\x1b[31m../../etc/passwd"
    graph(document)["nodes"][0]["metadata"] = {"nn_module_stack": f"a,,b;k,{path},torch.nn.Linear"}
    profile = profile_pt2(archived(document), name="m", source="m.pt2")
    assert profile.layers[0].name == path
