"""What stands at the edge of what can be typed or named: one line each, and no traceback."""

from __future__ import annotations

import json
import logging
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from app import cli
from app.render import parts_of, terminal_table
from app.tables import Table, to_csv
from app.words import NO_ACCURACY_MODEL
from tests.app.command import one_line, planner
from tests.planner.builders import chain, cluster

TWO = {
    "schema_version": 1,
    "name": "two-sources",
    "model": "mobilenetv2-256",
    "cluster": "jetson-tx2-wifi",
    "split": "macs",
    "send": "blocking",
    "medium": "full_duplex",
    "seed": 1,
}


def scenario(folder: Path, arrivals: dict[str, Any], **fields: Any) -> str:
    document = {**TWO, "sources": [{"node": "tx2-1", "arrivals": arrivals}], **fields}
    path = folder / "scenario.json"
    path.write_text(json.dumps(document))
    return str(path)


POISSON = {"kind": "poisson", "rate_per_s": 5.0, "total": 100}


@pytest.mark.parametrize(
    ("arrivals", "fields", "words"),
    [
        (
            POISSON | {"rate_per_s": 1000.0, "total": 10**9},
            {},
            "total: found 1000000000; input should be less than or equal to 5000000",
        ),
        (
            POISSON | {"rate_per_s": 1e29, "total": None},
            {"horizon_s": 1e29},
            "at most 5,000,000 are simulated",
        ),
        (
            POISSON,
            {"drift": [{"at_s": 0, "compute_factor": 1e-300}]},
            "drift[0].compute_factor: found 1e-300; input should be 1e-30 or more",
        ),
        (
            POISSON,
            {"drift": [{"at_s": 0, "bandwidth_factor": 1e300}]},
            "drift[0].bandwidth_factor: found 1e+300; input should be less than 1e+30",
        ),
        (POISSON | {"rate_per_s": 5e-324}, {}, "rate_per_s: found 5e-324"),
        (POISSON | {"total": 6000}, {"replications": 1000}, "6,000,000 inputs together; at most"),
        ({"kind": "trace", "file": "a\x1b[31m\nb"}, {}, r"found 'a\x1b[31m\nb'"),
        ({"kind": "trace", "file": "nul\0.csv"}, {}, "embedded null byte"),
        ({"kind": "trace", "file": "n" * 256}, {}, "no such file beside the scenario"),
    ],
)
def test_a_scenario_at_the_edge(
    tmp_path: Path, arrivals: dict[str, Any], fields: dict[str, Any], words: str
) -> None:
    done = planner("simulate", scenario(tmp_path, arrivals, **fields))
    assert done.code == 2
    assert words in one_line(done)


def test_a_drift_within_the_edge_is_simulated(tmp_path: Path) -> None:
    for factor in (1e-29, 1e29):
        drift = [{"at_s": 0, "compute_factor": factor}]
        words = ("--policy", "local", "--format", "json")
        done = planner("simulate", scenario(tmp_path, POISSON, drift=drift), *words)
        assert done.code == 0, done.err
        found = json.loads(done.out)
        bound, made = found["limit"]["makespan_s"], found["policies"][0]["makespan_s"]
        assert 0 < bound <= made


