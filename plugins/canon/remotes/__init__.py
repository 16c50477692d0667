"""Objects of a DVC remote: run-cache entries, and what workflows leave there. Small ones, read and written whole; data is moved by DVC."""
