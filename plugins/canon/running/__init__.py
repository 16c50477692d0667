"""`canon run`: what `dvc repro` does, with independent stages side by side."""
