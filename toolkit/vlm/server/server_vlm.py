"""A model behind a server, asked as everybody asks it: an image, a text, and the first token of the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from functools import partial
from math import exp, sqrt
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toolkit.datasets.baselines import BASELINES
from toolkit.datasets.instructions import make_instruction
from toolkit.datasets.sample import Sample
from toolkit.games.game import Players, UnscoredError
from toolkit.games.target import Target, TargetError, read_target
from toolkit.typing import Coalitions, Regions
from toolkit.vlm.adapters.adapter_base import check_image, grid_regions
from toolkit.vlm.partition import ImageGrid, Partition, PlayersError, Span, check_players, make_partition
from toolkit.vlm.protocol import Answer, check_asked
from toolkit.vlm.server.address import parse_address
from toolkit.vlm.server.chat_client import Body, ChatClient, NotConfirmedError, TopTokens
from toolkit.vlm.server.chat_request import as_png, base_grid, make_body, masked, owners, without_words
from toolkit.vlm.server.server_game import ServerGame

if TYPE_CHECKING:
    from toolkit.vlm.engine.store import CoalitionStore

_FREE_ANSWER_TOKENS = 8
_GAMES = 8
Style = Callable[[str], str]


class ServerVLM:
    """A model behind an OpenAI-compatible server that gives log-probabilities, such as vLLM or llama.cpp.

    It is a black box: explainers that ask the game explain it, and those that need gradients, attention or activations
    cannot, since these stay on the server. An answer counts by its first token, whose probability is read exactly; a
    choice that the server's tokenizer splits has none.

    Args:
        name: ``"api:http://localhost:8000/v1#model"``.
        players: ``"grid:RxC"`` or ``"segments:N"`` with whole words, or ``"auto"``: 8 x 8 cells. The server's tokens
            are not known here, so they cannot play.
        max_pixels: Larger images are made smaller before they are sent.
        yes: Images may leave this machine. A server on this machine gets them without.
        store: Remembers values between runs.

    Raises:
        ValueError: No such name.
        PlayersError: No such players.
    """

    family = "server"
    revision: str | None = None
    digest: str | None = None

    def __init__(
        self, name: str, *, players: str = "auto", max_pixels: int | None = None, yes: bool = False,
        store: CoalitionStore | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.address = parse_address(name)
        self.players_as = _check(players)
        self.max_pixels = max_pixels
        self.is_confirmed = yes or self.address.is_here
        self.store = store
        self.client = ChatClient(self.address)
        self._tops: dict[tuple[str, str, str], TopTokens] = {}
        self._games: dict[tuple[object, ...], ServerGame] = {}

    def identity(self) -> dict[str, Any]:
        """What values depend on, as far as it is known here: the server can change its weights unseen."""
        return {
            "name": self.name, "family": self.family, "server": self.address.url, "model": self.address.model,
            "top_logprobs": self.address.top_logprobs, "max_pixels": self.max_pixels,
        }  # fmt: skip

    def record(self) -> dict[str, Any]:
        """Everything about this model that changes numbers, JSON-serialisable, for records."""
        return self.identity() | {"players": self.players_as}

    def effort(self) -> dict[str, int | float | str]:
        """Requests sent so far, tries included."""
        return {"requests": self.client.n_requests}

    def forget(self) -> None:
        """Let go of answers and games; what is asked next is asked of the server, or read from the store."""
        self._tops.clear()
        self._games.clear()

    def with_players(self, players: str) -> ServerVLM:
        """The same model with other players.

        Raises:
            PlayersError: No such players.
        """
        other = copy(self)
        other.players_as = _check(players)
        return other

    def asked(self, sample: Sample) -> Sample:
        """The sample with an instruction: its own, or where it leaves that to the model, LLaVA's."""
        check_asked(self, sample)
        if sample.instruction is not None:
            return sample
        return sample.with_instruction(make_instruction("llava", sample.choices))

    def image(self, sample: Sample) -> Image.Image:
        """The image as it is sent.

        Raises:
            ValueError: It is far longer than wide, or one of several.
        """
        if sample.further_images:
            raise ValueError(
                f"sample {sample.id!r} has {len(sample.images)} images, and a server is asked about one here; load the "
                "model itself, for example Qwen/Qwen2.5-VL-3B-Instruct"
            )
        image = check_image(sample.image)
        if self.max_pixels is not None and image.width * image.height > self.max_pixels:
            scale = sqrt(self.max_pixels / (image.width * image.height))
            image = image.resize((max(1, int(image.width * scale)), max(1, int(image.height * scale))))
        return image

    def partition(self, sample: Sample) -> Partition:
        """How the image's cells and the question's characters are grouped into players.

        Raises:
            PlayersError: This sample has no such players.
        """
        image, question = self.image(sample), sample.question
        rows, columns = base_grid(self.players_as, image)
        return make_partition(
            self.players_as if self.players_as != "auto" else f"grid:{rows}x{columns}", question=question,
            spans=[(i, i + 1) for i in range(len(question))],
            images=[ImageGrid(rows, columns, grid_regions(rows, columns), image)],
        )  # fmt: skip

    def players(self, sample: Sample) -> Players:
        """Cells of the image, then words of the question."""
        return self.partition(sample).players

    def regions(self, sample: Sample) -> Regions:
        """Where each image player lies in the image: the smallest box around it."""
        return self.partition(sample).regions

    def text_spans(self, sample: Sample) -> tuple[Span, ...]:
        """Character span in ``sample.question`` of each word."""
        return self.partition(sample).spans

    def masked_image(self, sample: Sample, coalition: Coalitions, *, baseline: str = "blur") -> Image.Image:
        """The masked image that is sent, for one coalition (n_players,).

        Raises:
            ValueError: The coalition has another length.
        """
        partition, image = self.partition(sample), self.image(sample)
        coalition = np.asarray(coalition, dtype=np.bool_)
        if coalition.shape != (partition.players.n,):
            raise ValueError(f"the coalition has shape {coalition.shape}, expected ({partition.players.n},)")
        return masked(image, BASELINES[baseline](image), coalition[owners(partition, self.players_as, image)])

    def answer(self, sample: Sample, *, max_tokens: int = _FREE_ANSWER_TOKENS) -> Answer:
        """Answer a sample by the first token; with choices, the most probable one of those that the server tells.

        A choice that is not among the server's most probable tokens is left out of ``by_choice``.

        Args:
            sample: The sample.
            max_tokens: Longest free answer.

        Raises:
            UnscoredError: None of the choices is, or one is split into several tokens and may be the answer.
            ValueError: One choice begins another.
            ServerError, NotConfirmedError: As a game.
        """
        sample = self.asked(sample)
        if sample.choices is None:
            return self._speak(sample, max_tokens)
        top = self._top(sample)
        style = self._style(sample, top)
        tokens = {word: style(word) for word in sample.choices}
        by_choice = {word: exp(top[token]) for word, token in tokens.items() if token in top}
        best = max(by_choice, key=lambda word: by_choice[word], default=None)
        split = [(word, begun) for word in sample.choices if word not in by_choice for begun in _begun(word, top)]
        if best is None or any(exp(top[begun]) > by_choice[best] for _, begun in split):
            because = f"; its tokenizer may split {split[0][0]!r} after {split[0][1]!r}" if split else ""
            raise UnscoredError(
                f"{'none' if best is None else 'not every one'} of the choices {', '.join(map(repr, sample.choices))} "
                f"is one token among the {self.address.top_logprobs} most probable that {self.address.host} tells, "
                f"which begin with {', '.join(map(repr, list(top)[:3]))}{because}; give choices of one token, such as "
                "letters, or an instruction after which the model answers at once"
            )
        return Answer(best, by_choice[best], (), by_choice)

    def game(self, sample: Sample, *, target: str | Target | None = None, baseline: str = "blur") -> ServerGame:
        """The sample's game; ``target=None`` scores the model's own answer. The latest games are kept.

        Raises:
            UnknownNameError: No baseline has this name.
            PlayersError: The sample has no such players.
            ValueError: The target is not among the sample's choices.
            TargetError: It is a token, a word, a sentence or a contrast.
            ServerError, NotConfirmedError: As the game itself.
        """
        BASELINES.check(baseline)
        sample = self.asked(sample)
        target = self.answer(sample).text if target is None else str(target)
        if not isinstance(read_target(target), str):
            raise TargetError(
                f"{self.name} is behind a server, whose answers count by their first token: {target} cannot be scored; "
                "name an answer, or load the weights"
            )
        if sample.choices is not None and target not in sample.choices:
            raise ValueError(f"the target {target!r} is not among the choices {sample.choices!r}")
        token = self._style(sample, self._top(sample), target)(target)
        key = (*self._key(sample), sample.id, sample.choices, target, baseline, self.players_as)
        if key not in self._games:
            self._games[key] = ServerGame(
                self, sample, self.partition(sample), target=target, token=token, baseline=baseline
            )
            if len(self._games) > _GAMES:
                self._games.pop(next(iter(self._games)))
        return self._games[key]

    def white_box(self, sample: Sample, *, target: str | None = None, baseline: str = "blur") -> NoReturn:
        """There is none.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            f"{self.name} is behind a server, which gives neither gradients nor attention nor activations; choose an "
            "explainer that asks the game, such as occlusion, kernel-shap or shapley-interaction, or load the weights"
        )

    def ask(self, game: ServerGame, coalitions: Coalitions) -> Iterator[tuple[int, TopTokens]]:
        """First tokens of coalitions (n_coalitions, n_players) as they arrive, each with its number.

        Raises:
            ServerError: The server does not answer.
            NotConfirmedError: The images would leave this machine.
        """
        self._check_confirmed(game.sample, len(coalitions))
        image = self.image(game.sample)
        removed = BASELINES[game.baseline](image)
        player_of_pixel, n_image = owners(game.partition, self.players_as, image), game.players.n_image

        def body(row: NDArray[np.bool_]) -> Body:
            question = without_words(game.sample.question, game.partition.spans, row[n_image:])
            return make_body(masked(image, removed, row[player_of_pixel]), question, game.sample.instruction or "")

        return self.client.top_tokens([partial(body, row) for row in coalitions])

    def price(self, sample: Sample, n: int) -> str:
        """What so many requests about a sample are, in words."""
        image = self.image(sample)
        size = len(as_png(image))
        return (
            f"{n} request{'s' if n != 1 else ''} to {self.address.host}, each with the image ({image.width} x "
            f"{image.height} pixels, about {size / 1e3:.0f} kB; {n * size / 1e6:.1f} MB in all) and the question"
        )

    def _check_confirmed(self, sample: Sample, n: int) -> None:
        if not self.is_confirmed:
            raise NotConfirmedError(
                f"nothing was sent: this is {self.price(sample, n)}; agree to it with --yes, or "
                "toolkit.load_vlm(..., yes=True)"
            )

    def _key(self, sample: Sample) -> tuple[str, str, str]:
        return sample.image_digest, sample.question, sample.instruction or ""

    def _top(self, sample: Sample) -> TopTokens:
        """The most probable first tokens of the whole sample."""
        key = self._key(sample)
        if key not in self._tops:
            self._check_confirmed(sample, 1)
            whole = partial(make_body, self.image(sample), sample.question, sample.instruction or "")
            [(_, self._tops[key])] = self.client.top_tokens([whole])
        return self._tops[key]

    def _style(self, sample: Sample, top: TopTokens, target: str | None = None) -> Style:
        """The way of writing the choices, or a free target, most probable in sum; no choice may begin another."""
        words = sample.choices or (target or "",)
        begins = [(a, b) for a in words for b in words if a != b and b.lower().startswith(a.lower())]
        if begins:
            raise ValueError(
                f"of the choices {words!r} {begins[0][0]!r} begins {begins[0][1]!r}, and a server's answer counts by "
                "its first token; give other choices, such as letters"
            )
        return max(_STYLES, key=lambda style: sum(exp(top[style(w)]) for w in words if style(w) in top))

    def _speak(self, sample: Sample, max_tokens: int) -> Answer:
        """The free answer, up to the end of the model's turn, without a full stop behind it."""
        self._check_confirmed(sample, 1)
        body = make_body(self.image(sample), sample.question, sample.instruction or "")
        settings = {"max_tokens": max_tokens, "temperature": 0, "logprobs": True, "top_logprobs": 1}
        answered = self.client.post({**body, **settings})
        tokens = self.client.written(answered)
        text = "".join(str(one["token"]) for one in tokens if not str(one["token"]).startswith("<")).strip(" .\n")
        if not text:
            raise UnscoredError(f"{self.name} ends its turn without an answer to {sample.question!r}; give choices")
        is_cut = answered["choices"][0].get("finish_reason") == "length"
        return Answer(text, exp(sum(one["logprob"] for one in tokens)), (), {}, "greedy", is_cut)


def _written(blank: str, case: Style, word: str) -> str:
    return blank + case(word)


_CASES: tuple[Style, ...] = (str, lambda word: word[:1].upper() + word[1:], str.lower)
_STYLES: tuple[Style, ...] = tuple(partial(_written, blank, case) for blank in ("", " ") for case in _CASES)
"""Ways of writing an answer: as given, capitalised or in lower case, with or without a blank before it."""


def _check(players: str) -> str:
    if check_players(players) in ("tokens", "words"):
        raise PlayersError(
            f"players {players!r}: the tokens of a model behind a server are not known here; expected 'auto', "
            "'grid:RxC' (grid:8x8) or 'segments:N' (segments:30)"
        )
    return players


def _begun(word: str, top: TopTokens) -> list[str]:
    """Tokens that may be the beginning of a word."""
    parts = ((token, token.strip().lower()) for token in top)
    return [token for token, part in parts if part and part != word.lower() and word.lower().startswith(part)]
