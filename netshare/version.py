"""The version and the commit of the installed distribution, which is named `netshare-traces` (the command is `netshare`)."""

from __future__ import annotations

import json
import subprocess
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "netshare-traces"


def version() -> str:
    """Such as `0.1.0`; `0+unknown` where the packages are used without being installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "0+unknown"


def commit() -> str | None:
    """The commit that this version was installed or is run from, `-dirty` behind it where files were changed since;
    None where that is not known, as of a release from a package index."""
    try:
        origin = json.loads(metadata.distribution(DISTRIBUTION).read_text("direct_url.json") or "{}")
        if found := origin.get("vcs_info", {}).get("commit_id"):
            return str(found)
    except (metadata.PackageNotFoundError, ValueError):
        pass
    checkout = Path(__file__).resolve().parent.parent
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None
