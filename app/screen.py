"""A plan on a terminal in one screen: the answer, where the time goes, what to change, blocks."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from app.blocks import Block, ways_words
from app.next_steps import SHOWN, none_sentence, option, sentence, untried_sentence
from app.node_times import (
    COMPUTES,
    SENDS,
    WAITS,
    cells,
    first_rows,
    part_words,
    parts_of,
    seconds_words,
)
from app.render import cut
from app.words import (
    answer_sentence,
    binding_sentences,
    certificate_sentence,
    fewer_nodes_sentence,
)
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import NextSteps, Plan
from planner.strategies.timeline import NodeTime
from profiles.files import one_line

_BAR = (("█", "orange3", COMPUTES), ("▒", "deep_sky_blue3", SENDS), ("·", "dim", WAITS))
_MORE = "Every layer: --layers. To keep it: -o plan.json, then"
_FIGURE = 9  # columns of a duration with the space before it
_TIME = 11  # the same below its title
_NARROWEST_BAR = 10
_NARROWEST_NAME = 8  # of a block
_LONGEST_NAME = 20  # of a node
_MOST_BARS = 8


@dataclass(frozen=True)
class Shown:
    """What a screen shows of a plan.

    Attributes
    ----------
    plan : Plan
    profile : ModelProfile
    times : tuple of NodeTime
    blocks : tuple of Block
        Or every layer as a block of its own.
    steps : NextSteps, optional
        None where they were not asked for.
    report : str
        What to type for a report of the plan once it is kept.
    """

    plan: Plan
    profile: ModelProfile
    times: tuple[NodeTime, ...]
    blocks: tuple[Block, ...]
    steps: NextSteps | None = None
    report: str = "planner report plan.json"

    def lines(self, width: int) -> Iterator[Text]:
        """The lines for a terminal of so many columns; none is wider."""
        plan = self.plan
        yield Text(cut(f"{plan.model.name} on {plan.cluster.name}", width), "bold")
        yield from wrapped(answer_sentence(plan, self.profile), width)
        yield from _time_lines(self.times, width)
        if self.steps is not None:
            yield from _step_lines(plan, self.steps, width)
        for told in binding_sentences(plan):
            yield from wrapped(told, width)
        yield Text()
        yield from _block_lines(self.blocks, plan.predicted.latency_s, width)
        yield Text()
        yield from wrapped(certificate_sentence(plan, with_solver=False), width)
        yield from wrapped(fewer_nodes_sentence(plan), width)
        if any(len(block.layers) > 1 for block in self.blocks):
            yield from _more_lines(self.report, width)


def _more_lines(report: str, width: int) -> Iterator[Text]:
    """What else there is to type; a command that is longer than the line stays one to copy."""
    if len(_MORE) + 1 + len(report) <= width:
        yield Text(f"{_MORE} {report}", "dim")
        return
    for line in wrapped(_MORE, width):
        yield Text(line.plain, "dim")
    yield Text(f"  {report}", "dim")


def wrapped(text: str, width: int, indent: str = "") -> Iterator[Text]:
    """A sentence in lines of so many columns."""
    for line in textwrap.wrap(one_line(text), max(width, 20), subsequent_indent=indent):
        yield Text(line)


def _time_lines(times: Sequence[NodeTime], width: int) -> Iterator[Text]:
    shown, hidden = first_rows(times, _MOST_BARS, 2 * _MOST_BARS)
    names = [cut(name, _LONGEST_NAME) for name, _ in shown]
    longest = max(map(len, names))
    room = width - longest - 3 - _TIME * len(_BAR)
    bar = max(room, _NARROWEST_BAR)
    head = Text("Where the time goes".ljust(longest + 3 + bar), "bold")
    for glyph, style, word in _BAR:
        head.append(f"{glyph} {word}".rjust(_TIME), style)
    yield head
    for name, (_, time) in zip(names, shown, strict=True):
        line = Text(f"  {name.ljust(longest)} ")
        parts = parts_of(time)
        for (glyph, style, _), count in zip(_BAR, cells(time.total_s, parts, bar), strict=True):
            line.append(glyph * count, style)
        for words in part_words(time):
            line.append(words.rjust(_TIME))
        yield line
    if hidden:
        yield Text(f"  … and {hidden} more", "dim")


def _step_lines(plan: Plan, found: NextSteps, width: int) -> Iterator[Text]:
    yield Text()
    yield Text("What to change first", "bold")
    for number, step in enumerate(found.steps[:SHOWN], start=1):
        words, typed = f"  {number}. {sentence(step, plan)}", option(step)
        if len(words) + len(typed) + 2 <= width:
            yield Text.assemble(words.ljust(width - len(typed)), (typed, "dim"))
        else:
            yield from wrapped(words, width, "     ")
            for line in wrapped(typed, width - 5):
                yield Text.assemble("     ", (line.plain, "dim"))
    for told in (none_sentence(found), untried_sentence(found)):
        for line in wrapped(told, width - 2):
            yield Text("  ") + line
    if not (found.steps or found.idle or found.untried):
        yield Text("  Nothing was found to try.")


def _block_lines(found: Sequence[Block], latency_s: float, width: int) -> Iterator[Text]:
    several = len({block.stage for block in found}) > 1
    single = all(len(block.layers) == 1 for block in found)
    title = "Layers" if single else "Layers by block"
    ways = [_split(block) for block in found]
    figures = 7 + _FIGURE * 2 + 6 + 6 * several
    longest = max(len(block.name) for block in found)
    way_room = min(max(map(len, ways)), max(width // 4, 10))
    name_room = min(max(longest, len(title) - 9), width - figures - way_room - 5)
    name_room = max(name_room, _NARROWEST_NAME)
    head = Text()
    head.append(title[: name_room + 9].ljust(name_room + 9), "bold")
    if several:
        head.append(" stage")
    head.append(f"  {'split by'.ljust(way_room)}{SENDS.rjust(_FIGURE)}{COMPUTES.rjust(_FIGURE)}")
    head.append(" share")
    yield head
    for block, way in zip(found, ways, strict=True):
        count = "" if single else f"{len(block.layers):,}"
        line = f"  {cut(block.name, name_room).ljust(name_room)}{count.rjust(7)}"
        line += f"{block.stage:>6}" if several else ""
        line += f"  {_ended(way, way_room)}"
        line += seconds_words(block.comm_s, latency_s).rjust(_FIGURE)
        line += seconds_words(block.compute_s, latency_s).rjust(_FIGURE)
        yield Text(f"{line}{block.share:>6.0%}")


def _split(block: Block) -> str:
    words = ways_words(block) or "one node"
    return words if block.sparsity is None else f"{words}, S {block.sparsity[1]:.2f}"


def _ended(text: str, width: int) -> str:
    """The beginning of a text that is too long."""
    return text.ljust(width) if len(text) <= width else f"{text[: width - 1]}…"
