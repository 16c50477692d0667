"""DVC's own view of a checkout, opened with an error that says what is wrong."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from canon.model.errors import CanonError

if TYPE_CHECKING:
    from dvc.repo import Repo


def open_repository(root: Path, need: str = "") -> Repo:
    """Open DVC's repository at ``root``; ``need`` says what for, where that is not plain. The caller closes it.

    Raises CanonError where there is none, or DVC cannot read its settings or its state.
    """
    from dvc.config import ConfigError
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo

    try:
        return Repo(str(root))
    except NotDvcRepoError:
        raise CanonError(f"{root} is no DVC repository{need}; run `dvc init` there") from None
    except ConfigError as error:
        raise CanonError(f"DVC cannot read its settings in {root}/.dvc ({_line(error)}); mend them") from None
    except DvcException as error:
        raise CanonError(f"DVC cannot open {root} ({_line(error)}); `dvc status` there says more") from None
    except (sqlite3.Error, OSError) as error:
        raise CanonError(
            f"DVC cannot open its own state for {root} ({_line(error)}); is the disk full, or read-only?"
        ) from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
