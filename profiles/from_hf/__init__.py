"""A Hugging Face config.json to a profile: transformers' architecture on meta tensors."""
