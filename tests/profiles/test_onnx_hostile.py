"""Files that mean harm, and readers that die: one plain line each, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent

import onnx
import pytest
from onnx import TensorProto, helper

from planner.errors import BadInputError
from profiles.from_onnx.frontend import profile_onnx
from profiles.sandbox import Limits, run_limited
from profiles.strangers import MAX_MODEL_BYTES
from tests.processor_time import HANG_S, at_most, process_s
from tests.profiles import onnx_models
from tests.profiles.hostile_onnx import HARMLESS, PATIENT, REFUSED
from tests.profiles.onnx_models import file, node, small_net, weight

REPO = Path(__file__).parents[2]
TEMP = Path(tempfile.gettempdir())


def readers(caller: int) -> list[int]:
    """Processes that read a file for the caller, and its dead ones that nobody waited for."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if f'"parent": {caller},'.encode() in command or (state, parent) == ("Z", str(caller)):
            found.append(int(folder.name))
    return found


def refused(data: bytes, limits: Limits | None = None) -> str:
    """The message for a file that is refused, held against what all messages promise."""
    with pytest.raises(BadInputError) as caught:
        profile_onnx(data, name="model", source="/home/someone/model.onnx", limits=limits)
    message = str(caught.value)
    assert message.startswith("model.onnx: ")
    assert message.isprintable()
    assert len(message) < 500
    assert "Traceback" not in message
    for place in (sys.prefix, str(REPO), str(Path(onnx.__file__).parent), "/home", ".py", ".cc"):
        assert place not in message
    assert readers(os.getpid()) == []
    return message


def test_the_corpus_is_large() -> None:
    assert len(REFUSED) >= 40


@pytest.mark.parametrize(
    "case",
    [pytest.param(n, marks=pytest.mark.slow if n in PATIENT else ()) for n in REFUSED],
)
def test_hostile_files_are_refused_in_one_line(case: str) -> None:
    build, says = REFUSED[case]
    data = build()
    before = set(TEMP.iterdir())
    with at_most(15):
        message = refused(data, Limits(wall_s=HANG_S))
    assert says in message
    assert "its reader fails" not in message
    assert "crashes" not in message
    assert not any(path.name.startswith("onnx") for path in set(TEMP.iterdir()) - before)


@pytest.mark.parametrize("case", sorted(PATIENT))
def test_limits_end_what_would_take_long(case: str) -> None:
    message = refused(REFUSED[case][0](), Limits(memory_bytes=2**29, cpu_s=3, wall_s=HANG_S))
    assert "of memory to read" in message or "takes more than 3 s" in message


@pytest.mark.parametrize("case", HARMLESS)
def test_what_only_looks_like_harm_is_profiled(case: str) -> None:
    profile = profile_onnx(HARMLESS[case](), name="m", source="m.onnx")
    assert profile.layers


def test_values_are_not_looked_at() -> None:
    model = onnx.load_model_from_string(small_net())
    model.graph.initializer[0].raw_data = b"\xff" * 432  # NaN, 108 times
    profile = profile_onnx(model.SerializeToString(), name="m", source="m.onnx")
    assert profile.totals.macs == 4 * 36 * 27


# External data is never followed, wherever it is.


