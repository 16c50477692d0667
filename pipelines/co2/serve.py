"""The service: forecasts by the features and the model of training, and what the model that answers was made from.

It imports neither MLflow nor pandas, writes nothing, and starts only with the model that its provenance names.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from .features import parse_date
from .model import COEFFICIENTS, MODEL, load_model

MOST_DATES = 1000
MOST_BYTES = 64 * 1024
"""Bytes of the largest body that is read; 1,000 dates have 14,000."""


class Dates(BaseModel):
    """What is asked: days as `YYYY-MM-DD`."""

    model_config = ConfigDict(extra="forbid")

    dates: Annotated[list[str], Field(min_length=1, max_length=MOST_DATES)]


class Forecast(BaseModel):
    """What is answered: CO2 on each day, in ppm, in the order of the dates."""

    co2: list[float]


class Version(BaseModel):
    """What answers. Commit, data hash and result are null where no provenance file is named, as in a checkout."""

    commit: str | None
    data_hash: str | None
    result: str | None
    model: str


def hash_model(folder: Path) -> str:
    """The model's name: sha256 over the canonical JSON of the sorted list of [path, sha256] of its files."""
    files = sorted(
        [path.relative_to(folder).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()]
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    return hashlib.sha256(json.dumps(files, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def load_version(model: Path, provenance: str | None) -> Version:
    """What the provenance file says, where one is named. Raises ValueError when it is about another model than the one that lies here."""
    found = hash_model(model)
    if not provenance:
        return Version(commit=None, data_hash=None, result=None, model=found)
    try:
        document: dict[str, Any] = json.loads(Path(provenance).read_text(encoding="utf-8"))
        files = sorted([path, file["sha256"]] for path, file in document["model"]["files"].items())
        version = Version(
            commit=document["commit"], data_hash=document["data_hash"], result=document["result"], model=found
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{provenance} is no provenance of a model: {error}") from None
    recorded = hashlib.sha256(json.dumps(files, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()
    if recorded != found:
        raise ValueError(f"{model} has the hash {found}, and {provenance} names {recorded}: it is another model")
    return version


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the model; a service without one, or with another one, does not start."""
    app.state.model = load_model(MODEL / COEFFICIENTS)
    app.state.version = load_version(MODEL, os.environ.get("CANON_PROVENANCE"))
    yield


app = FastAPI(title="co2", description="CO2 at Mauna Loa, in ppm.", lifespan=lifespan)


@app.middleware("http")
async def bounded(request: Request, call_next: Any) -> Any:  # noqa: ANN401  Starlette's own types
    """Refuse a body that is too large, or of a length that is not known, before it is read."""
    length = request.headers.get("content-length", "0")
    if "chunked" in request.headers.get("transfer-encoding", "").lower():
        return JSONResponse({"detail": "send the body with its length, not in chunks"}, status_code=411)
    if not length.isdecimal() or int(length) > MOST_BYTES:
        return JSONResponse({"detail": f"the body has more than {MOST_BYTES} bytes"}, status_code=413)
    return await call_next(request)


@app.exception_handler(RequestValidationError)
async def refused(_: Request, error: RequestValidationError) -> Response:
    """Say where and why, without what was sent: Python reads NaN and lone surrogates from JSON, and no answer can hold them."""
    detail = [{key: each[key] for key in ("type", "loc", "msg")} for each in error.errors()]
    return Response(json.dumps({"detail": detail}), 422, media_type="application/json")


@app.post("/predict")
def predict(asked: Dates, request: Request) -> Forecast:
    """CO2 on each date."""
    days: list[dt.date] = []
    for number, text in enumerate(asked.dates):
        try:
            days.append(_day(text))
        except ValueError as error:
            raise HTTPException(
                422, detail=[{"type": "value_error", "loc": ["body", "dates", number], "msg": str(error)}]
            ) from None
    return Forecast(co2=[request.app.state.model.predict(day) for day in days])


def _day(text: str) -> dt.date:
    """The day of a text that is a date and nothing more: `parse_date` reads the beginning, as records have times behind it."""
    day = parse_date(text)
    if day.isoformat() != text:
        raise ValueError(f"{text!r} is no date; write YYYY-MM-DD")
    return day


@app.get("/health")
def health(request: Request) -> dict[str, str]:
    """Tell that the model is there."""
    return {"status": "ok", "model": request.app.state.version.model}


@app.get("/version")
def version(request: Request) -> Version:
    """Tell which code, data and model answer."""
    found: Version = request.app.state.version
    return found
