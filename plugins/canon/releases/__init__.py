"""Releases: which image answers where, as commits of Git that `canon` makes, and what Git knows of those before."""
