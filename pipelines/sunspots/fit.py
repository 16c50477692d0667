"""Stages `fit` (one for each model and lag) and `window` (one for each first year): the error of one forecast."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .series import load_series, mean_absolute_error


def main() -> None:
    """Write one number to --out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ar")
    parser.add_argument("--lag", type=int, default=11)
    parser.add_argument("--since", type=int, default=0)
    parser.add_argument("--holdout", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    series = load_series(Path("data/sunspots.csv"), given.since)
    error = mean_absolute_error(series, given.model, given.lag, given.holdout)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(
        json.dumps({"model": given.model, "lag": given.lag, "since": series[0][0], "mae": round(float(error), 4)})
        + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