@pytest.mark.parametrize("content", [b"\0", b"# seconds\n5.0\n\0\n"])
def test_a_scenario_that_is_a_trace_or_holds_nul(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    done = planner("simulate", str(tmp_path / "x.json"))
    assert done.code == 2 and "line 1, column 1 is not JSON" in one_line(done)


def test_times_with_a_nul_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "times.csv"
    path.write_bytes(b"layer,device_type,seconds\n\0,x,1\n")
    done = planner("profile", "resnet50", "--attach", str(path))
    assert done.code == 2 and r"'\x00' is not in resnet50" in one_line(done)


SECRET = "root:x:0:0:the secret"


@pytest.mark.parametrize("link", [False, True])
def test_a_scenario_reads_its_own_folder_alone(tmp_path: Path, link: bool) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (outside / "times.csv").write_text("1\n2\n")
    (outside / "passwd.txt").write_text(SECRET)
    for name in ("times.csv", "passwd.txt"):
        where = str(outside / name)
        if link:
            (inside / name).symlink_to(where)
            where = name
        path = scenario(inside, {"kind": "trace", "file": where})
        done = planner("simulate", path)
        assert done.code == 2 and "outside of the scenario's folder" in one_line(done)
        done = planner("simulate", path, "--policy", "local", "--allow-dir", str(outside))
        if name == "times.csv":
            assert done.code == 0, done.err
        else:
            assert done.code == 2 and "line 1: is no time in seconds" in one_line(done)
        assert SECRET not in done.err and "root" not in done.err


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": "os:getcwd"}, "model: found 'os:getcwd'; no model of the catalogue and no such"),
        ({"model": "../net.json"}, "model: found '../net.json', which lies outside"),
        ({"cluster": "/etc/hostname"}, "cluster: found '/etc/hostname', which lies outside"),
        ({"cluster": "none.json"}, "cluster: found 'none.json'; no cluster of the catalogue"),
    ],
)
def test_a_scenario_names_no_code_and_no_other_file(
    tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    (tmp_path / "net.json").write_text(chain(4).model_dump_json())
    folder = tmp_path / "in"
    folder.mkdir()
    done = planner("simulate", scenario(folder, POISSON, **fields))
    assert done.code == 2 and words in one_line(done)


def test_files_beside_a_scenario_are_its_own(tmp_path: Path) -> None:
    two = cluster(2)
    (tmp_path / "net.json").write_text(chain(4).model_dump_json())
    (tmp_path / "two.json").write_text(two.model_dump_json())
    sources = [{"node": two.nodes[0].name, "arrivals": POISSON}]
    path = scenario(tmp_path, {}, model="net.json", cluster="two.json", sources=sources)
    assert planner("simulate", path, "--policy", "local").code == 0


@pytest.mark.parametrize("suffix", ["onnx", "pt2", "json"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "endless"])
def test_what_is_no_file_is_no_model(tmp_path: Path, suffix: str, kind: str) -> None:
    path = tmp_path / f"x.{suffix}"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    for words in (
        ["profile", str(path)],
        ["plan", "resnet50", "--cluster", str(path)],
        ["plan", "resnet50", "--accuracy-model", f"csv:{path}"],
        ["plan", "resnet50", "--accuracy-model", f"energy:{path.with_suffix('.onnx')}"],
        ["simulate", str(path)],
        ["export", str(path), "--to", str(tmp_path / "out")],
        ["measure", "fit", str(path)],
    ):
        done = planner(*words)
        assert done.code == 2, words
        assert "folder or a device" in one_line(done) or "no such file" in one_line(done)


@pytest.mark.parametrize("name", ["a" * 5000, "a/" * 3000, "a" * 300 + ":b", "\udcff.onnx"])
def test_no_name_is_too_long(tmp_path: Path, name: str) -> None:
    for words in (
        ["profile", name, "--input-shape", "x=1,2"],
        ["plan", "resnet50", "--cluster", name],
        ["simulate", name],
        ["export", name, "--to", str(tmp_path / "out")],
        ["plan", "resnet50", "--accuracy-model", f"csv:{name}"],
        ["profile", "resnet50", "--attach", name],
    ):
        done = planner(*words)
        assert done.code == 2, words
        assert one_line(done).isprintable()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--batch", "1_000"], "--batch"),
        (["--message-bits", "1_6"], "--message-bits"),
        (["--bandwidth", "1_0MB/s"], "--bandwidth"),
        (["--bandwidth", "5e-324"], "from 1e-30 to below 1e+30"),
        (["--compute", "1e308"], "from 1e-30 to below 1e+30"),
        (["--max-latency", "1e308s"], "from 1e-30 to below 1e+30"),
        (["--min-throughput", "1e308"], "min_throughput_per_s: found 1e+308"),
        (["--max-accuracy-drop", "1e308"], "max_accuracy_drop: found 1e+308"),
        (["--input-shape", f"image={'9' * 5000}"], "give NAME=DIM,DIM"),
        (
            ["--input-shape", "image=1,3,9,9", "--input-shape", "image=1,3,8,8"],
            "give each input once",
        ),
        (["--input-type", "x=int64", "--input-type", "x=int32"], "'x' was given before"),
        (["--input-shape", "image=1,3,0,224"], "found the shape 1,3,0,224"),
    ],
)
def test_numbers_at_the_edge(words: list[str], found: str) -> None:
    done = planner("plan", "resnet50", *words)
    assert done.code == 2 and found in one_line(done)


