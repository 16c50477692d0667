"""Deliveries by Argo CD: declaration, settings and releases put together."""
