"""What of a pipeline has to run: stages looked up in the run-cache of a remote, without moving data."""
