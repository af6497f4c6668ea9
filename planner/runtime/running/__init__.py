"""What a node does with its part: steps, messages, and what they come to."""
