"""What Argo CD reads: the manifests of the services, its Applications, and the cage around them."""
