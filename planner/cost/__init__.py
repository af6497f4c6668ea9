"""What a layer costs on a group of nodes: bytes, MACs, seconds and memory."""
