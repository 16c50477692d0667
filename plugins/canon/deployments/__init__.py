"""Deliveries by Argo CD: what it reads, from declaration, settings and releases, and how what runs is held against that."""
