"""Real nodes in real namespaces and behind the relay; nothing here asks how fast."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from planner.errors import BadInputError
from scripts.testbed import leftovers
from scripts.testbed.bed import Kind, Testbed, this_checkout
from tests.processor_time import HANG_S

REPO = Path(__file__).parents[2]
FAST = 1e9
DATAGRAMS, STREAM_BYTES = 40, 300_000

DATAGRAM_NODE = f"""
import os, socket
first = os.environ["RANK"] == "0"
own, other = os.environ["TESTBED_ADDRESSES"].split(",")[:: 1 if first else -1]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as talk:
    talk.bind((own, 5000))
    if first:
        talk.settimeout(0.2)
        while True:  # until the other one listens
            talk.sendto(b"", (other, 5000))
            try:
                talk.recv(9)
                break
            except TimeoutError:
                pass
    else:
        talk.recv(9)
        talk.sendto(b"", (other, 5000))
    talk.settimeout({HANG_S})
    for number in range({DATAGRAMS}):
        for sends in (first, not first):
            if sends:
                talk.sendto(bytes(100 if first else 30), (other, 5000))
            else:
                while not talk.recv(2000):
                    pass
"""
STREAM_NODE = f"""
import os, socket, time
first, port = os.environ["RANK"] == "0", int(os.environ["MASTER_PORT"])
address = os.environ["TESTBED_ADDRESSES"].split(",")[0]
if first:
    talk = socket.create_server((address, port)).accept()[0]
else:
    while True:
        try:
            talk = socket.create_connection((address, port))
            break
        except ConnectionRefusedError:
            time.sleep(0.02)
sent = bytes([1 if first else 2]) * {STREAM_BYTES}
if first:
    talk.sendall(sent)
    talk.shutdown(socket.SHUT_WR)
got = bytearray()
while piece := talk.recv(2**16):
    got += piece
if not first:
    talk.sendall(sent)
    talk.close()
assert got == bytes([2 if first else 1]) * {STREAM_BYTES}
print(talk.family.name)
"""
LEAVING_NODE = "import os, time; os.setsid() if os.fork() == 0 else None; time.sleep(1000)"
OWNER = f"""
import sys
from scripts.testbed.bed import Testbed
with Testbed(["a", "b"], 1e9, kind=sys.argv[1], ports=[int(sys.argv[2])]) as bed:
    bed.run([[sys.executable, "-c", {LEAVING_NODE!r}]] * 2)
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
        return port


def bed_of(kind: Kind, nodes: int = 2, **how: object) -> Testbed:
    names = [f"n{rank}" for rank in range(nodes)]
    return Testbed(names, FAST, kind=kind, ports=[free_port()], **how)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=["namespaces", "loopback"])
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    found: Kind = request.param
    if found == "namespaces":
        try:
            with bed_of(found):
                pass
        except BadInputError as error:
            pytest.skip(str(error))
    yield found


def python(*programs: str) -> list[list[str]]:
    return [[sys.executable, "-c", program] for program in programs]


