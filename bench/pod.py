"""Runs `canon` with the folders of a pod below another one than /canon: `python -I bench/pod.py FOLDER step pull TASK`."""

from __future__ import annotations

import sys

from canon.model import cluster

folder = sys.argv.pop(1)
for name in ("WORK", "CODE", "RUN", "SCRIPT", "PRIVATE", "OUTPUTS"):  # before anything reads them
    setattr(cluster, name, getattr(cluster, name).replace("/canon", folder, 1))

from canon.cli.main import main  # noqa: E402

main()
