"""The differentiable inside of a game, for explainers that need gradients, attention or activations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.games.game import Players
from toolkit.vlm.engine import decoder
from toolkit.vlm.engine.products import fast_products

if TYPE_CHECKING:
    from toolkit.vlm.answer_scoring import Scoring
    from toolkit.vlm.sample_game import SampleGame


def _by_form(scoring: Scoring) -> list[tuple[float, ...]]:
    """The weights of each forced answer."""
    first = len(scoring.forms[0])
    return [scoring.weights[:first], *([scoring.weights[first:]] if len(scoring.forms) > 1 else [])]


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
        scoring = game.scoring
        stops = [max(np.flatnonzero(w)) + 1 for w in _by_form(scoring)]
        self._forced = [form[:stop] for form, stop in zip(scoring.forms, stops, strict=True)]
        if len(self._forced) > 1:  # one pass, up to where the two part
            self._forced.append(scoring.forms[0][: scoring.first[0] + 1])
        self.target_ids: tuple[int, ...] = self._forced[-1][scoring.first[0] :]
        self.pixels: Tensor = view.pixels[None].detach().clone()
        self.baseline_pixels: Tensor = view.baseline(adapter, game.baseline)[None].detach().clone()
        device = self._hf.device
        with torch.no_grad():
            ids = [torch.tensor([[*view.prompt.ids, *forced[:-1]]], device=device) for forced in self._forced]
            self._templates = [decoder.embed(self._hf, some).detach().clone() for some in ids]
            pad = torch.full_like(self.text_positions, game.vlm.pad_id)
            self.baseline_question: Tensor = decoder.embed(self._hf, pad)[None].detach().clone()
        self.question: Tensor = self._templates[0][:, self.text_positions].clone()
        extra = view.next_position + np.arange(max(map(len, self._forced)) - 1)
        positions = np.concatenate([view.positions, np.broadcast_to(extra, (len(view.positions), len(extra)))], axis=1)
        self._positions = torch.from_numpy(positions).to(device)
        self._image_slots = torch.tensor(view.prompt.image_positions, device=device)

    @property
    def grids(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of the image tokens, for each image."""
        return tuple((image.geometry.rows, image.geometry.columns) for image in self._game.view.images)

    @property
    def length(self) -> int:
        """Tokens that enter the decoder."""
        return max(template.shape[1] for template in self._templates)

    @property
    def image_positions(self) -> Tensor:
        """Sequence positions (n_image,) in the decoder input, in player order."""
        slots = np.array(self._game.view.prompt.image_positions)[self._game.view.token_of_player]
        return torch.from_numpy(slots).to(self._hf.device)

    @property
    def text_positions(self) -> Tensor:
        """Sequence positions (n_text,) of the text players in the decoder input."""
        return torch.tensor(self._game.view.prompt.text_positions, device=self._hf.device)

    @property
    def user_positions(self) -> Tensor:
        """Sequence positions of the tokens of the user's text: the question and its instruction."""
        return torch.tensor(self._game.view.prompt.user_positions, device=self._hf.device)

    def _logits(self, pixels: Tensor, question: Tensor, number: int) -> Tensor:
        """Logits (B, n_forced, vocabulary) at the positions that predict the tokens of one forced answer."""
        batch = len(pixels)
        adapter = self._game.vlm.adapter
        inputs = self._game.view.pixel_inputs(adapter, pixels)
        with fast_products():
            features = decoder.encode_images(self._hf, inputs, batch, adapter.n_layer_features(self._hf.config))
        rows = torch.arange(batch, device=pixels.device).repeat_interleave(len(self._image_slots))
        where = (rows, self._image_slots.repeat(batch))
        sequence = self._templates[number].expand(batch, -1, -1)
        sequence, slots = decoder.insert_images(sequence, features.flatten(0, 1), where, both_ways=adapter.both_ways)
        sequence = sequence.index_copy(1, self.text_positions, question.to(sequence.dtype))
        length = sequence.shape[1]
        mask = torch.ones(length, length, dtype=torch.bool, device=sequence.device).tril().expand(batch, -1, -1)
        positions = self._positions[:, None, :length].expand(-1, batch, -1)
        index = torch.arange(length, device=sequence.device)
        where_to = positions if len(positions) > 1 else positions[0]
        with fast_products():
            hidden = decoder.decode(self._hf, sequence, mask, where_to, index, slots)
        return decoder.lm_head(self._hf, hidden[:, -len(self._forced[number]) :]).float()

    def score(self, pixels: Tensor, question: Tensor) -> Tensor:
        """Differentiable log-probability (B,) of the target, of pixels (B, ...) and question (B, n_text, dim).

        Of a sentence the sum or the mean over its tokens, of a contrast the log-odds.
        """
        total = pixels.new_zeros(len(pixels), dtype=torch.float32)
        for number, weights in enumerate(_by_form(self._game.scoring)):
            logs = self._logits(pixels, question, number).log_softmax(dim=-1)
            for at in np.flatnonzero(weights).tolist():
                total = total + weights[at] * logs[:, at, self._forced[number][at]]
        return total

    def value(self, pixels: Tensor, question: Tensor) -> Tensor:
        """Differentiable v (B,): the probability of the target, or ``score`` where the game is about logarithms."""
        score = self.score(pixels, question)
        return score.exp() if self._game.unit == "probability" else score

    def logit(self, pixels: Tensor, question: Tensor) -> Tensor:
        """Differentiable raw logit (B,) of the first target token at the predicting position.

        Of a sentence the sum or the mean over its tokens; of a contrast the difference where the answers part.
        """
        scoring, last = self._game.scoring, len(self._forced) - 1
        logits, first = self._logits(pixels, question, last), scoring.first[0]
        if len(scoring.forms) > 1:
            one, other = (form[first] for form in scoring.forms)
            return logits[:, -1, one] - logits[:, -1, other]
        if scoring.unit == "probability":
            return logits[:, first, scoring.forms[0][first]]
        tokens = logits[:, torch.arange(len(self.target_ids)), list(self.target_ids)]
        return tokens.sum(dim=-1) * scoring.weights[0]

    def pixels_to_players(self, attribution: Tensor) -> Tensor:
        """Sum (B, *pixel_shape) over each image player's pixels: (B, n_image)."""
        flat = attribution.flatten(1)
        summed = flat.new_zeros(len(flat), self.players.n_image + 1)
        owners = self._game.view.player_of_pixel.expand(attribution.shape[1:])
        summed.index_add_(1, owners.flatten(), flat)
        return summed[:, :-1]
