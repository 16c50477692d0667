"""The JSON Schema of a declaration, which editors complete and check with."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from canon.model.declaration import Declaration
from canon.model.settings import Settings

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def build_schema(*, settings: bool = False) -> dict[str, Any]:
    """The schema of `pipelines/<name>.yaml`, or of `[tool.canon]`."""
    model: type[BaseModel] = Settings if settings else Declaration
    title = "Settings of a Canon project" if settings else "Declaration of a Canon pipeline"
    return {"$schema": DIALECT, **model.model_json_schema(by_alias=True), "title": title}
