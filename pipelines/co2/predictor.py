"""The model as MLflow loads it ("models from code"): no pickle, so that its bytes do not depend on a pickler."""

from __future__ import annotations

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class Co2Model(PythonModel):
    """Input: a column `date` with ISO dates. Output: a column `co2`, ppm."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the coefficients."""
        from pathlib import Path

        from co2_model.model import load_model

        self.model = load_model(Path(context.artifacts["coefficients"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """CO2 on each date."""
        del context, params
        from co2_model.features import parse_date

        return pd.DataFrame({"co2": [self.model.predict(parse_date(str(date))) for date in model_input["date"]]})


set_model(Co2Model())
