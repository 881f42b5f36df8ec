"""Policies that stand alone: one zip with the compiled behaviour, what it takes and gives, and where it comes from."""
