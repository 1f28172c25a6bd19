"""Where Chromium is, if it is."""

import shutil

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