def eventually(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + HANG_S
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def networks(pids: list[int]) -> set[str]:
    return {os.readlink(f"/proc/{pid}/ns/net") for pid in pids}


def all_networks() -> set[str]:
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                found.add(os.readlink(folder / "ns/net"))
            except OSError:
                continue
    return found


def of_owner(pid: int) -> list[int]:
    """Processes of the testbeds of one owner."""
    return sorted(leftovers._marked(lambda text: text.startswith(f"{pid}-")))


def test_streams_come_whole_and_end(kind: Kind) -> None:
    with bed_of(kind) as bed:
        run = bed.run(python(STREAM_NODE, STREAM_NODE), time_limit_s=HANG_S)
    assert [node.code for node in run.nodes] == [0, 0], run.nodes
    assert {node.output for node in run.nodes} == {"AF_INET\n"}
    assert run.dropped == 0
    # TCP may send again what it takes for lost on a machine that is very busy.
    assert np.all(run.payload_bytes >= [[0, STREAM_BYTES], [STREAM_BYTES, 0]])
    assert np.all(np.diag(run.frames) == 0)
    if kind == "loopback":
        assert run.payload_bytes.tolist() == [[0, STREAM_BYTES], [STREAM_BYTES, 0]]


def test_counts_are_those_of_what_was_sent(kind: Kind) -> None:
    if kind == "loopback":
        pytest.skip("the relay carries no datagrams")
    with bed_of(kind) as bed:
        for _ in range(2):  # each run counts from nothing
            run = bed.run(python(DATAGRAM_NODE, DATAGRAM_NODE), time_limit_s=HANG_S)
            assert [node.code for node in run.nodes] == [0, 0], run.nodes
            assert run.payload_bytes.tolist() == [[0, DATAGRAMS * 100], [DATAGRAMS * 30, 0]]
            assert run.frames[0, 1] > DATAGRAMS  # and the empty ones of the beginning
            assert 0 <= run.late_median_s <= run.late_p99_s
            assert run.late_most_s > 0


def test_nodes_have_networks_and_places_of_their_own(kind: Kind) -> None:
    program = (
        "import os; e = os.environ; print(e['RANK'], e['WORLD_SIZE'], e['TESTBED_NAME'], "
        "e['TESTBED_FACTOR'], e['MORE'], os.readlink('/proc/self/ns/net'), os.getcwd()); "
        "raise SystemExit(int(e['RANK']))"
    )
    with bed_of(kind, 3, factors=[1.0, 2.5, 4.0]) as bed:
        run = bed.run(python(*[program] * 3), {"MORE": "more"}, folder=Path("/"))
    words = [node.output.split() for node in run.nodes]
    assert [node.code for node in run.nodes] == [0, 1, 2]
    assert [line[:5] for line in words] == [
        [str(rank), "3", f"n{rank}", factor, "more"]
        for rank, factor in enumerate(["1.0", "2.5", "4.0"])
    ]
    spaces = {line[5] for line in words} | {os.readlink("/proc/self/ns/net")}
    assert len(spaces) == (4 if kind == "namespaces" else 1)
    assert {line[6] for line in words} == {"/"}


def test_the_time_limit_ends_what_still_runs(kind: Kind) -> None:
    with bed_of(kind) as bed:
        run = bed.run([["true"], ["sleep", "1000"]], time_limit_s=0.5)
        assert run.over_time
        assert run.nodes[1].code == -signal.SIGKILL
        run = bed.run([["true"], ["true"]], time_limit_s=HANG_S)
        assert not run.over_time
        assert of_owner(os.getpid())  # the switch
    assert of_owner(os.getpid()) == []


def test_an_error_within_leaves_nothing(kind: Kind) -> None:
    with pytest.raises(KeyboardInterrupt), bed_of(kind) as bed:
        bed.run(python("print()", LEAVING_NODE), time_limit_s=0.5)
        raise KeyboardInterrupt
    assert of_owner(os.getpid()) == []


def started_owner(kind: Kind) -> subprocess.Popen[bytes]:
    """A process with a testbed whose two nodes have left their sessions."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, kind, str(free_port())],
        env={**os.environ, **this_checkout()},
    )
    # The switch, two nodes, and what each of them started.
    eventually(lambda: owner.poll() is not None or len(of_owner(owner.pid)) == 5)
    assert owner.poll() is None
    return owner


def test_nothing_outlives_an_owner_that_is_killed(kind: Kind) -> None:
    devices = sorted(os.listdir("/sys/class/net"))
    owner = started_owner(kind)
    spaces = networks(of_owner(owner.pid)) - {os.readlink("/proc/self/ns/net")}
    assert len(spaces) == (2 if kind == "namespaces" else 0)
    owner.kill()
    owner.wait()
    eventually(lambda: not of_owner(owner.pid))
    assert not spaces & all_networks()
    assert sorted(os.listdir("/sys/class/net")) == devices


def test_what_outlives_owner_and_switch_is_found(kind: Kind) -> None:
    owner = started_owner(kind)
    every = of_owner(owner.pid)
    (switch,) = [
        pid
        for pid in every
        if b"scripts.testbed.switch" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    assert not set(every) & set(leftovers.orphans())  # their owner lives
    os.kill(switch, signal.SIGKILL)
    owner.kill()
    owner.wait()
    done = subprocess.run(
        [sys.executable, "-m", "scripts.testbed", "--clean"],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("ended ")
    assert of_owner(owner.pid) == []


def test_processes_of_others_are_no_leftovers() -> None:
    with subprocess.Popen(["sleep", "1000"], env={leftovers.VARIABLE: "not-a-mark"}) as other:
        assert other.pid not in leftovers.orphans()
        other.kill()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"nodes": ["a"]}, "nodes: found 1; give 2 to 64"),
        ({"factors": [1.0, 0.5]}, "factors: give one for each node, 1"),
        ({"factors": [1.0]}, "factors: give one for each node"),
        ({"ports": []}, "ports: give one"),
        ({"bandwidth_bytes_per_s": -1.0}, "bandwidth: give more than 0"),
    ],
)
def test_bad_testbeds_are_refused(how: dict[str, object], words: str) -> None:
    wanted: dict[str, object] = {"nodes": ["a", "b"], "bandwidth_bytes_per_s": FAST} | how
    with pytest.raises(BadInputError, match=words):
        Testbed(**wanted)  # type: ignore[arg-type]


def test_what_the_kernel_does_not_know_is_refused_in_one_line(kind: Kind) -> None:
    if kind == "loopback":
        pytest.skip("has the machine's own settings")
    with pytest.raises(BadInputError, match="net/ipv4/nosuch") as caught:
        bed_of(kind, settings={"net.ipv4.nosuch": "1"}).__enter__()
    assert "\n" not in str(caught.value)
    assert of_owner(os.getpid()) == []


def test_where_namespaces_are_refused_the_loopback_serves() -> None:
    # Refused here for a setting that no kernel has.
    with Testbed(["a", "b"], FAST, ports=[free_port()], settings={"net.nosuch": "1"}) as bed:
        assert bed.kind == "loopback"
        assert bed.refused
        run = bed.run(python(STREAM_NODE, STREAM_NODE), time_limit_s=HANG_S)
    assert run.payload_bytes.tolist() == [[0, STREAM_BYTES], [STREAM_BYTES, 0]]


def test_commands_know_their_place(kind: Kind) -> None:
    words = ["--nodes", "pi,tv", "--kind", kind, "--ports", str(free_port()), "--"]
    command = ["sh", "-c", "echo {rank} {name} {addresses}; exit {rank}"]
    done = subprocess.run(
        [sys.executable, "-m", "scripts.testbed", *words, *command],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    first, second = done.stdout.splitlines()
    assert first.startswith("[pi] 0 pi ")
    assert second.startswith("[tv] 1 tv ")
    assert "tv ended with 1" in done.stderr
    assert "dropped: 0" in done.stderr


@pytest.mark.slow
def test_links_are_as_they_were_set(kind: Kind) -> None:
    from scripts.testbed.check import AIM, check, missed

    with Testbed(["a", "b"], 37.5e6, 1e-3, kind=kind, ports=[free_port()]) as bed:
        rows, runs = check(bed)
    assert missed(rows) <= AIM, "\n".join(map(str, [*rows, *(run.late_p99_s for run in runs)]))
