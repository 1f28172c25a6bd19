"""Print the lowest versions that pyproject.toml allows, of the core and of what the tests need besides.

They are the constraints of ``make test-floor``.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

EXTRAS = ("benchmark", "datasets", "shapley")


def floors() -> dict[str, str]:
    """Name -> version of the core dependencies and those of ``EXTRAS``."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted_lines = [
        *project["dependencies"],
        *(line for name in EXTRAS for line in project["optional-dependencies"][name]),
    ]
    found = (re.match(r"([\w-]+)[^>]*>=([\d.]+)", wanted) for wanted in wanted_lines)
    return {match[1]: match[2] for match in found if match}


if __name__ == "__main__":
    sys.stdout.writelines(f"{name}=={version}\n" for name, version in floors().items())
