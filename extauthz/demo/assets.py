"""Where the example policy sets are."""

from __future__ import annotations

from pathlib import Path

from extauthz.errors import EnvironmentUnfitError


def policies_dir() -> Path:
    """The folder of example sets: in the installed package, or beside it in a checkout (an editable install).

    Raises:
        EnvironmentUnfitError: The installation lacks it.
    """
    package = Path(__file__).parent.parent
    for folder in (package / "policies", package.parent / "policies"):
        if (folder / "shop" / "policy.yaml").is_file():
            return folder
    raise EnvironmentUnfitError("the example policies are missing from this installation: install extauthz again")
