"""The differentiable inside of a game, for explainers that need gradients, attention or activations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.games.game import Players
from toolkit.vlm.engine import decoder

if TYPE_CHECKING:
    from toolkit.vlm.sample_game import SampleGame


class SampleWhiteBox:
    """Log-probability of a game's target as a differentiable function of pixels and question embeddings.

    The sequence is the full prompt: nothing is masked here; explainers move between the sample and the baseline by
    changing ``pixels`` and ``question``.

    Args:
        game: The game whose inside this is.
    """

    def __init__(self, game: SampleGame) -> None:
        view, adapter = game.view, game.vlm.adapter
        self._game = game
        self.model: nn.Module = game.vlm.model
        self._hf = game.vlm.model
        self.players: Players = view.players
        self.grid = (view.geometry.rows, view.geometry.columns)
        self.target_ids: tuple[int, ...] = game.token_ids
        self.pixels: Tensor = view.pixels[None].detach().clone()
        self.baseline_pixels: Tensor = view.baseline(adapter, game.baseline)[None].detach().clone()
        device = self._hf.device
        ids = torch.tensor([[*view.prompt.ids, *game.token_ids[:-1]]], device=device)
        with torch.no_grad():
            self._template = decoder.embed(self._hf, ids).detach().clone()
            pad = torch.full_like(self.text_positions, game.vlm.pad_id)
            self.baseline_question: Tensor = decoder.embed(self._hf, pad)[None].detach().clone()
        self.question: Tensor = self._template[:, self.text_positions].clone()
        extra = view.next_position + np.arange(len(game.token_ids) - 1)
        positions = np.concatenate([view.positions, np.broadcast_to(extra, (len(view.positions), len(extra)))], axis=1)
        self._positions = torch.from_numpy(positions).to(device)
        self._image_slots = torch.tensor(view.prompt.image_positions, device=device)

    @property
    def length(self) -> int:
        """Tokens that enter the decoder."""
        return self._template.shape[1]

    @property
    def image_positions(self) -> Tensor:
        """Sequence positions (n_image,) in the decoder input, in player order."""
        slots = np.array(self._game.view.prompt.image_positions)[self._game.view.geometry.token_of_player]
        return torch.from_numpy(slots).to(self._hf.device)

    @property
    def text_positions(self) -> Tensor:
        """Sequence positions (n_text,) of the text players in the decoder input."""
        return torch.tensor(self._game.view.prompt.text_positions, device=self._hf.device)

    @property
    def user_positions(self) -> Tensor:
        """Sequence positions of the tokens of the user's text: the question and its instruction."""
        return torch.tensor(self._game.view.prompt.user_positions, device=self._hf.device)

    def _logits(self, pixels: Tensor, question: Tensor) -> Tensor:
        """Logits (B, n_target, vocabulary) at the positions that predict the target's tokens."""
        batch = len(pixels)
        adapter = self._game.vlm.adapter
        inputs = adapter.pixel_inputs(pixels, self._game.view.geometry)
        features = decoder.encode_images(self._hf, inputs, batch, adapter.n_layer_features(self._hf.config))
        rows = torch.arange(batch, device=pixels.device).repeat_interleave(len(self._image_slots))
        where = (rows, self._image_slots.repeat(batch))
        sequence = self._template.expand(batch, -1, -1)
        sequence, slots = decoder.insert_images(sequence, features.flatten(0, 1), where, both_ways=adapter.both_ways)
        sequence = sequence.index_copy(1, self.text_positions, question.to(sequence.dtype))
        length = sequence.shape[1]
        mask = torch.ones(length, length, dtype=torch.bool, device=sequence.device).tril().expand(batch, -1, -1)
        positions = self._positions[:, None].expand(-1, batch, -1)
        index = torch.arange(length, device=sequence.device)
        where_to = positions if len(positions) > 1 else positions[0]
        hidden = decoder.decode(self._hf, sequence, mask, where_to, index, slots)
        return decoder.lm_head(self._hf, hidden[:, -len(self.target_ids) :]).float()

    def score(self, pixels: Tensor, question: Tensor) -> Tensor:
        """Differentiable log-probability (B,) of the target, of pixels (B, ...) and question (B, n_text, dim)."""
        logs = self._logits(pixels, question).log_softmax(dim=-1)
        return logs[:, torch.arange(len(self.target_ids)), list(self.target_ids)].sum(dim=-1)

    def logit(self, pixels: Tensor, question: Tensor) -> Tensor:
        """Differentiable raw logit (B,) of the first target token at the predicting position."""
        return self._logits(pixels, question)[:, 0, self.target_ids[0]]

    def pixels_to_players(self, attribution: Tensor) -> Tensor:
        """Sum (B, *pixel_shape) over each image player's pixels: (B, n_image)."""
        flat = attribution.flatten(1)
        summed = flat.new_zeros(len(flat), self.players.n_image + 1)
        owners = self._game.view.player_of_pixel.expand(attribution.shape[1:])
        summed.index_add_(1, owners.flatten(), flat)
        return summed[:, :-1]