def outside(name: str, *shape: int) -> onnx.TensorProto:
    tensor = TensorProto(
        name=name, dims=shape, data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL
    )
    for key, value in (("location", "../../etc/passwd"), ("length", "432")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def external_in_a_branch() -> bytes:
    graph = helper.make_graph(
        [node("Add", "x far", "o")],
        "branch",
        [],
        [helper.make_tensor_value_info("o", TensorProto.FLOAT, [1, 3])],
        [outside("far", 1, 3)],
    )
    operator = node("If", "yes", "y", then_branch=graph, else_branch=graph)
    yes = onnx.numpy_helper.from_array(onnx.numpy_helper.np.array(True), "yes")
    return file([operator], {"x": [1, 3]}, "y", [yes])


EXTERNAL: dict[str, Callable[[], bytes]] = {
    "initializer": lambda: file(
        [node("Conv", "x far", "y")], {"x": [1, 3, 8, 8]}, "y", [outside("far", 4, 3, 3, 3)]
    ),
    "constant": lambda: file(
        [node("Constant", "", "w", value=outside("far", 3)), node("Add", "x w", "y")],
        {"x": [1, 3]},
        "y",
    ),
    "branch": external_in_a_branch,
    "function": lambda: file(
        [node("F", "x", "y", domain="own")],
        {"x": [1, 3]},
        "y",
        domains=["own"],
        functions=[
            helper.make_function(
                "own",
                "F",
                ["a"],
                ["b"],
                [node("Constant", "", "w", value=outside("far", 3)), node("Add", "a w", "b")],
                [helper.make_opsetid("", 18)],
            )
        ],
    ),
}


@pytest.mark.parametrize("case", EXTERNAL)
def test_external_data_is_not_looked_at(case: str) -> None:
    profile = profile_onnx(EXTERNAL[case](), name="m", source="m.onnx")
    assert "kept in other files, which were not read" in profile.provenance.note
    assert "passwd" not in profile.model_dump_json()
    assert profile.totals.params == (108 if case == "initializer" else 3)


# Limits


def test_a_shape_bomb_meets_the_memory_limit() -> None:
    data = onnx_models.doubling_shape(40)
    assert len(data) < 2_500
    assert "needs more than 2 GiB of memory to read" in refused(data)


def test_a_large_file_meets_the_memory_limit() -> None:
    data = file([node("MatMul", "x w", "y")], {"x": [1, 2**20]}, "y", [weight("w", 2**20, 32)])
    message = refused(data, Limits(memory_bytes=2**28))
    assert "needs more than 0.25 GiB of memory to read" in message


def test_a_file_over_the_size_limit_is_not_even_sent() -> None:
    data = bytes(MAX_MODEL_BYTES + 1)
    assert "is larger than 512 MiB" in refused(data)


def test_the_time_limit() -> None:
    with at_most(5):
        message = refused(onnx_models.exploding_functions(40), Limits(wall_s=1.5))
    assert "takes more than 1.5 s to read" in message


def test_the_processor_time_limit() -> None:
    message = refused(onnx_models.exploding_functions(40), Limits(cpu_s=1, wall_s=HANG_S))
    assert "takes more than 1 s of processor time" in message


def test_the_output_limit() -> None:
    assert "larger than 100 B" in refused(small_net(), Limits(output_bytes=100))


# The child process


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Install a reader with the given body; returns the module's name."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(body: str) -> str:
        source = "import os, signal, sys\ndef main(request, data):\n    " + body
        (tmp_path / "odd_reader.py").write_text(source)
        return "odd_reader"

    return install


DEATHS = {
    "os.kill(os.getpid(), signal.SIGSEGV)": "file: crashes its reader (SIGSEGV)",
    "os.abort()": "file: crashes its reader (SIGABRT)",
    "raise MemoryError": "file: needs more than 2 GiB of memory to read",
    "sys.exit(3)": "file: its reader fails (exit status 3)",
    "raise IndexError('/secret/place\\nis here')": "file: its reader fails (IndexError)",
    "open('left', 'wb').write(b'x' * 10**6)": "file: its reader fails (OSError)",
}


@pytest.mark.parametrize("body", DEATHS)
def test_deaths_of_the_child(
    body: str, reader: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(BadInputError) as caught:
        run_limited(reader(body), {}, b"", what="file")
    assert str(caught.value) == DEATHS[body]
    assert readers(os.getpid()) == []
    assert sum(path.stat().st_size for path in Path.cwd().iterdir()) == 0


def test_what_a_reader_prints_is_no_answer(reader: Callable[[str], str]) -> None:
    module = reader("os.write(1, b'{}'); print('noise'); return [request, len(data)]")
    data = bytes(3_000_000)  # more than a pipe holds, while the child also writes
    assert run_limited(module, {"a": 1}, data, what="file") == [{"a": 1}, 3_000_000]


def test_the_limits_hold_before_the_reader_is_imported(
    tmp_path: Path, reader: Callable[[str], str]
) -> None:
    module = reader("return LIMITS")
    path = tmp_path / "odd_reader.py"
    kinds = "RLIMIT_AS RLIMIT_CPU RLIMIT_CORE RLIMIT_FSIZE"
    listed = f"LIMITS = [resource.getrlimit(getattr(resource, n))[0] for n in {kinds!r}.split()]"
    path.write_text(f"import resource\n{listed}\n{path.read_text()}")
    limits = Limits(memory_bytes=10**9, cpu_s=7)
    assert run_limited(module, {}, b"", what="file", limits=limits) == [10**9, 7, 0, 0]


def test_threads_may_read_at_once() -> None:
    def read(number: int) -> int:
        return profile_onnx(small_net(), name=f"m{number}", source="m.onnx").totals.macs

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(read, range(6))) == [4 * 36 * 27] * 6
    assert readers(os.getpid()) == []


def test_a_module_in_the_current_folder_is_not_taken(tmp_path: Path) -> None:
    for name in ("onnx", "numpy", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken from the current folder')")
    (tmp_path / "model").write_bytes(small_net())
    program = f"""
        import sys
        sys.path.remove("")
        sys.path.insert(0, {str(REPO)!r})
        from profiles.from_onnx.frontend import profile_onnx
        sys.path.insert(0, "")  # as an interactive session has it
        data = open("model", "rb").read()
        print(profile_onnx(data, name="m", source="m").totals.macs)
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(program)],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (f"{4 * 36 * 27}\n", "")


@pytest.fixture
def busy_caller(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process whose child has work for a minute."""
    (tmp_path / "model").write_bytes(onnx_models.exploding_functions(40))
    program = f"""
        import sys
        sys.path.insert(0, {str(REPO)!r})
        from profiles.from_onnx.frontend import profile_onnx
        from profiles.sandbox import Limits
        data = open({str(tmp_path / "model")!r}, "rb").read()
        profile_onnx(data, name="m", source="m", limits=Limits(cpu_s=60, wall_s=60))
    """
    with subprocess.Popen(
        [sys.executable, "-c", dedent(program)], stderr=subprocess.PIPE, text=True
    ) as caller:
        yield caller
        caller.kill()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_child_ends_with_its_caller(
    busy_caller: subprocess.Popen[str], sign: signal.Signals
) -> None:
    deadline = time.monotonic() + HANG_S
    while not (found := readers(busy_caller.pid)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.5)  # into the work
    os.kill(busy_caller.pid, sign)
    begun = sum(map(process_s, found))
    while left := readers(busy_caller.pid):
        assert sum(map(process_s, left)) - begun < 10
        assert time.monotonic() < deadline
        time.sleep(0.02)
    busy_caller.wait(HANG_S)
