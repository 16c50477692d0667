"""Argo Workflows: a pipeline as manifests. Pure: model in, text out; Hera is imported where it builds, because that takes 0.6 s."""
