"""OCI images without a daemon: layers, configuration, and where images lie. It knows nothing of pipelines.

Formats: OCI image specification 1.1 (manifest, index, configuration, layer, layout) and distribution specification 1.1.
"""
