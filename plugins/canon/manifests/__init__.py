"""What manifests of several tools have in common: how they read, and what a declared pod is in Kubernetes' words."""
