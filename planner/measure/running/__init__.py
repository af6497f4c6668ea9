"""What runs on the devices: operators on one, messages between several. Needs torch."""
