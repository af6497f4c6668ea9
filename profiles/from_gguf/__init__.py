"""A language model by the header of a GGUF file: names, shapes and widths of its tensors."""
