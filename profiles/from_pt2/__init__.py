"""A ``.pt2`` archive of torch.export to a profile, read as zip and JSON in a limited child."""