def test_repeated_numbers_have_digits_as_well() -> None:
    done = planner("compare", "resnet50", "--nodes", "2", "--nodes", "0_2")
    assert done.code == 2 and "found '0_2'" in one_line(done)


@pytest.mark.parametrize("objective", ["latency", "throughput"])
@pytest.mark.parametrize("bandwidth", ["1e-29", "1e-12", "1e3", "9e29"])
@pytest.mark.parametrize("compute", ["1e-29", "1e3", "9e29"])
def test_the_integer_program_agrees_at_every_scale(
    tmp_path: Path, objective: str, bandwidth: str, compute: str
) -> None:
    (tmp_path / "net.json").write_text(chain(4, 4).model_dump_json())
    (tmp_path / "two.json").write_text(cluster(2).model_dump_json())
    given = f"--bandwidth {bandwidth} --compute {compute} --objective {objective} --sparsity 0.5"
    best = []
    for solver in ("auto", "ilp"):
        done = planner(
            *["plan", str(tmp_path / "net.json"), "--cluster", str(tmp_path / "two.json")],
            *[*given.split(), "--solver", solver, "--format", "json"],
        )
        assert done.code == 0, done.err
        predicted = json.loads(done.out)["predicted"]
        best.append(predicted["latency_s" if objective == "latency" else "throughput_per_s"])
    assert best[0] == pytest.approx(best[1], rel=1e-6)


NAME = "net\x1b[31m\u202eevil\x07"
ESCAPED = r"net\x1b[31m\u202eevil\x07"


def test_no_name_steers_a_terminal(tmp_path: Path) -> None:
    net = chain(4).model_copy(update={"name": NAME})
    layers = tuple(x.model_copy(update={"op": NAME}) for x in net.layers)
    (tmp_path / "net.json").write_text(net.model_copy(update={"layers": layers}).model_dump_json())
    for words in (["profile"], ["profile", "--view", "flat"], ["plan"], ["compare"]):
        for shape in ("table", "csv", "json"):
            done = planner(words[0], str(tmp_path / "net.json"), *words[1:], "--format", shape)
            assert done.code == 0, done.err
            assert all(c.isprintable() or c == "\n" for c in done.out + done.err)
    assert ESCAPED in planner("profile", str(tmp_path / "net.json")).out


def test_a_csv_holds_nothing_that_steers() -> None:
    assert to_csv(Table("t", ("name",), ((NAME,), ("=1\x1b",)))) == (f"name\n{ESCAPED}\n'=1\\x1b\n")


def test_what_libraries_say_to_developers_stays_off_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def chatters(*_: Any, **__: Any) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.warn("divide by zero", RuntimeWarning, stacklevel=1)
        logging.getLogger("fvcore").warning("unsupported operator")
        return 0

    monkeypatch.setattr(cli, "cli", chatters)
    before = logging.root.manager.disable
    done = planner("plan", "resnet50")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert logging.root.manager.disable == before


WIDE = Table(
    "wide",
    ("name", *(f"column {k} (ms)" for k in range(12)), "note"),
    (("first", *range(12), "x" * 10), ("second", *range(12), "long words " * 20)),
)


