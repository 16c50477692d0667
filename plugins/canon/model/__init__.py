"""The declared state: pure models, without Hera, DVC or MLflow."""
