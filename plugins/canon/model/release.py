"""A release, `argo/<name>/releases/<environment>.yaml`: which image answers in an environment, what it was made of, who put it there and why.

The file holds the newest one; those before it are what Git has of the file. Each is also a Git tag in the convention of DVC's model registry (GTO).
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from canon.model.errors import Problem, ProblemsError
from canon.model.fields import Declared, DnsName, Name, Text
from canon.model.problems import locate_yaml, problems_from_validation
from canon.output.yaml import compose_yaml, format_yaml, load_yaml

HEADER = """\
# Written by `canon release`, `promote` and `rollback`, each time as a commit of its own; don't edit it: what follows from it would not.
"""
REMEDY = "restore what Git has of the file; `canon rollback` and `canon release` change what is released"
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[int, Field(strict=True, ge=1)]


class Origin(Declared):
    """The release that another one repeats: of which environment, and its number."""

    environment: DnsName
    number: Positive


class Release(Declared):
    """One release.

    ``number``: that of its tag `<pipeline>#<environment>#<number>`; it counts the releases of a pipeline in all environments, as GTO does.
    ``version``: of its tag `<pipeline>@<version>`. ``experiment``: the commit that both tags are on, whose dvc.lock, params and pins are those of
    the result. ``commit``: the last one that changed the source tree ``tree``. ``entries``: stage → run-cache value of its entry. ``run``: the
    row in MLflow, by its address or id; ``model``: `name/version` in MLflow's registry. ``metrics`` are named as in MLflow. ``promoted``: the release
    that it was taken from; ``restores``: the earlier one of this environment that it brings back.
    """

    schema_: Literal[1] = Field(default=1, alias="schema")
    pipeline: Name
    environment: DnsName
    number: Positive
    image: Annotated[str, Field(pattern=r"^[^\s@]+@sha256:[0-9a-f]{64}$", max_length=1024)]
    version: Annotated[str, Field(pattern=r"^v[0-9]+\.[0-9]+\.[0-9]+$")]
    commit: Hash
    tree: Hash
    experiment: Hash
    result: Sha256
    data_hash: Sha256
    entries: dict[str, Sha256]
    run: Text | None = None
    model: Text | None = None
    metrics: dict[str, Annotated[float, Field(allow_inf_nan=True)]] = Field(default_factory=dict)
    promoted: Origin | None = None
    restores: Positive | None = None
    time: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    author: Text
    why: Text

    @property
    def digest(self) -> str:
        """The image's digest, `sha256:` and 64 hex digits."""
        return self.image.rpartition("@")[2]

    @property
    def tag(self) -> str:
        """The Git tag that says where it was released."""
        return f"{self.pipeline}#{self.environment}#{self.number}"

    @property
    def version_tag(self) -> str:
        """The Git tag that gives the experiment its version."""
        return f"{self.pipeline}@{self.version}"


def release_path(pipeline: str, environment: str) -> str:
    """Where the release of an environment lies, from the root."""
    return f"argo/{pipeline}/releases/{environment}.yaml"


def format_release(release: Release) -> str:
    """The file's content."""
    document: dict[str, Any] = release.model_dump(by_alias=True, exclude_none=True)
    return HEADER + format_yaml(document)


def release_from_text(text: str, file: str) -> Release:
    """Read such a file; ``file``: its path from the root. Raises ProblemsError for one that was edited into nonsense."""
    document = load_yaml(text, file)
    try:
        release = Release.model_validate(document)
    except ValidationError as error:
        node = compose_yaml(text, file)
        problems = problems_from_validation(
            error, file=file, data=document, model=Release, locate=partial(locate_yaml, node)
        )
        raise ProblemsError(
            Problem(file=each.file, line=each.line, path=each.path, message=each.message, remedy=REMEDY)
            for each in problems
        ) from None
    if release_path(release.pipeline, release.environment) != file:
        message = f"is the release of {release.pipeline} in {release.environment}"
        raise ProblemsError([Problem(file=file, line=1, path="pipeline", message=message, remedy=REMEDY)])
    return release
