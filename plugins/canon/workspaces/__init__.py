"""Workspaces: the profile that one has, and those of their own whose results are kept as DVC experiments."""
