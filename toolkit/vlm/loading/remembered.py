"""Results of checkpoint checks, remembered on this machine.

Small JSON files in the user's cache, named by the digest of the question. Nothing here decides a number: a file that
is damaged or cannot be written costs time and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from toolkit.paths import cache_dir


def recall(question: Mapping[str, object]) -> dict[str, Any] | None:
    """What was remembered about a question, or None."""
    try:
        stored = json.loads(_path(question).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_ours = isinstance(stored, dict) and stored.get("question") == json.loads(_canonical(question))
    return dict(stored["answer"]) if is_ours and isinstance(stored.get("answer"), dict) else None


def remember(question: Mapping[str, object], answer: Mapping[str, object]) -> None:
    """Keep an answer, whole or not at all; where the cache cannot be written it is found out again next time."""
    path = _path(question)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".partial")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"question": json.loads(_canonical(question)), "answer": dict(answer)}, file)
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)


def _path(question: Mapping[str, object]) -> Path:
    return cache_dir() / "checkpoints" / f"{hashlib.sha256(_canonical(question).encode()).hexdigest()[:32]}.json"


def _canonical(question: Mapping[str, object]) -> str:
    return json.dumps(question, sort_keys=True, default=str)
