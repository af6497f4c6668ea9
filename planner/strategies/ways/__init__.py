"""Every way to run every layer, as the arrays of a problem and back to a plan."""