@pytest.mark.parametrize("width", [40, 80, 300])
def test_columns_that_do_not_fit_stand_below_each_other(width: int) -> None:
    console = Console(width=width)
    parts = parts_of(WIDE, console)
    assert [x for part in parts for x in part.columns[1:]] == list(WIDE.columns[1:])
    assert [part.title for part in parts] == ["wide", *[""] * (len(parts) - 1)]
    assert (len(parts) == 1) == (width == 300)
    for part in parts:
        assert part.columns[0] == "name" and [row[0] for row in part.rows] == ["first", "second"]
        lines = console.render_lines(terminal_table(part))
        text = ["".join(segment.text for segment in line).rstrip() for line in lines]
        assert max(map(len, text)) <= width and "…" not in "".join(text)


def test_a_module_that_fails_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fails_at_once.py").write_text("raise RuntimeError('no luck')")
    Path("fails_when_called.py").write_text("def net():\n    return 1 / 0")
    for name, words in (
        ("fails_at_once:net", "RuntimeError: no luck"),
        ("fails_when_called:net", "ZeroDivisionError: division by zero"),
        ("../up:net", "TypeError"),
    ):
        done = planner("profile", name, "--input-shape", "x=1,2")
        assert done.code == 2 and words in one_line(done)


def test_the_words_of_the_command_line_are_fields_on_the_page() -> None:
    from app.page.show import on_page

    assert "--accuracy-model" in NO_ACCURACY_MODEL
    assert on_page(NO_ACCURACY_MODEL).endswith("choose one (“Accuracy model”)")
    said = on_page("input 'x' declares no shape; give one, such as --input-shape x=1,3,224,224")
    assert said.endswith("such as “Input shapes” x=1,3,224,224")
    assert on_page("allow more (--time-limit)") == "allow more (“planner app --time-limit”)"
    assert on_page("--no-such-flag -- x--y") == "--no-such-flag -- x--y"


def test_a_file_that_is_read_is_not_written_over(tmp_path: Path) -> None:
    saved, csv = tmp_path / "net.json", tmp_path / "losses.csv"
    assert planner("profile", "mobilenetv2-224", "-o", str(saved)).code == 0
    csv.write_text("layer,sparsity,loss\n")
    for words in (
        ("plan", str(saved), "-o", str(saved)),
        ("plan", str(saved), "--accuracy-model", f"csv:{csv}", "-o", str(csv)),
    ):
        before = Path(words[-1]).read_bytes()
        done = planner(*words)
        assert done.code == 2
        assert "is a file that the command reads; name another" in one_line(done)
        assert Path(words[-1]).read_bytes() == before


def test_a_file_that_is_called_like_a_model_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert planner("profile", "mobilenetv2-224", "-o", "mobilenetv2-224").code == 0


def test_an_empty_word_names_no_folder(plan_file: Path) -> None:
    for words in (
        ("slice", str(plan_file), "--to", ""),
        ("export", str(plan_file), "--to="),
        ("run", str(plan_file), "--local", "--output-dir", ""),
        ("profile", "resnet50", "-o", ""),
        ("export", "", "--to", "out"),
    ):
        done = planner(*words)
        assert done.code == 2 and "found nothing; name a file or a folder" in one_line(done)


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    """A plan of no catalogue model: what cannot be sliced without --model."""
    for name, document in (("net", chain(8, 8)), ("two", cluster(2))):
        (tmp_path / f"{name}.json").write_text(document.model_dump_json())
    path = tmp_path / "plan.json"
    words = ("plan", str(tmp_path / "net.json"), "-c", str(tmp_path / "two.json"))
    assert planner(*words, "-o", str(path)).code == 0
    return path


@pytest.mark.parametrize(
    "words", [("slice", "--to"), ("export", "--to"), ("run", "--local", "--output-dir")]
)
def test_folders_are_tried_first_and_made_last(
    plan_file: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    command, *options = words
    (tmp_path / "file").write_text("")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    for name in ("file", "file/new", "nowhere/new", "n" * 256):
        done = planner(command, str(plan_file), *options, str(tmp_path / name))
        assert done.code == 2 and "cannot be made or written into: " in one_line(done)
    done = planner(command, str(plan_file), *options, str(tmp_path / "new" / "deep"))
    assert (done.code == 0) == (command == "export")
    assert (tmp_path / "new").exists() == (command == "export")
