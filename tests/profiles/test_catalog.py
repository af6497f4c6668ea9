from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from planner.errors import BadInputError
from profiles.catalog import (
    cluster_names,
    curve_for_model,
    curve_names,
    load_cluster,
    load_curve,
    load_model,
    model_names,
    resolve_cluster,
)

REPO = Path(__file__).parents[2]


def test_what_ships() -> None:
    assert model_names() == (
        "bert-base",
        "convnext-t",
        "deeplabv3plus-resnet101",
        "deit-s",
        "deit-s-distilled",
        "efficientnet-b0",
        "esrgan",
        "gpt2",
        "llama-3.1-70b",
        "llama-3.1-70b-decode",
        "llama-3.1-8b",
        "llama-3.1-8b-decode",
        "mobilenetv2-224",
        "mobilenetv2-256",
        "resnet50",
        "resnet50-eighth",
        "resnet50-half",
        "resnet50-quarter",
        "ssd300-vgg16",
        "swin-t",
    )
    assert cluster_names() == (
        "a100-nvlink",
        "arm-wireless",
        "esp32-s3",
        "head-mounted",
        "jetson-tx2-wifi",
        "small-nodes",
    )
    assert curve_names() == (
        "deeplabv3plus-voc",
        "deit-s-imagenet",
        "esrgan-div2k",
        "resnet50-imagenet",
        "ssd300-coco",
    )


def test_every_document_is_called_what_its_file_is_called() -> None:
    assert [load_model(name).name for name in model_names()] == list(model_names())
    assert [load_cluster(name).name for name in cluster_names()] == list(cluster_names())
    assert [load_curve(name).name for name in curve_names()] == list(curve_names())


def test_the_library_needs_neither_torch_nor_onnx() -> None:
    script = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'fvcore', 'onnx'):\n"
        "    sys.modules[name] = None\n"
        "from profiles import catalog as c\n"
        "loaded = [*map(c.load_model, c.model_names()), *map(c.load_cluster, c.cluster_names()),\n"
        "          *map(c.load_curve, c.curve_names())]\n"
        "print(len(loaded))\n"
    )
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("31\n", "")


@pytest.mark.parametrize(
    ("load", "name", "expected"),
    [
        (load_model, "resnet5O", "model 'resnet5O': unknown; did you mean 'resnet50'? there are "),
        (load_model, "", "model '': unknown; there are bert-base, convnext-t, "),
        (load_model, "../clusters/head-mounted", "model '../clusters/head-mounted': unknown; "),
        (load_model, "resnet50.json", "model 'resnet50.json': unknown; did you mean 'resnet50"),
        (load_cluster, "headmounted", "unknown; did you mean 'head-mounted'? there are a100-nvl"),
        (load_curve, "resnet50", "unknown; did you mean 'resnet50-imagenet'? there are deeplabv3"),
        (load_curve, "a\nb", r"accuracy curve 'a\nb': unknown; there are deeplabv3plus-voc, deit"),
        (resolve_cluster, "small-node", "cluster 'small-node': unknown; did you mean 'small-node"),
        (resolve_cluster, "zzz", "; or give the path of a cluster's .json file"),
        (resolve_cluster, "missing.json", "cluster missing.json: no such file"),
        (resolve_cluster, "some/where", "cluster some/where: no such file"),
    ],
)
def test_unknown_names_say_what_there_is(load: object, name: str, expected: str) -> None:
    assert callable(load)
    with pytest.raises(BadInputError) as caught:
        load(name)
    assert expected in str(caught.value)
    assert str(caught.value).isprintable()


def test_resolve_cluster_takes_a_name_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_cluster("small-nodes") == load_cluster("small-nodes")
    text = (REPO / "profiles/library/clusters/esp32-s3.json").read_text(encoding="utf-8")
    for name in ("mine.json", "MINE.JSON", "without-suffix"):
        Path(name).write_text(text, encoding="utf-8")
        assert resolve_cluster(name) == load_cluster("esp32-s3")
    Path("head-mounted").write_text(text, encoding="utf-8")
    assert resolve_cluster("head-mounted").name == "head-mounted", "the catalogue comes first"
    assert resolve_cluster("./head-mounted").name == "esp32-s3"
    with pytest.raises(BadInputError, match=r"cluster .*models: is a folder"):
        resolve_cluster(str(REPO / "profiles/library/models"))
    with pytest.raises(BadInputError, match=r"^cluster .*resnet50.json: .*(no such field|missing)"):
        resolve_cluster(str(REPO / "profiles/library/models/resnet50.json"))


def test_curves_know_their_models() -> None:
    assert curve_for_model("resnet50") == load_curve("resnet50-imagenet")
    assert curve_for_model("resnet50-half") is None, "half the width is another network"
    assert curve_for_model("mobilenetv2-224") is None
    spoken_of = [model for name in curve_names() for model in load_curve(name).models]
    assert len(set(spoken_of)) == len(spoken_of)
    assert set(spoken_of) <= set(model_names())


def test_loading_twice_reads_once() -> None:
    assert load_model("resnet50") is load_model("resnet50")
    assert load_cluster("small-nodes") is load_cluster("small-nodes")
