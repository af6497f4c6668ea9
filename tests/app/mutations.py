"""Damaged command lines and documents, and a runner that looks after each command's whole life.

A command runs in a fork of this warm process, as a user's would in its own: with its own limits,
its output in files, and nothing left behind when it ends.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from app.cli import main

CODES = (0, 2, 3, 4)
MEMORY_MIB = 2048
CPU_S = 120  # a hang that works
WALL_S = 500  # a hang that waits, on any machine

NUMBERS = (
    "0 -0 1 2 3 7 -1 0.5 1e-6 5e-324 1e-300 1e-30 1e-12 1e12 1e29 1e30 1e308 1e999 -1e308 nan inf "
    "-inf 2147483648 9223372036854775808 18446744073709551616 1_000 0x10 ١٢ 1e1 +5 007 1e-9 64 65"
).split()
_NUMBER = re.compile(r"^[0-9][0-9.]*")
WORDS = ("", " ", "-", "--", "=", ":", ",", "none", "null", "true", "[]", "{}", "resnet50", ".")
CONTROLS = ("\x1b[31m", "\u202e", "\x07", "\r", "\n", "\u200f", "\x7f", "é", "\udcff", "💥", "%s")
UNITS = ("MB/s", "Mbit/s", "GMAC/s", "GFLOP/s", "ms", "s", "us", "MB", "GiB", "B", "b/s", "Mb/s")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str
    mib: float
    orphans: tuple[int, ...]

    @property
    def fault(self) -> str:
        """What no command may do; empty if it did nothing of the kind."""
        if self.code not in CODES:
            return f"exit code {self.code}"
        if "Traceback" in self.err or "Traceback" in self.out:
            return "a traceback"
        if self.orphans:
            return f"left processes {self.orphans}"
        if self.mib > MEMORY_MIB:
            return f"{self.mib:,.0f} MiB"
        if bad := {c for c in self.out + self.err if not (c.isprintable() or c == "\n")}:
            return f"prints {bad!r}"
        lines = self.err.splitlines()
        if self.code and (not lines or not lines[-1].startswith("planner: ")):
            return "no reason"
        if chatter := [x for x in lines if not x.startswith(("planner: ", "note: ", "wrote "))]:
            return f"chatter: {chatter[0]!r}"
        return ""


def run(words: list[str], folder: Path) -> Ended:
    """Run the command with these words in a folder."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with tempfile.TemporaryFile("w+") as seen:
            sys.stdout.flush()
            sys.stderr.flush()
            keeper = os.fork()
            if not keeper:
                _be_keeper(words, folder, (out, err), seen)
            os.waitpid(keeper, 0)
            seen.seek(0)
            status, kib, orphans = json.load(seen)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
        code = os.waitstatus_to_exitcode(status)
        return Ended(tuple(words), code, texts[0], texts[1], kib / 1024, tuple(orphans))


def _be_keeper(
    words: list[str], folder: Path, outputs: tuple[BinaryIO, BinaryIO], seen: TextIO
) -> None:
    """Watch over the command, in a process whose only child it is.

    What a command leaves behind is then told from the children of the tests' own process (a
    browser, for one).
    """
    try:
        ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: what a command leaves becomes ours
        child = os.fork()
        if not child:
            _be_command(words, folder, *outputs)
        deadline = time.monotonic() + WALL_S
        while True:
            found, status, used = os.wait4(child, os.WNOHANG)
            if found:
                break
            if time.monotonic() > deadline:
                os.killpg(child, signal.SIGKILL)
            time.sleep(0.005)
        orphans = _children()
        for orphan in orphans:
            os.kill(orphan, signal.SIGKILL)
            os.waitpid(orphan, 0)
        json.dump([status, used.ru_maxrss, orphans], seen)
        seen.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _be_command(words: list[str], folder: Path, out: BinaryIO, err: BinaryIO) -> None:
    code = 1
    try:
        os.setsid()
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        null = os.open(os.devnull, os.O_RDONLY)
        for to, file in enumerate((null, out.fileno(), err.fileno())):
            os.dup2(file, to)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        sys.argv = ["planner", *words]
        try:
            main()
            code = 0
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else bool(leaving.code)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _children() -> tuple[int, ...]:
    me = os.getpid()
    text = Path(f"/proc/{me}/task/{me}/children").read_text()
    return tuple(map(int, text.split()))


