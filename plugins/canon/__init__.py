"""Canon: a plugin set over DVC and Argo for machine learning by GitOps."""

__version__ = "0.1.0"
