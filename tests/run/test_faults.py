"""What stops is named, the others end cleanly, and nothing stays behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from planner.errors import BadInputError, NodeLostError
from planner.meeting import Environment
from planner.run.cards import Card
from planner.run.channel import Bound, Gloo
from planner.run.loop import Job
from planner.run.processes import Options, own_version, run_share
from planner.run.share import Share
from profiles.from_torch.saved_slices import load_share
from tests.app.command import one_line, planner
from tests.processor_time import HANG_S
from tests.run.team import ADDRESS, REPO, Team, children, connections, ended, until, written
from tests.runtime import networks
from tests.runtime.cases import traced
from tests.runtime.way_plans import way_plan

NODES = ("n0", "n1", "n2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("slices")
    subject = traced(networks.Residual(), 1, 3, 16, 16)
    plan = way_plan(subject, [[1.0, 2.0], [1.0]], np.random.default_rng(7))
    written(subject, plan, place)
    return place


STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """A test that fails leaves no run behind either: the nodes die with the process above them."""
    yield
    while STARTED:
        process = STARTED.pop()
        process.kill()
        process.communicate()


class LocalRun:
    """`planner run --local` that goes on until something stops it."""

    def __init__(self, folder: Path, place: Path, timeout_s: float) -> None:
        self.outputs, self.temporary = place / "outputs", place / "temporary"
        self.temporary.mkdir(parents=True)
        command = [
            *("-m", "planner.run", str(folder / "plan.json"), "--slices", str(folder), "--local"),
            *("--repeats", "100000", "--timeout-s", str(timeout_s)),
            *("--output-dir", str(self.outputs)),
        ]
        variables = os.environ | {"PYTHONPATH": str(REPO), "TMPDIR": str(self.temporary)}
        self.process = subprocess.Popen(
            [sys.executable, *command],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        STARTED.append(self.process)
        self.nodes: dict[str, int] = {}

    def started(self) -> bool:
        """Whether all nodes have a process."""
        assert self.process.poll() is None, self.process.communicate()
        self.nodes = children(self.process.pid)
        return len(self.nodes) == len(NODES)

    def connected(self) -> bool:
        """Whether all nodes are connected to each other, and to the store twice."""
        return self.started() and all(
            connections(pid) >= 2 + len(NODES) - 1 for pid in self.nodes.values()
        )

    def check_end(self, *named: str) -> str:
        """It ended with one line that names a node, and nothing of it is left."""
        ((code, out, err),) = ended([self.process])
        lines = err.splitlines()
        assert (code, out, len(lines)) == (4, "", 1), (code, out, err)
        assert lines[0].startswith("planner: ") and any(name in lines[0] for name in named), err
        until(lambda: not any(map(alive, self.nodes.values())), "processes are left")
        assert list(self.temporary.iterdir()) == []
        for path in self.outputs.iterdir() if self.outputs.exists() else ():
            assert path.name == "output-0001.safetensors"
        return lines[0]


def alive(process: int) -> bool:
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def kill_a_node(folder: Path, place: Path, rng: random.Random, *, running: bool) -> None:
    run = LocalRun(folder, place, timeout_s=200.0)
    until(run.connected if running else run.started, "the nodes never started")
    time.sleep(rng.uniform(0.0, 2.0))
    victim = rng.choice(NODES)
    os.kill(run.nodes[victim], signal.SIGKILL)
    line = run.check_end(victim)
    assert f"{victim} was killed (SIGKILL)" in line or f"{victim} stopped" in line


@pytest.mark.parametrize("running", [True, False])
def test_a_killed_node_is_named(folder: Path, tmp_path: Path, running: bool) -> None:
    kill_a_node(folder, tmp_path, random.Random(), running=running)


@pytest.mark.slow
@pytest.mark.parametrize("round", range(50))
def test_a_node_killed_at_any_moment_is_named(folder: Path, tmp_path: Path, round: int) -> None:
    kill_a_node(folder, tmp_path, random.Random(round), running=round % 5 > 0)


@pytest.mark.parametrize("victim", ["n1"])
def test_a_node_that_stands_still_is_named(folder: Path, tmp_path: Path, victim: str) -> None:
    run = LocalRun(folder, tmp_path, timeout_s=20.0)
    until(run.connected, "the nodes never connected")
    os.kill(run.nodes[victim], signal.SIGSTOP)
    assert f"{victim} stopped answering" in run.check_end(victim)


def test_nothing_outlives_the_process_that_started_it(folder: Path, tmp_path: Path) -> None:
    run = LocalRun(folder, tmp_path, timeout_s=200.0)
    until(run.connected, "the nodes never connected")
    assert listening(run.process.pid) == {ADDRESS}
    for pid in run.nodes.values():
        assert listening(pid) <= {ADDRESS}
    os.kill(run.nodes["n2"], signal.SIGSTOP)  # not even one that stands still
    run.process.kill()
    run.process.communicate(timeout=HANG_S)
    until(lambda: not any(map(alive, run.nodes.values())), "processes are left")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_told_to_end_takes_all_along(
    folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # under nohup the tests themselves ignore one
    try:
        run = LocalRun(folder, tmp_path, timeout_s=200.0)
    finally:
        signal.signal(number, before)
    until(run.started, "the nodes never started")
    run.process.send_signal(number)
    ((code, out, err),) = ended([run.process])
    assert (code, out, err) == (128 + number, "", f"planner: ended by {number.name}\n")
    assert not any(map(alive, run.nodes.values()))


def test_slices_of_a_trial_go_with_it(folder: Path, tmp_path: Path) -> None:
    command = [
        *("-m", "planner.run", str(folder / "plan.json"), "--local"),
        *("--model", "tests.runtime.networks:Residual", "--input-shape", "x=1,3,16,16"),
    ]
    process = subprocess.Popen(
        [sys.executable, *command],
        env=os.environ | {"PYTHONPATH": str(REPO), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    STARTED.append(process)
    until(lambda: any(tmp_path.glob("planner-slices-*")), "no folder was made")
    process.terminate()
    ((code, _, err),) = ended([process])
    assert (code, err) == (128 + signal.SIGTERM, "planner: ended by SIGTERM\n")
    assert list(tmp_path.iterdir()) == []


def listening(process: int) -> set[str]:
    """Addresses that a process listens on."""
    inodes = set()
    for link in Path(f"/proc/{process}/fd").iterdir():
        try:
            inodes.add(os.readlink(link))
        except OSError:
            continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            row = line.split()
            if row[3] == "0A" and f"socket:[{row[9]}]" in inodes:
                address = row[1].partition(":")[0]
                octets = [str(int(address[at : at + 2], 16)) for at in (6, 4, 2, 0)]
                found.add(".".join(octets) if table == "tcp" else address)
    return found


FAULTY = """
import os, socket, sys, threading, time
from pathlib import Path
from planner.run import loop
from tests.run import worker

