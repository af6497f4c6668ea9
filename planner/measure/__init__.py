"""From devices to a cluster file: what is run, how figures follow from it, how parts are joined."""
