"""Agents: each readable next to its paper."""