def damaged_words(
    words: list[str], options: list[str], known: list[list[str]], seed: int
) -> list[str]:
    """A command line after one to four random changes.

    Parameters
    ----------
    words : list of str
    options : list of str
        That the command has.
    known : list of list of str
        Options with values that they may have.
    seed : int
    """
    chance = random.Random(seed)
    new = [*words]
    for _ in range(chance.choice((1, 1, 2, 2, 4))):
        at = chance.randrange(1, len(new) + 1)
        kind = chance.random()
        if kind < 0.25 and known:
            new[at:at] = chance.choice(known)
        elif kind < 0.4:
            new[at:at] = [chance.choice(options), _value(chance)]
        elif kind < 0.65:
            numbers = [index for index, word in enumerate(new) if _NUMBER.match(word)]
            if numbers:
                at = chance.choice(numbers)
                new[at] = _NUMBER.sub(chance.choice(NUMBERS), new[at])
        elif kind < 0.8 and at < len(new):
            new[at] = _value(chance)
        elif kind < 0.9 and len(new) > 1:
            del new[min(at, len(new) - 1)]
        else:
            other = chance.choice(new)
            cut = chance.randrange(len(other) + 1)
            new[at:at] = [other[:cut] + chance.choice(CONTROLS) + other[cut:]]
    return new


def _value(chance: random.Random) -> str:
    kind = chance.random()
    if kind < 0.6:
        number = chance.choice(NUMBERS)
        return number + chance.choice(UNITS) if chance.random() < 0.5 else number
    if kind < 0.7:
        return ",".join(chance.choice(NUMBERS) for _ in range(chance.randint(1, 5)))
    if kind < 0.8:
        return f"image={','.join(chance.choice(NUMBERS) for _ in range(4))}"
    if kind < 0.85:
        return chance.choice(("a" * 5000, "../" * 40, "/dev/zero", "/dev/full", ".", "pipe.json"))
    if kind < 0.92:
        return chance.choice(CONTROLS) * chance.choice((1, 3))
    return chance.choice(WORDS)


def damaged_document(document: Any, seed: int) -> str:
    """The text of a JSON document after one to four random changes."""
    chance = random.Random(seed)
    if chance.random() < 0.15:
        text = json.dumps(document)
        at = chance.randrange(len(text))
        junk = chance.choice(("", "\0", '"', "}", "]", ",", "[" * 500, "NaN", "\ud800", "1e999"))
        return text[:at] + junk + text[at + chance.choice((0, 0, 1, 5)) :]
    new = json.loads(json.dumps(document))
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        places = [*_places(new)]
        if not places:
            break
        holder, key = chance.choice(places)
        kind = chance.random()
        if kind < 0.15:
            del holder[key]
        elif kind < 0.25:
            other, name = chance.choice(places)
            holder[key] = json.loads(json.dumps(other[name])) if name in _keys(other) else None
        elif kind < 0.32 and isinstance(holder, dict):
            holder[chance.choice((*CONTROLS, "x", "name"))] = _json_value(chance)
        elif kind < 0.36 and isinstance(holder, list):
            holder += [holder[key]] * chance.choice((1, 3, 300))
        else:
            holder[key] = _json_value(chance, holder[key])
    return json.dumps(new)


def _keys(holder: Any) -> Any:
    return holder if isinstance(holder, dict) else range(len(holder))


def _places(value: Any) -> Any:
    """Every field and item, as holder and key."""
    stack = [value]
    while stack:
        holder = stack.pop()
        items = holder.items() if isinstance(holder, dict) else enumerate(holder)
        for key, item in items:
            yield holder, key
            if isinstance(item, dict | list):
                stack.append(item)


def _json_value(chance: random.Random, before: Any = None) -> Any:
    if isinstance(before, int | float) and not isinstance(before, bool) and chance.random() < 0.7:
        factor = chance.choice((0, 1e-300, 1e-30, 1e-6, 0.5, 2, 3, 1e3, 1e9, 1e20, 1e300, -1))
        changed = before * factor
        return int(changed) if isinstance(before, int) and abs(changed) < 1e300 else changed
    texts = ("", "x" * 300, "../../etc/passwd", "/dev/zero", "os:getcwd", "a/b", *CONTROLS)
    numbers = (0, 1, -1, 2**31, 2**53 + 1, 2**62, 2**64, 10**30, 0.1, 1e29, 5e-324, 1e308, 1e9)
    return chance.choice((None, True, [], {}, [[]], chance.choice(texts), *numbers))
