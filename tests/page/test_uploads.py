"""Files that visitors bring, run without a browser."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save
from streamlit.testing.v1 import AppTest

from app.page import model_choice
from app.page.address import defaults
from app.page.answer import Answer
from app.page.asking import ask_on_page
from app.page.saved import open_page, save_page
from app.page.store import File, Files
from app.page.training import export_zip, masks_of
from app.page.uploads import read_model
from profiles.catalog import load_cluster, load_model
from profiles.files import document_text
from tests.page import working
from tests.page.driving import (
    BYTES,
    go_to,
    good,
    is_old,
    metric,
    metrics,
    milliseconds,
    opened,
    shown_headline,
    shown_title,
    texts,
    unescaped,
    values_of,
)


@pytest.fixture
def page() -> AppTest:
    """A visitor's page that waits for a model file."""
    return opened()


def upload(page: AppTest, key: str, name: str, content: bytes) -> AppTest:
    page.file_uploader(key=key).set_value((name, content, BYTES))
    return page.run()


def test_an_upload_is_profiled_planned_and_forgotten(page: AppTest, onnx_net) -> None:
    good(upload(page, "upload", "net.onnx", onnx_net()))
    assert shown_title(page) == "net on small-nodes"
    shown = metrics(page)
    assert shown["Accuracy drop"] == shown["With training"] == "–"
    assert "nothing dropped" in shown_headline(page) and not page.warning
    assert ".onnx and .pt2 files can be profiled and planned, not run" in texts(
        go_to(page, "export")
    )
    profile = go_to(page, "model").dataframe[0].value
    assert list(profile["layer"]) == ["first", "relu", "second"]
    assert profile["MACs"].sum() == 16 * 16 * 9 * (3 * 16 + 16 * 8)
    good(page.selectbox(key="model_chip").set_value("resnet50").run())
    assert shown_title(page) == "resnet50 on small-nodes"
    assert page.selectbox(key="accuracy").value == "resnet50-imagenet"


def test_undo_comes_back_to_an_upload(page: AppTest, onnx_net) -> None:
    good(upload(page, "upload", "net.onnx", onnx_net()))
    before = shown_headline(page)
    good(page.selectbox(key="model_chip").set_value("resnet50").run())
    good(page.button(key="undo").click().run())
    assert shown_title(page) == "net on small-nodes"
    assert shown_headline(page) == before


def test_open_dimensions_ask_for_a_shape_and_take_it(page: AppTest, onnx_net) -> None:
    upload(page, "upload", "net.onnx", onnx_net(batch="N"))
    assert "'image' has open dimensions" in unescaped(page.error[0].value)
    assert "resnet50" in shown_title(page)
    page.text_input(key="shapes").set_value("image=one").run()
    assert "give NAME=DIM" in unescaped(page.error[0].value)
    good(page.text_input(key="shapes").set_value("image=2,3,16,16").run())
    assert shown_title(page) == "net on small-nodes"
    table = go_to(page, "model").dataframe[0].value
    assert table["MACs"].sum() == 2 * 16 * 16 * 9 * (3 * 16 + 16 * 8)


@pytest.mark.parametrize("name", ["net.onnx", "net.json", "net.pt2"])
@pytest.mark.parametrize("content", [b"", b"this is a text\n" * 40, "truncated"])
def test_bad_files_are_one_line_and_the_plan_stays(page, onnx_net, name, content) -> None:
    before = shown_headline(page)
    content = onnx_net()[:600] if content == "truncated" else content
    upload(page, "upload", name, content)
    assert not page.exception
    (error,) = page.error
    assert name in unescaped(error.value)
    assert "\n" not in error.value
    assert shown_headline(page) == before


def test_a_saved_profile_and_a_config_are_models_as_well(page: AppTest) -> None:
    text = document_text(load_model("resnet50-eighth"))
    good(upload(page, "upload", "mine.json", text.encode()))
    assert shown_title(page) == "resnet50-eighth on small-nodes"
    assert "Optimal" in texts(go_to(page, "plan"))


def test_a_config_is_called_as_its_kind_of_model() -> None:
    sizes = {"hidden_size": 8, "intermediate_size": 8, "vocab_size": 16, "num_hidden_layers": 1}
    content = json.dumps({"model_type": "bert", "num_attention_heads": 2, **sizes}).encode()
    for name, called in (("config.json", "bert"), ("mine.json", "mine")):
        assert read_model(File(name, content), "input_ids=1,4", None).name == called


