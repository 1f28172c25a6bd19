"""Check that a checkpoint's processor and model agree: fill gaps, refuse contradictions."""

from __future__ import annotations

from typing import Any

from toolkit.vlm.loading.checkpoint import CheckpointError


def agreed(of_processor: Any, of_config: Any, what: str, sources: tuple[str, str]) -> Any:
    """The value that both have, or the only one that there is.

    Args:
        of_processor: What the processor says; None where it says nothing.
        of_config: What the model's configuration says; likewise.
        what: Name of the setting, for the message.
        sources: Where the two stand, for the message.

    Raises:
        CheckpointError: They differ.
    """
    if of_processor is None or of_config is None:
        return of_config if of_processor is None else of_processor
    if of_processor != of_config:
        raise CheckpointError(
            f"the checkpoint contradicts itself in its {what}: {of_processor} in {sources[0]}, {of_config} in "
            f"{sources[1]}; the image would be read as another one. Take both files from one checkpoint"
        )
    return of_processor


def agree_on_token(processor: Any, config: Any) -> None:
    """The token that stands for an image must be the one that the model replaces.

    Raises:
        CheckpointError: It is another one.
    """
    token = getattr(processor, "image_token_id", None)
    agreed(token, getattr(config, "image_token_id", None), "image token", ("the tokenizer", "config.json"))
