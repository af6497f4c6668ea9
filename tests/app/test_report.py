"""``planner report``: one file that fetches nothing, and a picture made without a browser."""

from __future__ import annotations

import io
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from app.report import report_html, report_png
from planner.case import Case
from planner.domain.plan import Plan
from planner.domain.request import Request
from planner.strategies.optimise import optimise
from planner.strategies.timeline import busiest, node_times
from profiles.catalog import load_model
from tests.app.command import one_line, planner
from tests.planner.builders import chain, cluster

VOID = {"meta", "rect", "line"}


class Strict(HTMLParser):
    """Refuses what is not closed, and keeps what is said and what would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.said: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not {name for name, _ in attrs} & {"src", "href", "onload", "onclick"}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def read(page: str) -> tuple[str, set[str]]:
    parser = Strict()
    parser.feed(page)
    assert not parser.open
    return " ".join(" ".join(parser.said).split()), parser.tags


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "plan.json"
    done = planner("plan", "resnet50", "--max-nodes", "4", "-o", str(path))
    assert done.code == 0
    return path


def test_a_report_says_what_the_plan_says_and_needs_nothing_else(saved: Path) -> None:
    file = saved.with_name("answer.html")
    done = planner("report", str(saved), "-o", str(file))
    assert (done.code, done.out, done.err) == (0, "", f"wrote {file}\n")
    page = file.read_text(encoding="utf-8")
    told, tags = read(page)
    assert len(page) < 100_000 and "script" not in tags and "link" not in tags
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)
    plan = Plan.model_validate_json(saved.read_text(encoding="utf-8"))
    assert plan.next_steps is not None
    for words in (
        "4 nodes, split by rows, no training: 309 ms, 3.5× faster than one; with training at "
        "0.5 points: 123 ms, 8.9×.",
        "busiest",
        "27% of the work",
        "Training at 0.5 points: 123 ms, 187 ms less --max-accuracy-drop 0.5",
        "resnet.encoder.stages.2",
        "Scope: contiguous stages",
        "3.75 GOP/s",
        plan.digest[:12],
    ):
        assert words in told
    times = node_times(Case(load_model("resnet50"), plan.cluster, plan.settings), plan)
    assert f"{busiest(times).node} computes 294 ms, sends 14.9 ms" in told


def test_a_picture_is_drawn_without_a_browser(saved: Path) -> None:
    file = saved.with_name("answer.png")
    assert planner("report", str(saved), "-o", str(file)).code == 0
    image = Image.open(file)
    image.load()
    assert image.format == "PNG" and image.width >= 1200 and image.height >= 800
    colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20) or ()}
    assert {(0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2), (0x8A, 0x1C, 0x5C)} <= colours
    assert image.info["Title"] == "resnet50 on small-nodes"
    assert image.info["Description"].startswith("4 nodes, split by rows")


def test_names_are_text_and_nothing_else() -> None:
    group = cluster([1e6, 1e6], bandwidth_bytes_per_s=3e5)
    name = '"><script>alert(1)</script>\x1b'
    nodes = (group.nodes[0].model_copy(update={"name": name}), group.nodes[1])
    named = group.model_copy(update={"nodes": nodes, "name": "<b>mine</b>"})
    profile = chain(16, 32, 32, 16).model_copy(update={"name": "<i>net</i>"})
    case = Case(profile, named)
    plan = optimise(case, Request(2, exactly=True))
    page = report_html(case, plan)
    told, tags = read(page)
    assert "script" not in tags and not {"b", "i"} & tags
    assert "<i>net</i> on <b>mine</b>" in told and "\x1b" not in page
    assert "was not asked for" in told
    assert Image.open(io.BytesIO(report_png(case, plan))).format == "PNG"


def test_what_cannot_be_reported_is_refused_in_one_line(saved: Path, tmp_path: Path) -> None:
    def refused(*words: str) -> str:
        done = planner("report", *words)
        assert done.code == 2
        return one_line(done)

    assert "give a file ending in .html or .png" in refused(
        str(saved), "-o", str(tmp_path / "a.pdf")
    )
    assert "is a file that the command reads" in refused(str(saved), "-o", str(saved))
    page = str(tmp_path / "a.html")
    assert "layer " in refused(str(saved), "-o", page, "--model", "resnet50-half")
    renamed = tmp_path / "own.json"
    text = saved.read_text(encoding="utf-8").replace('"name": "resnet50"', '"name": "own"')
    renamed.write_text(text, encoding="utf-8")
    assert "--model: the plan is for 'own'" in refused(str(renamed), "-o", page)
    assert planner("report", str(renamed), "-o", page, "--model", "resnet50").code == 0


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["own net.json"], "planner report plan.json --model 'own net.json'"),
        (["resnet50-eighth", "--batch", "2"], "planner report plan.json --batch 2"),
        (
            ["resnet50-eighth", "--input-shape", "image=1,3,64,64", "--weight-bits", "8.5"],
            "planner report plan.json --input-shape image=1,3,64,64 --weight-bits 8.5",
        ),
        (["resnet50-eighth"], "planner report plan.json"),
    ],
)
def test_the_command_that_is_shown_makes_the_report(
    typed: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = load_model("resnet50-eighth").model_copy(update={"name": "own"})
    Path("own net.json").write_text(own.model_dump_json(), encoding="utf-8")
    done = planner("plan", *typed, "--nodes", "2", "--no-next-steps", "-o", "plan.json")
    assert done.code == 0, done.err
    shown = done.out.splitlines()[-1]
    assert shown.removeprefix("Every layer: --layers. To keep it: -o plan.json, then").strip() == (
        words
    )
    reported = planner(*shlex.split(words)[1:])
    assert reported.code == 0, reported.err
    assert Path("report.html").exists()
