"""The version of the installed distribution, which is named `netshare-traces` (the command is `netshare`)."""

from __future__ import annotations

from importlib import metadata

DISTRIBUTION = "netshare-traces"


def version() -> str:
    """Such as `0.1.0`; `0+unknown` where the packages are used without being installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "0+unknown"
