"""ONNX bytes to a profile, parsed in a limited child process."""
