"""The built wheel works on its own: installed elsewhere, in an empty folder, without any extra."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import venv
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest

from tests.packaging.distributions import modules_outside, required
from tests.processor_time import HANG_S

REPO = Path(__file__).parents[2]
PACKAGES = ("planner", "profiles", "app")


@dataclass(frozen=True)
class Installed:
    """The wheel in an environment of its own, and an empty folder to run in."""

    site: Path
    bin: Path
    folder: Path

    def environment(self) -> dict[str, str]:
        """The caller's variables, less those that lead Python or Streamlit elsewhere."""
        own = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "STREAMLIT_", "VIRTUAL_ENV", "DISPLAY"))
        }
        return own | {
            "HOME": str(self.folder.parent),
            "PATH": f"{self.bin}{os.pathsep}{own['PATH']}",
        }

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.bin / program, *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
        )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by way of the source archive, so that both are complete."""
    target = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", target, REPO]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = target.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel alone in a fresh environment that borrows this one's dependencies.

    The borrowed folder comes after the environment's own, and the files in it that put the
    checkout on the path of an editable install are not read. What the wheel does not require
    (torch, the test tools) is hidden by modules that cannot be imported.
    """
    root = tmp_path_factory.mktemp("installed")
    venv.create(root / "env", with_pip=False)
    scheme = {"base": str(root / "env"), "platbase": str(root / "env")}
    site = Path(sysconfig.get_path("purelib", "venv", vars=scheme))
    pip = [sys.executable, "-m", "pip", "--python", root / "env"]
    subprocess.run([*pip, "install", "--quiet", "--no-index", "--no-deps", wheel], check=True)
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (project,) = metadata.distributions(path=[str(site)])
    for name in modules_outside(required(project.requires or [])) - set(PACKAGES):
        (site / f"{name}.py").write_text(f"raise ModuleNotFoundError('no {name}', name='{name}')\n")
    folder = root / "empty"
    folder.mkdir()
    return Installed(site, Path(sysconfig.get_path("scripts", "venv", vars=scheme)), folder)


def test_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    expected = {
        path.relative_to(REPO).as_posix()
        for package in PACKAGES
        for path in (REPO / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == expected
    assert {f"{package}/__init__.py" for package in PACKAGES} <= packed
    assert any(name.startswith("profiles/library/") and name.endswith(".json") for name in packed)


def test_imported_packages_are_the_installed_ones(installed: Installed) -> None:
    code = """
import json, sys
import planner, profiles, app
from importlib import metadata
print(json.dumps({
    "files": [module.__file__ for module in (planner, profiles, app)],
    "metadata": str(metadata.distribution("disco-planner").locate_file("")),
    "path": sys.path,
}))
"""
    done = installed.run("python", "-c", code)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for package, file in zip(PACKAGES, found["files"], strict=True):
        assert Path(file) == installed.site / package / "__init__.py"
    assert Path(found["metadata"]) == installed.site
    assert str(REPO) not in found["path"]


def test_environment_lacks_what_the_wheel_does_not_require(installed: Installed) -> None:
    for module in ("torch", "transformers", "pytest"):
        done = installed.run("python", "-c", f"import {module}")
        assert f"ModuleNotFoundError: no {module}" in done.stderr


def test_help_lists_the_commands(installed: Installed) -> None:
    done = installed.run("planner", "--help")
    assert done.returncode == 0, done.stderr
    assert "plan" in done.stdout
    assert "app" in done.stdout


def test_plan_of_a_catalogue_model_is_proven_optimal(installed: Installed) -> None:
    done = installed.run(
        *("planner", "plan", "resnet50", "--cluster", "head-mounted"),
        *("--nodes", "2", "--format", "json"),
    )
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["certificate"]["status"] == "optimal"
    assert plan["predicted"]["latency_s"] > 0
    assert {node for stage in plan["stages"] for node in stage["nodes"]}


def test_app_answers_on_its_port(installed: Installed, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path / "app.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [installed.bin / "planner", "app", "--port", str(port)],
            cwd=installed.folder,
            env=installed.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        assert wait_for(f"http://127.0.0.1:{port}/_stcore/health", server) == 200, log.read_text()
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=HANG_S)


def wait_for(url: str, server: subprocess.Popen[bytes]) -> int | None:
    """The status of the first answer; None where the server ends or stays silent."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + HANG_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with direct.open(url, timeout=5) as answer:
                return int(answer.status)
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    return None
