"""From DVC's stage names to names that Kubernetes and Argo take, and back.

A name of small letters, digits and single ``-`` that begins with a letter stays as it is. In all others a character that
is none of these is written ``--`` and its code's two hex digits, or ``--x…x`` where there are not two; a first character that is no
letter stands behind ``x--00``. So ``fit@gb`` is ``fit--40gb``. What then exceeds 63 characters is cut and gets a hash.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from canon.model.errors import CanonError, Problem

MAX_LENGTH = 63
_PLAIN = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_HASH_LENGTH = 10


def dns_name_from_stage(name: str) -> str:
    """The DNS label (RFC 1123, a letter first) of a stage; different stages have different ones."""
    escaped = name if _PLAIN.fullmatch(name) else _escape(name)
    if len(escaped) <= MAX_LENGTH:
        return escaped
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
    return f"{escaped[: MAX_LENGTH - _HASH_LENGTH - 4].rstrip('-')}--z-{digest}"


def _escape(name: str) -> str:
    text = ""
    for index, character in enumerate(name):
        if _is_kept(character) and (index or character.isalpha()):
            text += character
        elif character == "-" and text and index + 1 < len(name) and _is_kept(name[index + 1]):
            text += "-"
        else:
            code = f"{ord(character):x}"
            text += f"--{code}" if len(code) == 2 else f"--x{code}x"  # noqa: PLR2004  hex digits of a short code
    return f"x--00{text}" if text.startswith("-") or not text else text


def _is_kept(character: str) -> bool:
    return "a" <= character <= "z" or (character.isascii() and character.isdigit())


def stage_from_dns_name(dns: str, names: Iterable[str]) -> str:
    """The stage among ``names`` that a DNS label stands for. Raises CanonError when it is none of them."""
    for name in names:
        if dns_name_from_stage(name) == dns:
            return name
    raise CanonError(f"no stage is called {dns!r} in the cluster")


def check_names(names: Iterable[str]) -> tuple[Problem, ...]:
    """Problems of names that would be one name in the cluster (a cut name's hash can collide)."""
    owners: dict[str, str] = {}
    problems: list[Problem] = []
    for name in names:
        owner = owners.setdefault(dns_name_from_stage(name), name)
        if owner != name:
            problems.append(
                Problem(
                    file="",
                    path=f"stages.{name}",
                    message=f"and `{owner}` have one name in the cluster, {dns_name_from_stage(name)}",
                    remedy="rename one of them",
                )
            )
    return tuple(problems)
