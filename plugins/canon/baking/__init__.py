"""Images of a pipeline: the base with code and environment, and the serving image with the model, each proved from Git."""
