"""Badges and links of the course, all made from one setting: which repository, at which tag.

``python -m toolkit.course badges OWNER/NAME`` writes the setting and rebuilds what depends on it. As long as nothing
is set there are no badges: a link that leads nowhere is worse than none.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

SETTING = "repository.json"
BEGIN, END = "<!-- badges: begin -->", "<!-- badges: end -->"


@dataclass(frozen=True)
class Repository:
    """Where the project is published.

    Attributes:
        name: ``owner/name`` on GitHub, or "" where it is not known yet.
        tag: The tag that links point at.
    """

    name: str
    tag: str

    def __post_init__(self) -> None:
        if self.name and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+", self.name):
            raise ValueError(f"the repository must be given as owner/name, got {self.name!r}")
        if not re.fullmatch(r"[A-Za-z0-9._/-]+", self.tag):
            raise ValueError(f"the tag must be a name such as v0.1.0, got {self.tag!r}")

    def colab(self, notebook: str) -> str:
        """Link that opens a notebook (``01_x.ipynb``) in Colab."""
        return f"https://colab.research.google.com/github/{self.name}/blob/{self.tag}/notebooks/{notebook}"

    def binder(self, notebook: str) -> str:
        """Link that opens a notebook in Binder."""
        return f"https://mybinder.org/v2/gh/{self.name}/{self.tag}?urlpath=lab/tree/notebooks/{notebook}"

    def badges(self, notebook: str | None = None) -> str:
        """Markdown badges of one notebook, or of the course, which open lesson 00; "" where no repository is set."""
        if not self.name:
            return ""
        shown = notebook or "00_start.ipynb"
        return (
            f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({self.colab(shown)})\n"
            f"[![Open in Binder](https://mybinder.org/badge_logo.svg)]({self.binder(shown)})"
        )

    def install(self) -> str:
        """What pip installs in Colab."""
        return f"git+https://github.com/{self.name}@{self.tag}"


def read(notebooks: Path) -> Repository:
    """The setting of a folder of notebooks.

    Raises:
        ValueError: The file holds something else.
    """
    found = json.loads((notebooks / SETTING).read_text(encoding="utf-8"))
    if set(found) != {"name", "tag"}:
        raise ValueError(f"{notebooks / SETTING} must hold name and tag, got {sorted(found)}")
    return Repository(**found)


def write(notebooks: Path, repository: Repository) -> None:
    """Store the setting."""
    text = json.dumps(asdict(repository), indent=2) + "\n"
    (notebooks / SETTING).write_text(text, encoding="utf-8")


def put_into(text: str, badges: str) -> str:
    """Replace what stands between the two badge marks of a document; a document without marks stays as it is."""
    if BEGIN not in text or END not in text:
        return text
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    return f"{before}{BEGIN}\n{badges}\n{END}{after}" if badges else f"{before}{BEGIN}\n{END}{after}"
