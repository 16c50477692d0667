"""What the harness says of manifests that a cluster would not run, or that it cannot run itself."""

from __future__ import annotations


class HarnessError(Exception):
    """Something in the manifests, or in what the test gave, keeps the harness from going on."""


class UnknownFieldError(HarnessError):
    """A manifest has a field that no API server knows, or one that the harness does not implement."""


class RefusedError(HarnessError):
    """The API server refuses the object when it is applied."""


class HangsError(HarnessError):
    """The real workflow would stay Pending or Running for ever."""


class InvalidSpecError(HarnessError):
    """The controller fails the workflow when it looks at it first; in a report it is the workflow's message."""


class NotFoundError(HarnessError):
    """A workflow names a template that nobody applied."""


class NodeError(HarnessError):
    """A node ends in phase Error with this message, and starts no pod."""
