"""Data: the content of sources is pinned, brought and verified."""
