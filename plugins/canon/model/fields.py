"""The field types that the declared models share: what they accept, and how they appear in the JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Strict, StringConstraints, Tag

DNS_LABEL = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
NAME = r"^[A-Za-z_][A-Za-z0-9_-]*$"
QUANTITY = r"^([0-9]+(\.[0-9]+)?|\.[0-9]+)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][-+]?[0-9]+)?$"
DURATION = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
ABSOLUTE = r"^/"
URL_PATH = r"^/[!-~]*$"
DVC_FILE = r"(^|/)dvc\.yaml$"
IMAGE = r"^\S+$"
BRANCH = r"^[A-Za-z0-9._*/-]+$"
TIMEZONE = r"^[A-Za-z0-9_+/-]+$"
URL = r"^https?://[^\s@?#]+$"


class Declared(BaseModel):
    """A frozen mapping that knows all its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False, defer_build=False)


Flag: TypeAlias = Annotated[bool, Strict()]
Count: TypeAlias = Annotated[int, Strict()]
Name: TypeAlias = Annotated[str, StringConstraints(pattern=NAME, max_length=63)]
DnsName: TypeAlias = Annotated[str, StringConstraints(pattern=DNS_LABEL, max_length=63)]
Text: TypeAlias = Annotated[str, StringConstraints(min_length=1)]
RelativePath: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Quantity: TypeAlias = Annotated[str, StringConstraints(pattern=QUANTITY)]
Duration: TypeAlias = Annotated[str, StringConstraints(pattern=DURATION)]
Url: TypeAlias = Annotated[str, StringConstraints(pattern=URL)]


def by_shape(*shapes: str) -> Discriminator:
    """Choose a union's member by the value's shape, so that one mistake gives one error and not one a member.

    ``shapes`` are the tags of the members, in ``<text>``, ``<number>``, ``<list>``, ``<mapping>``; the first one stands for all
    other shapes. No key of a mapping looks like them, so that a location can be cleaned of them.
    """

    def tag(value: Any) -> str:  # noqa: ANN401  whatever YAML holds
        if isinstance(value, dict | BaseModel):
            shape = "<mapping>"
        elif isinstance(value, list | tuple):
            shape = "<list>"
        elif isinstance(value, int | float):
            shape = "<number>"
        else:
            shape = "<text>"
        return shape if shape in shapes else shapes[0]

    return Discriminator(tag)


TEXT, NUMBER, LIST, MAPPING = Tag("<text>"), Tag("<number>"), Tag("<list>"), Tag("<mapping>")
