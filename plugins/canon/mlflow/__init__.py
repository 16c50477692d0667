"""MLflow: one run for one result, logged completely or not at all, and again without harm."""
