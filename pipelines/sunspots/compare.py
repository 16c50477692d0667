"""Stage compare: the best of all forecasts, and a table to plot."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

RESULTS = Path("results/sunspots")


def main() -> None:
    """Read every fit and window, write metrics.json and compare.csv."""
    rows = [
        json.loads(path.read_text(encoding="utf-8"))
        for name in sys.argv[1:]
        for path in sorted((RESULTS / name).glob("*.json"))
    ]
    best = min(rows, key=lambda row: (row["mae"], row["model"], row["lag"], row["since"]))
    with (RESULTS / "compare.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["model", "lag", "since", "mae"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    (RESULTS / "metrics.json").write_text(
        json.dumps({"best": best, "forecasts": len(rows)}, indent=2) + "\n", encoding="utf-8"
    )
    print(f"best of {len(rows)}: {best}")


if __name__ == "__main__":
    main()
