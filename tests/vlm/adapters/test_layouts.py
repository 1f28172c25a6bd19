"""Every released layout loads, and what is loaded is the model that was saved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from support.layouts import LAYOUTS, layouts_of, write_checkpoint
from support.subjects import MODEL_TYPE, released, sample

from toolkit.vlm.adapters.families import adapter_class
from toolkit.vlm.loading.checkpoint import CheckpointError
from toolkit.vlm.loading.load_checkpoint import load_vlm
from toolkit.vlm.model import LoadedVLM


@pytest.mark.parametrize(("family", "layout"), [(f, layout) for f in MODEL_TYPE for layout in layouts_of(f)])
def test_what_was_saved_is_loaded(family: str, layout: str, tmp_path: Path) -> None:
    model, processor = released(family)
    dtype = LAYOUTS[layout].get("dtype", torch.float32)
    for weight in model.parameters():
        weight.data = weight.data.to(dtype).float()
    saved = LoadedVLM("saved", adapter_class(MODEL_TYPE[family])(processor), model)
    folder = write_checkpoint(tmp_path / "folder", family, model, processor, **LAYOUTS[layout])
    vlm = load_vlm(folder, device="cpu", players="tokens")
    game, other = vlm.game(sample(1, (300, 200)), target="yes"), saved.game(sample(1, (300, 200)), target="yes")
    assert game.players == other.players
    chosen = np.random.default_rng(0).random((3, game.players.n)) < 0.5
    np.testing.assert_allclose(game(chosen), other(chosen), atol=1e-6, rtol=0)


CONTRADICTIONS = (
    (
        "llava",
        "processor_config.json",
        {"patch_size": 16},
        "patch size: 16 in processor_config.json, 14 in config.json",
    ),
    ("llava", "processor_config.json", {"vision_feature_select_strategy": "full"}, "feature strategy: full in"),
    ("llava", "processor_config.json", {"num_additional_image_tokens": 2}, "additional image tokens: 2 in"),
    (
        "llava",
        "config.json",
        {"image_token_id": 5, "image_token_index": 5},
        "image token: [0-9]+ in the tokenizer, 5 in",
    ),
    ("qwen2.5-vl", "config.json", {"image_token_id": 5}, "image token: [0-9]+ in the tokenizer, 5 in config.json"),
    ("internvl", "processor_config.json", {"image_seq_length": 64}, "image sequence length: 64 in .*, 16 in config"),
    ("internvl", "config.json", {"image_token_id": 5}, "image token: [0-9]+ in the tokenizer, 5 in config.json"),
    ("qwen3-vl", "config.json", {"image_token_id": 5}, "image token: [0-9]+ in the tokenizer, 5 in config.json"),
    ("llava-onevision", "config.json", {"image_token_index": 5}, "image token: [0-9]+ in the tokenizer, 5 in config"),
    ("llava-onevision", "config.json", {"image_grid_pinpoints": [[58, 58]]}, "sizes of tiled images: .* in config"),
    ("llava-onevision", "config.json", {"vision_aspect_ratio": "anyres_max_4"}, "bound of the tiles' tokens: .*_4 in"),
    ("llava-onevision", "processor_config.json", {"num_image_tokens": 9}, "number of tokens of a tile: 9 in .*, 16 in"),
    (
        "llava-onevision",
        "processor_config.json",
        {"vision_feature_select_strategy": "default"},
        "feature strategy: def",
    ),
    ("idefics3", "processor_config.json", {"image_seq_len": 9}, "image sequence length: 9 in .*, 4 in config"),
    ("smolvlm", "config.json", {"image_token_id": 5}, "image token: [0-9]+ in the tokenizer, 5 in config.json"),
    ("gemma3", "processor_config.json", {"image_seq_length": 64}, "image sequence length: 64 in .*, 16 in config"),
    ("gemma3", "config.json", {"image_token_index": 5}, "image token: [0-9]+ in the tokenizer, 5 in config.json"),
    ("mistral3", "processor_config.json", {"spatial_merge_size": 1}, "spatial merge size: 1 in .*, 2 in config"),
    ("mistral3", "processor_config.json", {"patch_size": 16}, "patch size: 16 in .*, 14 in config"),
    ("pixtral", "processor_config.json", {"patch_size": 14}, "patch size: 14 in .*, 16 in config"),
    ("mistral3", "config.json", {"image_token_index": 5}, "image token: [0-9]+ in the tokenizer, 5 in config.json"),
)


@pytest.mark.parametrize(("family", "file", "changes", "message"), CONTRADICTIONS)
def test_what_contradicts_itself_is_refused_with_both_values(
    family: str, file: str, changes: dict, message: str, tmp_path: Path
) -> None:
    folder = write_checkpoint(tmp_path / "folder", family, *released(family))
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(CheckpointError, match=message):
        load_vlm(folder, device="cpu")


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("llava", {"crop_size": {"height": 224, "width": 224}}, "image size: 224 in preprocessor_config.json, 336 in"),
        ("qwen2.5-vl", {"patch_size": 16}, "patch size: 16 in preprocessor_config.json, 14 in"),
        ("qwen2.5-vl", {"merge_size": 1}, "spatial merge size: 1 in preprocessor_config.json, 2 in"),
        ("qwen3-vl", {"patch_size": 14}, "patch size: 14 in preprocessor_config.json, 16 in"),
        (
            "llava-onevision",
            {"size": {"height": 72, "width": 72}},
            "size of a tile: 72 in preprocessor_config.json, 58",
        ),
        (
            "internvl",
            {"size": {"height": 224, "width": 224}},
            "size of a tile: 224 in preprocessor_config.json, 112 in",
        ),
        ("idefics3", {"max_image_size": {"longest_edge": 32}}, "size of a tile: 32 in preprocessor_config.json, 64 in"),
        ("gemma3", {"size": {"height": 224, "width": 224}}, "image size: 224 in preprocessor_config.json, 112 in"),
        ("gemma3", {"do_pan_and_scan": True}, "do_pan_and_scan, which shows crops as further images"),
    ],
)
def test_an_image_processor_of_another_model_is_refused(
    family: str, changes: dict, message: str, tmp_path: Path
) -> None:
    folder = write_checkpoint(tmp_path / "folder", family, *released(family), is_older=True)
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(CheckpointError, match=message):
        load_vlm(folder, device="cpu")


@pytest.mark.parametrize("family", MODEL_TYPE)
def test_older_files_without_those_of_the_image_processor_are_refused_by_name(family: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "folder", family, *released(family), is_older=True)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"lacks preprocessor_config.json, which says how images are prepared"):
        load_vlm(folder, device="cpu")


def test_a_siglip_tower_whose_first_patch_would_be_dropped_is_refused(tmp_path: Path) -> None:
    model, processor = released("llava", tower="siglip")
    model.config.vision_feature_select_strategy = processor.vision_feature_select_strategy = "default"
    folder = write_checkpoint(tmp_path / "folder", "llava", model, processor)
    with pytest.raises(CheckpointError, match="0 tokens besides its patches.*a patch would be lost"):
        load_vlm(folder, device="cpu")
