"""What Argo CD reads, and what the cluster says of it."""
