"""The state of a run on disk: `layout` lists steps, `writer` saves them, `reader` restores them."""