what, victim = sys.argv.pop(1), sys.argv.pop(1)
act = loop.Loop._act

def faulty(self, number, values):
    if self._program.node == victim and number == 20:
        if what == "raise":
            raise ArithmeticError("no such number")
        if what == "leave":
            os._exit(9)
        if what == "close":
            close()
    return act(self, number, values)

def close():
    port = int(os.environ["MASTER_PORT"])
    for link in Path("/proc/self/fd").iterdir():
        try:
            one = socket.socket(fileno=os.dup(int(link.name)))
            peers = {one.getpeername()[1], one.getsockname()[1]}
        except OSError:
            continue
        if port not in peers:
            one.shutdown(socket.SHUT_RDWR)

loop.Loop._act = faulty
worker.main()
"""


@pytest.mark.parametrize(
    ("what", "victim", "words"),
    [
        ("raise", "n1", "n1 stopped at"),
        ("leave", "n2", "n2 stopped while"),
        ("close", "n1", "n1"),
    ],
)
def test_others_say_who_failed(
    folder: Path, tmp_path: Path, what: str, victim: str, words: str
) -> None:
    jobs = tmp_path / "jobs.json"
    told = f'{{"folder": "{folder}", "runs": 200, "inputs": 3, "window": 1, "timeout_s": 200}}'
    jobs.write_text(f"[{told}]")
    team = Team(len(NODES))
    found = ended(
        [team.start(rank, ["-c", FAULTY, what, victim, str(jobs)]) for rank in range(len(NODES))]
    )
    for node, (code, _, err) in zip(NODES, found, strict=True):
        if node == victim and what != "close":
            assert code in (1, 9)
        else:
            assert code == 4 and err.startswith("planner: ") and len(err.splitlines()) == 1, err
            assert words in err


@pytest.fixture
def share(folder: Path) -> Share:
    return load_share(folder, "n0")


def alone(share: Share, team: Team, start_s: float = HANG_S) -> None:
    """The first node's process, here."""
    run_share(
        share,
        Job(1),
        lambda _: {},
        lambda *_: None,
        options=Options(start_s=start_s),
        here=Environment(1, team.world, ADDRESS, team.port),
    )