def test_reading_a_file_shows_that_it_goes_on_and_stops(
    page: AppTest, onnx_net, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shown_headline(page)
    with monkeypatch.context() as slow:
        slow.setattr(model_choice, "READ_PATIENCE_S", 0.0)
        slow.setattr(model_choice.uploads, "read_model", working.read_for_ever)
        upload(page, "upload", "net.onnx", onnx_net())
        assert is_old(page) and shown_headline(page) == before
        page.button(key="stop_reading").click().run()
        assert "Reading the file was stopped" in texts(page)
    good(page.button(key="again_reading").click().run())
    assert shown_title(page) == "net on small-nodes"


def test_a_cluster_or_a_saved_page_may_be_dropped_where_a_model_is(page: AppTest, onnx_net) -> None:
    good(upload(page, "upload", "net.onnx", onnx_net()))
    cluster = document_text(load_cluster("jetson-tx2-wifi")).encode()
    good(upload(page, "upload", "mine.json", cluster))
    assert shown_title(page) == "net on jetson-tx2-wifi"
    upload(page, "upload", "bad.json", b'{"nodes": [], "link": 3, "name": "x"}')
    assert "cluster bad.json: nodes: found []" in unescaped(page.error[0].value)
    good(upload(page, "upload", "page.json", b'{"controls": {"bandwidth": "9"}}'))
    assert shown_title(page) == "resnet50 on small-nodes"
    assert page.number_input(key="bandwidth").value == 9


def test_measured_times_take_the_place_of_derived_ones() -> None:
    page = opened(model="resnet50-eighth", accuracy="none")
    before = metrics(page)["Latency"]
    rows = ["layer,device_type,seconds"]
    rows += [f"{x.name},small-node,0.5" for x in load_model("resnet50-eighth").layers if x.macs]
    good(upload(page, "times_upload", "times.csv", "\n".join(rows).encode()))
    assert "54 of" in texts(page)
    assert milliseconds(metrics(page)["Latency"]) > milliseconds(before)
    assert metric(page, "Latency").delta == "measured"
    upload(page, "times_upload", "times.csv", b"layer,device_type,seconds\nnobody,x,1\n")
    assert "layer 'nobody' is not in resnet50-eighth" in unescaped(page.error[0].value)
    assert metric(page, "Latency").delta == "derived"


def test_sensitivities_of_ones_own_are_an_accuracy_model() -> None:
    page = opened(
        model="resnet50-eighth",
        nodes="2",
        node_choice="exactly",
        parallelism="within-layer",
        ways="features",
        limit="0.5",
    )
    page.selectbox(key="accuracy").set_value("csv").run()
    assert "Without the file" in texts(page)
    layers = [x for x in load_model("resnet50-eighth").layers if x.feature_flow == "mixing"]
    rows = ["layer,sparsity,loss"]
    rows += [f"{x.name},{s},{s * 0.2}" for x in layers for s in (0.5, 0.9, 1.0)]
    good(upload(page, "csv_upload", "s.csv", "\n".join(rows).encode()))
    assert 0.4 < float(metrics(page)["Accuracy drop"].split()[0]) <= 0.5
    assert any("adds up measurements" in warning.value for warning in page.warning)
    upload(page, "csv_upload", "s.csv", b"layer,sparsity,loss\nx,90,1\n")
    assert "give S_comm from 0 to 1" in unescaped(page.error[0].value)


def weights_of(model: str) -> bytes:
    rng = np.random.default_rng(0)
    tensors = {}
    for layer in load_model(model).layers:
        if layer.feature_flow == "mixing" and layer.weight_params:
            kernel = layer.weight_params // (layer.in_features * layer.out_features)
            side = round(kernel**0.5)
            shape = (layer.out_features, layer.in_features, side, side)
            if layer.op == "linear":
                shape = shape[:2]
            tensors[f"{layer.name}.weight"] = rng.random(shape, dtype=np.float32)
    return save(tensors)


def test_weights_give_energy_limits_and_the_masks_of_the_export() -> None:
    content = weights_of("resnet50-eighth")
    page = opened(
        model="resnet50-eighth",
        nodes="2",
        node_choice="exactly",
        parallelism="within-layer",
        ways="features",
    )
    page.selectbox(key="accuracy").set_value("energy").run()
    good(upload(page, "energy_upload", "w.safetensors", content))
    assert metrics(page)["Energy loss"] == "0.0%"
    assert "10.0% of the weights' energy pruned" in metric(page, "With training").delta
    good(page.number_input(key="energy_limit").set_value(0.1).run())
    assert metrics(page)["Energy loss"] == "10.0%"
    good(page.number_input(key="energy_limit").set_value(0.02).run())
    assert 1.5 < float(metrics(page)["Energy loss"].rstrip("%")) <= 2.0
    go_to(page, "export")
    good(upload(page, "weights_upload", "w.safetensors", content))
    assert "Layers that are pruned" in texts(page)
    assert "Measured on the uploaded weights" in texts(page)
    upload(page, "weights_upload", "other.safetensors", save({"x": np.ones(3, np.float32)}))
    assert "other.safetensors" in unescaped(page.error[0].value)


def test_the_zip_holds_what_the_command_line_writes() -> None:
    given = {"accuracy_model": "none", "max_sparsity": 0.9, "ways": ("features",)}
    question = ask_on_page("small-nodes", 2, **given)
    answer = Answer(load_model("resnet50-eighth"), question)
    masks = masks_of(answer, File("w.safetensors", weights_of("resnet50-eighth")))
    with zipfile.ZipFile(io.BytesIO(export_zip(answer, masks))) as archive:
        names = set(archive.namelist())
        assert {"plan.json", "layers.csv", "masks.safetensors", "README.md"} <= names
        assert json.loads(archive.read("plan.json")) == answer.plan.model_dump(mode="json")
    with zipfile.ZipFile(io.BytesIO(export_zip(answer, None))) as archive:
        assert set(archive.namelist()) == {"plan.json", "layers.csv"}
    lossless = Answer(load_model("resnet50-eighth"), ask_on_page("small-nodes", 2))
    masks = masks_of(lossless, File("w.safetensors", weights_of("resnet50-eighth")))
    with zipfile.ZipFile(io.BytesIO(export_zip(lossless, masks))) as archive:
        assert set(archive.namelist()) == {"plan.json", "layers.csv"}


def test_a_cluster_file_becomes_the_hardware() -> None:
    page = opened("hardware")
    text = document_text(load_cluster("jetson-tx2-wifi"))
    good(upload(page, "cluster_upload", "mine.json", text.encode()))
    assert page.selectbox(key="cluster").value == "own"
    assert shown_title(page) == "resnet50 on jetson-tx2-wifi"
    assert page.number_input(key="bandwidth").value == pytest.approx(1.26)
    again = opened(**page.query_params)
    assert shown_headline(again) == shown_headline(page)
    upload(page, "cluster_upload", "bad.json", b'{"name": "x", "nodes": []}')
    assert "cluster bad.json: nodes: found []" in unescaped(page.error[0].value)
    assert page.selectbox(key="cluster").value == "own"


def test_a_saved_page_brings_back_controls_and_files(page: AppTest, onnx_net) -> None:
    good(upload(page, "upload", "net.onnx", onnx_net()))
    good(page.number_input(key="bandwidth").set_value(5.0).run())
    before = shown_headline(page)
    files = Files(page.session_state["_store"].files.profile)
    values = values_of(page)
    text = save_page(values, files.profile, True, files)
    other = opened("export")
    good(upload(other, "page_upload", "mine.json", text.encode()))
    assert shown_title(other) == "net on small-nodes"
    assert shown_headline(other) == before
    good(other.number_input(key="nodes").set_value(2).run())
    assert shown_title(other) == "net on small-nodes"
    for bad in (b"{}", b'{"controls": {"source": "file"}}', text[:-9].encode()):
        upload(other, "page_upload", "bad.json", bad)
        assert "page bad.json: " in unescaped(other.error[0].value)
        assert shown_title(other) == "net on small-nodes"
    upload(other, "page_upload", "odd.json", b'{"controls": {"nodes": "99", "limit": "0.3"}}')
    assert "nodes: found '99'" in texts(good(other))
    assert other.number_input(key="limit").value == 0.3


def test_sensitivities_travel_in_a_saved_page() -> None:
    table = File("s.csv", b"layer,sparsity,loss\nx,0.5,1\n", "token")
    values = {**defaults({}), "accuracy": "csv"}
    profile = load_model("resnet50")
    text = save_page(values, profile, False, Files(None, {"csv": table}))
    found = open_page("p.json", text.encode())
    assert found.link.problems == () and found.link.values == values
    assert found.files.accuracy["csv"].content == table.content
    assert "profile" in json.loads(text) and json.loads(text)["profile"] is None
