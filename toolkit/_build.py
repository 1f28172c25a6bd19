"""Packaging: put data/ into the wheel, so that an installed package finds its models without a checkout."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools.command.build_py import build_py

DATA = Path("data")


class BuildWithData(build_py):  # type: ignore[misc, unused-ignore]
    """The ordinary build, plus a copy of data/ as toolkit/_data."""

    def run(self) -> None:
        """Build the modules, then copy the data (not in an editable install, which reads the checkout).

        What an earlier build left in the folder is removed first: it may hold files that no longer exist.
        """
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        if self.editable_mode or not DATA.is_dir():
            return
        for source in sorted(path for path in DATA.rglob("*") if path.is_file()):
            target = Path(self.build_lib, "toolkit", "_data", source.relative_to(DATA))
            self.mkpath(str(target.parent))
            self.copy_file(str(source), str(target))
