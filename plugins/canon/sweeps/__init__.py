"""Sweeps: the points of a space of params, what they share, and their runs here and in a cluster."""
