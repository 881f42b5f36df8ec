"""Networks as pure functions over plain parameter dicts."""
