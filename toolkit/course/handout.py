"""One zip for a class: the lessons without solutions and sources, and what installs them."""

from __future__ import annotations

import zipfile
from pathlib import Path

from toolkit.course.build import products

TOP = "synergy-toolkit-course"
START = """# Start here

Python 3.11 or newer is needed (`python --version`), and 2 GB of memory. In this folder:

Linux and macOS:

    python3 -m venv .venv
    .venv/bin/python -m pip install {options}
    .venv/bin/python -m toolkit doctor
    .venv/bin/jupyter lab notebooks/00_start.ipynb

Windows:

    py -m venv .venv
    .venv\\Scripts\\python -m pip install {options}
    .venv\\Scripts\\python -m toolkit doctor
    .venv\\Scripts\\jupyter lab notebooks\\00_start.ipynb

{network} The doctor says what is missing.
Exercises, quiz answers and predictions are kept in `notebooks/my_answers.json`: hand in that file and your notebooks.
"""


def handout(notebooks: Path, wheels: Path, out: Path) -> Path:
    """Write the zip. The lessons are built from their sources: what a teacher has solved or run stays at home.

    Args:
        notebooks: Folder of the lessons, with their sources.
        wheels: Folder with the toolkit's wheel; further wheels make an installation without a network.
        out: The zip.

    Raises:
        FileNotFoundError: There are no lessons, or not exactly one wheel of the toolkit.
    """
    lessons = {path.name: content for path, content in products(notebooks) if path.parent == notebooks}
    found = sorted(wheels.glob("*.whl"))
    own = [wheel for wheel in found if wheel.name.startswith("vlm_synergy_toolkit-")]
    if not lessons or len(own) != 1:
        raise FileNotFoundError(
            f"expected sources of lessons in {notebooks / 'src'} and one wheel of the toolkit in {wheels}, "
            f"found {len(lessons)} and {len(own)}; make handout builds both"
        )
    offline = "--no-index --find-links wheels " if len(found) > 1 else ""
    options = f'{offline}-c constraints.txt "wheels/{own[0].name}[all]"'
    network = "No network is needed." if offline else "The installation needs a network, nothing else does."
    out.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{TOP}/START.md", START.format(options=options, network=network))
        archive.write(notebooks.parent / "constraints.txt", f"{TOP}/constraints.txt")
        for name, content in lessons.items():
            archive.writestr(f"{TOP}/notebooks/{name}", content)
        for path in found:
            archive.write(path, f"{TOP}/wheels/{path.name}")
    return out
