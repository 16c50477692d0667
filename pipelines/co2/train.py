"""Stage train: fit the model, and save it in MLflow's format, the same bytes for the same data and parameters."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
import shutil
import sys
import tempfile
import uuid
from pathlib import Path

import yaml

from .model import COEFFICIENTS, MODEL, Model, fit, format_model
from .record import PREPARED, Row, load_params, load_rows

REQUIREMENTS = Path("requirements.lock")
NEEDED = ("mlflow-skinny", "numpy", "pandas")
HERE = Path(__file__).resolve().parent


def locked_requirements(path: Path = REQUIREMENTS) -> list[str]:
    """`name==version` of what loading the model needs, as the pipelines' lock has it for this Python."""
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        match = re.match(
            r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)\s*(?:;\s*python_full_version\s*(<|>=)\s*'(\d+)\.(\d+)')?", line
        )
        if match and match[1] in NEEDED:
            bound = (int(match[4]), int(match[5])) if match[3] else None
            if bound is None or (sys.version_info[:2] < bound) == (match[3] == "<"):
                found[match[1]] = match[2]
    return [f"{name}=={found[name]}" if name in found else name for name in NEEDED]


def save(model: Model, first: Row, folder: Path) -> None:
    """Write the model's folder whole, or not at all. Id and time in it come from its content, not from the clock."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import Model as Description
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    text = format_model(model)
    digest = hashlib.sha256(text.encode()).hexdigest()
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    requirements = locked_requirements()
    example = pd.DataFrame({"date": [first[0].isoformat()]})
    description = Description(
        model_uuid=uuid.UUID(digest[:32]).hex,
        utc_time_created=dt.datetime.fromordinal(first[0].toordinal()).isoformat(sep=" "),
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".train-") as scratch:
        coefficients = Path(scratch) / Path(COEFFICIENTS).name
        coefficients.write_text(text, encoding="utf-8")
        code = Path(scratch) / "co2_model"
        code.mkdir()
        for name in ("features.py", "model.py"):
            shutil.copyfile(HERE / name, code / name)
        (code / "__init__.py").write_text(
            '"""The code that this model predicts with, as it was when it was trained."""\n', encoding="utf-8"
        )
        new = Path(scratch) / "model"
        mlflow.pyfunc.save_model(
            str(new),
            python_model=str(HERE / "predictor.py"),
            artifacts={"coefficients": str(coefficients)},
            code_paths=[str(code)],
            conda_env={
                "name": "co2",
                "channels": ["conda-forge"],
                "dependencies": [f"python={python}", "pip", {"pip": requirements}],
            },
            mlflow_model=description,
            # Written out: to infer it, MLflow needs more than the pipelines' lock holds, and says "any" without.
            signature=ModelSignature(
                inputs=Schema([ColSpec(DataType.string, "date")]), outputs=Schema([ColSpec(DataType.double, "co2")])
            ),
            input_example=example,
        )
        settle(new, python)
        if folder.exists():
            folder.rename(Path(scratch) / "old")
        new.rename(folder)


def settle(folder: Path, python: str) -> None:
    """Take out of MLflow's files what differs between machines: Python's patch version, caches, paths of this run."""
    for cache in list(folder.rglob("__pycache__")):
        shutil.rmtree(cache)
    # As YAML, not as text: a path with blanks or accents is quoted, and a long one broken into lines.
    path = folder / "MLmodel"
    described = yaml.safe_load(path.read_text(encoding="utf-8"))
    flavor = described["flavors"]["python_function"]
    flavor["artifacts"]["coefficients"]["uri"] = COEFFICIENTS
    flavor["model_code_path"] = "predictor.py"
    flavor["python_version"] = python
    path.write_text(yaml.safe_dump(described, default_flow_style=False), encoding="utf-8")
    path = folder / "python_env.yaml"
    text = re.sub(r"(?m)^(python: ).*$", rf"\g<1>'{python}'", path.read_text(encoding="utf-8"))
    path.write_text(re.sub(r"(?m)^(- (?:pip|setuptools|wheel))==.*$", r"\1", text), encoding="utf-8")


def main() -> None:
    """Read data/prepared/train.csv, write models/co2."""
    params = load_params("train")
    rows = load_rows(PREPARED / "train.csv")
    model = fit(
        [day for day, _ in rows],
        [value for _, value in rows],
        degree=int(params["degree"]),
        knots=int(params["knots"]),
        alpha=float(params["alpha"]),
    )
    save(model, rows[-1], MODEL)
    print(f"fitted {model.degree + model.knots} coefficients to {len(rows)} weeks")


if __name__ == "__main__":
    main()
