"""From a plan to a trained sparse model, in anyone's loop (needs torch)."""
