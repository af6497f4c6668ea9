"""Numbers with a unit beside them; the conversions are `planner.units`' own."""

from __future__ import annotations

from dataclasses import dataclass

from planner.units import parse_quantity


@dataclass(frozen=True)
class Quantity:
    """A number field and its choice of units.

    Attributes
    ----------
    key : str
        Of the control.
    label : str
    kind : str
        What `planner.units.parse_quantity` is to read.
    units : tuple of str
        The first is the default.
    step : float
        Of the field, in the first unit.
    """

    key: str
    label: str
    kind: str
    units: tuple[str, ...]
    step: float

    @property
    def unit_key(self) -> str:
        """The control that chooses the unit."""
        return f"{self.key}_unit"

    def to_si(self, value: float, unit: str) -> float:
        """The SI value of so many units."""
        return parse_quantity(f"{value!r}{unit}", self.kind, where=self.label)

    def from_si(self, value: float, unit: str) -> float:
        """How many units an SI value is, without a float's last digits."""
        return float(f"{value / self.to_si(1.0, unit):.12g}")

    def words(self, value: float) -> str:
        """An SI value as the command line takes it."""
        return f"{self.from_si(value, self.units[0]):.12g}{self.units[0]}"


BANDWIDTH = Quantity("bandwidth", "Bandwidth B", "bandwidth", ("MB/s", "Mbit/s"), 2.5)
COMPUTE = Quantity("compute", "Compute C", "compute", ("GMAC/s", "GFLOP/s"), 0.25)
MEMORY = Quantity("memory", "Memory per node", "memory", ("MB",), 64.0)
