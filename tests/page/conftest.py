"""A running page, and small ONNX files to upload to it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from playwright.sync_api import Browser

from app.page import asking, current, model_choice, progress
from tests.page.visiting import ONE_PASS, Visit
from tests.processor_time import HANG_S

REPO = Path(__file__).parents[2]
OURS = re.compile(r"app/page(?!/look\.py\", line \d+, in __call__)|app/\w+\.py|planner/|profiles/")
"""A file of ours in a traceback, but for what every request passes, faults of Streamlit as well."""

OnnxNet = Callable[..., bytes]

PLAN_S = 15.0
"""For a plan, on a busy machine as well; what nothing fits is explained for no longer."""


@pytest.fixture(autouse=True)
def _waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every run of the page's script wait for its results, however slow the machine is.

    What begins only once a visitor lingers is not begun; see `lingering`.
    """
    monkeypatch.setattr(current, "PLAN_PATIENCE_S", HANG_S)
    monkeypatch.setattr(model_choice, "READ_PATIENCE_S", HANG_S)
    monkeypatch.setattr(progress, "PATIENCE_S", HANG_S)
    monkeypatch.setattr(progress, "SETTLE_S", HANG_S)
    monkeypatch.setitem(asking._served, "time_limit_s", PLAN_S)


@pytest.fixture
def lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every run wait as well for what begins only once a visitor lingers."""
    monkeypatch.setattr(progress, "SETTLE_S", 0.0)


@pytest.fixture(scope="session")
def page_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The what-if page as `planner app` serves it, stopped at the session's end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("page") / "server.log"
    command = [sys.executable, "-c", "from app.cli import main; main()", "app", "--headless"]
    with log.open("w") as output:
        server = subprocess.Popen(
            # of a busy machine no test may fail: a plan has all the time that it needs
            [*command, "--port", str(port), "--time-limit", str(HANG_S)],
            cwd=REPO,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(REPO)},
        )
    try:
        address = f"http://127.0.0.1:{port}"
        assert _answers(f"{address}/_stcore/health", server), log.read_text()
        yield address
    finally:
        server.terminate()
        server.wait(timeout=HANG_S)
    with pytest.raises(urllib.error.URLError):
        _open(address)
    # Streamlit itself complains of browsers that leave in the middle of a message.
    assert not OURS.search(log.read_text())


def _answers(url: str, server: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + HANG_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            _open(url)
            return True
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.1)
    return False


def _open(url: str) -> None:
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5).close()


@pytest.fixture
def visit(browser: Browser, page_address: str) -> Iterator[Callable[..., Visit]]:
    """Open the page; at the end nothing may have gone wrong behind its face."""
    visits = []

    def opened(path: str = "", init: str = "", says: str = ONE_PASS, **context: object) -> Visit:
        context = {"viewport": {"width": 1280, "height": 900}} | context
        page = browser.new_page(**context)
        if init:
            page.add_init_script(init)
        visits.append(Visit(page, page_address, path, says))
        return visits[-1]

    yield opened
    for one in visits:
        one.page.close()
        assert one.trouble == []


@pytest.fixture(scope="session")
def onnx_net() -> OnnxNet:
    """Build the bytes of a network of two convolutions, 405 504 MACs at the default shape."""

    def build(first: str = "first", batch: int | str = 1, second: str = "second") -> bytes:
        rng = np.random.default_rng(0)
        weights = [
            numpy_helper.from_array(rng.random(shape, dtype=np.float32), name)
            for name, shape in (("w1", (16, 3, 3, 3)), ("w2", (8, 16, 3, 3)))
        ]
        nodes = [
            helper.make_node("Conv", ["image", "w1"], ["a"], name=first, pads=[1] * 4),
            helper.make_node("Relu", ["a"], ["b"], name="relu"),
            helper.make_node("Conv", ["b", "w2"], ["out"], name=second, pads=[1] * 4),
        ]
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, 16, 16])
        out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [batch, 8, 16, 16])
        graph = helper.make_graph(nodes, "net", [image], [out], weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        content: bytes = model.SerializeToString()
        return content

    return build
