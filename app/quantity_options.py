"""Values of a hardware quantity as they are typed."""

from __future__ import annotations

from planner.errors import BadInputError
from planner.strategies.what_if.quantities import Quantity, Value, check_value
from planner.units import parse_quantity

_UNIT_KINDS: dict[Quantity, str] = {
    "bandwidth": "bandwidth",
    "compute": "compute",
    "link-latency": "time",
    "memory": "memory",
}


def parse_value(quantity: Quantity, text: str, where: str) -> Value:
    """Read a value of a quantity into SI.

    Parameters
    ----------
    quantity : Quantity
    text : str
        With a unit, or in SI without one; a number of nodes has none.
    where : str
        The option, for the message.

    Raises
    ------
    BadInputError
        No such value, or one that no cluster may have.
    """
    if quantity != "nodes":
        value: Value = parse_quantity(text, _UNIT_KINDS[quantity], where=where)
    elif text.strip().isdecimal() and len(text) < 10:
        value = int(text)
    else:
        raise BadInputError(f"{where}: found {text!r}; give a whole number of nodes")
    if quantity == "memory":
        value = int(value)
    return check_value(quantity, value)
