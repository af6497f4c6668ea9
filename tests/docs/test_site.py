"""The documentation as a site: built without a warning, complete, readable without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.processor_time import HANG_S

ROOT = Path(__file__).parents[2]
FETCHED = re.compile(r"""(?:\bsrc=|<link[^>]*\bhref=|url\(|@import )["']?(?:https?:)?//""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning, such as of a link that leads nowhere, fails every test here."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", target]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=HANG_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def test_every_page_is_there_and_fetches_nothing(site: Path) -> None:
    pages = {path.with_suffix(".html").name for path in (ROOT / "docs").glob("*.md")}
    assert pages - {"README.html"} | {"index.html"} <= {path.name for path in site.glob("*.html")}
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        assert not FETCHED.search(path.read_text(encoding="utf-8")), path


def test_every_public_module_is_in_the_reference(site: Path) -> None:
    made = {path.relative_to(site / "api").with_suffix("") for path in site.glob("api/**/*.html")}
    modules = {
        (path.parent / "index" if path.stem == "__init__" else path.with_suffix("")).relative_to(
            ROOT
        )
        for path in (ROOT / "planner").rglob("*.py")
    }
    public = {path for path in modules if not any(part.startswith("_") for part in path.parts)}
    assert {path for path in made if path.parts[0] == "planner"} == public
    assert {Path("profiles/sources"), Path("profiles/from_onnx/frontend")} <= made
    assert Path("profiles/from_onnx/emitter") not in made
    page = (site / "api/planner/cost/exchange.html").read_text(encoding="utf-8")
    assert "planner.cost.exchange.bytes_on_wire" in page
    assert not re.search(r'id="planner\.[\w.]*\._[a-z]', page)


def test_files_outside_of_the_documentation_are_copied(site: Path) -> None:
    for name in ("examples/policies.py", "benchmarks/simulation.txt"):
        assert (site / name).read_bytes() == (ROOT / name).read_bytes()
    listed = (site / "schemas/index.html").read_text(encoding="utf-8")
    for schema in (ROOT / "docs/schemas").glob("*.json"):
        assert f'href="{schema.name}"' in listed
        assert (site / "schemas" / schema.name).read_bytes() == schema.read_bytes()


@pytest.mark.parametrize("name", ["model", "accuracy"])
def test_every_equation_is_drawn_beside_its_number(site: Path, browser: Browser, name: str) -> None:
    source = (ROOT / f"docs/{name}.md").read_text(encoding="utf-8")
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto((site / f"{name}.html").as_uri())
    assert page.locator(".arithmatex").count() == 0
    assert page.locator("div.equation svg").count() == source.count("$$") / 2
    numbers = page.locator("div.equation .number")
    assert numbers.all_inner_texts() == [
        f"({tag})" for tag in re.findall(r"\\tag\{(\w+)\}", source)
    ]
    # Every glyph that is used is defined, and no equation is wider than its column.
    trouble = page.evaluate("""() => [
        ...[...document.querySelectorAll('.equation use')]
            .map(use => use.getAttribute('href'))
            .filter(name => !document.getElementById(name.slice(1))),
        ...[...document.querySelectorAll('div.equation')]
            .filter(one => one.scrollWidth > one.clientWidth + 1)
            .map(one => one.innerHTML.slice(0, 200)),
    ]""")
    assert trouble == []
    assert all(url.startswith("file:") for url in requests)
    page.close()
