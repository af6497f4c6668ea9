"""A torch module to a profile, by torch.export on meta tensors, with fvcore as a witness."""
