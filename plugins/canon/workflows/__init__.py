"""Workflows of the declared project: what `canon.argo` renders, from stages that DVC resolves and settings that DVC keeps."""
