"""Print the lowest version that pyproject.toml allows of every core dependency: constraints for ``make test-floor``."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path


def floors() -> dict[str, str]:
    """Name -> version of the core dependencies."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = (re.match(r"([\w-]+)[^>]*>=([\d.]+)", wanted) for wanted in project["dependencies"])
    return {match[1]: match[2] for match in found if match}


if __name__ == "__main__":
    sys.stdout.writelines(f"{name}=={version}\n" for name, version in floors().items())