def test_a_node_that_never_came_is_named(share: Share) -> None:
    with pytest.raises(NodeLostError, match=r"n0 \(rank 0\), n2 \(rank 2\) did not answer"):
        alone(share, Team(len(NODES)), start_s=1.0)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda card: replace(card, plan="f" * 64), "slices of another plan than"),
        (lambda card: replace(card, slices="f" * 64), "a slices.json other than"),
        (lambda card: replace(card, version="0.0.0"), r"n0 .*0\.0\.0 .*install one version"),
        (lambda card: replace(card, protocol=99), "protocol 99"),
        (lambda card: replace(card, node="n1"), "rank 0 and rank 1 both run the node 'n1'"),
        (lambda card: replace(card, node="other"), "no process runs the node 'n0'"),
        (None, "runs another version of planner"),
    ],
)
def test_another_version_plan_or_folder_is_refused(
    folder: Path, change: Callable[[Card], Card] | None, line: str
) -> None:
    mine, team = load_share(folder, "n1"), Team(len(NODES))
    for rank, node in ((0, "n0"), (2, "n2")):
        card = Card(node, mine.plan_digest, mine.slices_digest, Job(1), own_version())
        content = card.packed()
        if rank == 0:
            content = change(card).packed() if change else b"hello"
        team.store.set(f"run/card/{rank}", content)
    with pytest.raises(BadInputError, match=line):
        alone(mine, team)


def test_slices_that_were_not_cut_together_are_refused(folder: Path) -> None:
    mine, team = load_share(folder, "n1"), Team(len(NODES))
    for rank, node in ((0, "n0"), (2, "n2")):
        card = Card(node, mine.plan_digest, mine.slices_digest, Job(1), own_version())
        team.store.set(f"run/card/{rank}", card.packed())
        team.store.set(f"run/messages/{rank}", b"\1" * 16 * len(NODES))
    with pytest.raises(BadInputError, match="do not fit each other"):
        alone(mine, team)


def test_too_few_processes_are_refused(share: Share) -> None:
    with pytest.raises(BadInputError, match=r"runs on 3 nodes .* found 2 processes"):
        alone(share, Team(2))


def test_slices_of_another_plan_are_refused(folder: Path, tmp_path: Path) -> None:
    subject = traced(networks.Residual(), 1, 3, 16, 16)
    other = way_plan(subject, [[1.0, 2.0], [1.0]], np.random.default_rng(8))
    path = tmp_path / "other.json"
    path.write_text(other.model_dump_json())
    ((code, out, err),) = ended(
        [
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "planner.run", str(path)),
                    *("--slices", str(folder), "--local"),
                ],
                env=os.environ | {"PYTHONPATH": str(REPO)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        ]
    )
    assert (code, out, len(err.splitlines())) == (2, "", 1), err
    assert "are of another plan (digest" in err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "--slices DIR: is needed on every node"),
        (("--slices", "x"), "a plan is run between processes (RANK"),
        (("--local", "--name", "n1"), "--local: all nodes are processes here"),
        (("--local", "--slices", "x", "--model", "resnet50"), "--slices and --model"),
        (("--local", "--model", "model.pt2"), "is nothing that runs"),
        (("--local", "--timeout-s", "nan"), "--timeout-s"),
        (("--local", "--repeats", "1000000"), "1,000,000 runs are the most"),
        (("--local", "--inputs", "9" * 20), "--inputs"),
        (("--local", "--seed", "9" * 30), "--seed"),
        (("--local", "--measure", "missing/run.json"), "missing/run.json: cannot be written"),
        (("--local", "--measure", "{plan}"), "is a file that the command reads"),
        (("--local", "--input", "a.npy", "--inputs", "2"), "--input and --inputs"),
        (("--local", "--engine", "abacus"), "--engine"),
    ],
)
def test_options_that_make_no_sense(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], line: str
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    plan = str(folder / "plan.json")
    done = planner("run", plan, *(word.format(plan=plan) for word in words))
    assert done.code == 2 and done.out == ""
    assert line in done.err and len(done.err.splitlines()) == 1


@pytest.mark.parametrize("world", [1, 4])
def test_another_number_of_processes_is_told_the_right_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, world: int
) -> None:
    place = {"RANK": world - 1, "WORLD_SIZE": world, "MASTER_ADDR": ADDRESS, "MASTER_PORT": 1}
    for name, value in place.items():
        monkeypatch.setenv(name, str(value))
    line = one_line(planner("run", str(folder / "plan.json"), "--slices", str(folder)))
    assert f"runs on 3 nodes (n0, n1, n2), found {world} process" in line
    assert "torchrun --nnodes 3 " in line


def test_an_interface_that_is_not_there_is_told_which_are() -> None:
    with pytest.raises(BadInputError, match=r"--interface 'eth99'.*there are .*lo"):
        Gloo(None, 0, 1, 1.0, Bound("eth99"))
