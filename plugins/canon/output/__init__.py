"""Text first, writing second: rendered files, YAML, the one atomic writer."""
