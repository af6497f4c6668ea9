"""A prompt and its answer on one placement: request and case to problem, choice to costed plan."""
