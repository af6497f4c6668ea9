"""Numbers with a unit beside them; the conversions are `planner.units`' own."""

from __future__ import annotations

import math
from dataclasses import dataclass

import streamlit as st

from planner.units import parse_quantity

_SAME = 1e-9  # relative: what a round trip through a unit may change


@dataclass(frozen=True)
class Quantity:
    """A number field and its choice of units, kept in the session's state."""

    key: str
    label: str
    kind: str
    units: tuple[str, ...]
    step: float

    @property
    def unit_key(self) -> str:
        """State key of the unit."""
        return f"{self.key}_unit"

    @property
    def _shown_key(self) -> str:
        """State key of the unit that the number was last shown in."""
        return f"_{self.key}_shown"

    def to_si(self, value: float, unit: str) -> float:
        """The SI value of so many units."""
        return parse_quantity(f"{value!r}{unit}", self.kind, where=self.label)

    def from_si(self, value: float, unit: str) -> float:
        """How many units an SI value is, without a float's last digits."""
        return float(f"{value / self.to_si(1.0, unit):.12g}")

    def write(self, value: float) -> None:
        """Show an SI value in the chosen unit."""
        unit = st.session_state.setdefault(self.unit_key, self.units[0])
        st.session_state[self._shown_key] = unit
        st.session_state[self.key] = self.from_si(value, unit)

    def convert(self) -> None:
        """Another unit was chosen: the number changes, the quantity stays."""
        before = st.session_state[self._shown_key]
        self.write(self.to_si(st.session_state[self.key], before))

    def read(self, preset: float) -> float | None:
        """The SI value, or None where it is still the preset's."""
        value = self.to_si(st.session_state[self.key], st.session_state[self.unit_key])
        return None if math.isclose(value, preset, rel_tol=_SAME) else value


BANDWIDTH = Quantity("bandwidth", "Bandwidth B", "bandwidth", ("MB/s", "Mbit/s"), 2.5)
COMPUTE = Quantity("compute", "Compute C", "compute", ("GMAC/s", "GFLOP/s"), 0.25)
MEMORY = Quantity("memory", "Memory per node", "memory", ("MB",), 64.0)
