"""What a run writes down of itself while time passes."""

from __future__ import annotations

from planner.simulation.engine.state import Floats, Ints, Layout


def observe(at: Layout, i: Ints, f: Floats, until_s: float) -> None:
    """Count the inputs in the system over the time in which nothing happens, and sample."""
    inside = i[at.arrived] - i[at.finished]
    f[at.in_system_area] += inside * (until_s - f[at.now])
    while f[at.next_sample] <= until_s:
        if i[at.samples] == at.most_samples:
            thin_out(at, i, f)
        else:
            take_sample(at, i, f)
        f[at.next_sample] = i[at.samples] * f[at.sample_step]


def take_sample(at: Layout, i: Ints, f: Floats) -> None:
    """Lengths of all queues, outboxes and reservoirs."""
    spot = i[at.samples]
    f[at.sample_s + spot] = f[at.next_sample]
    i[at.samples] += 1
    queues = at.nodes * at.kinds
    for place in range(queues):
        i[at.sample + spot * at.sample_width + place] = i[at.length + place]
    for node in range(at.nodes):
        i[at.sample + spot * at.sample_width + queues + node] = i[at.out_count + node]
    for source in range(at.sources):
        waiting = i[at.come + source] - i[at.taken + source]
        i[at.sample + spot * at.sample_width + queues + at.nodes + source] = waiting


def thin_out(at: Layout, i: Ints, f: Floats) -> None:
    """Keep every second sample and go on at half the pace.

    How long a run will last is not known before: so the samples fit, and always span all of it.
    """
    half = (i[at.samples] + 1) // 2
    for index in range(1, half):
        f[at.sample_s + index] = f[at.sample_s + 2 * index]
        for place in range(at.sample_width):
            i[at.sample + index * at.sample_width + place] = i[
                at.sample + 2 * index * at.sample_width + place
            ]
    i[at.samples] = half
    f[at.sample_step] *= 2.0
