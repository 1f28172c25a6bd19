"""A loaded vision-language model: answers, players, games."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Sequence
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from transformers import PreTrainedModel

from toolkit.datasets.baselines import BASELINES
from toolkit.datasets.sample import Sample
from toolkit.datasets.sheet import sheet_of
from toolkit.games.game import Players
from toolkit.games.target import Contrast, Sentence, Target, Token, read_target
from toolkit.typing import Coalitions, Regions
from toolkit.vlm.adapters.adapter_base import Adapter
from toolkit.vlm.answer_parts import AnswerPart, Per, contrast_of, parts_of, scoring_of
from toolkit.vlm.answer_scoring import Scoring
from toolkit.vlm.answering import forms_of, speak
from toolkit.vlm.answers import AnswerRule, Answers, Form, check_rule
from toolkit.vlm.engine.engine import Engine
from toolkit.vlm.engine.fingerprint import State, changed, config_digest, fingerprint, precision, state
from toolkit.vlm.engine.patches import foreign
from toolkit.vlm.forced_answer import ForcedAnswer
from toolkit.vlm.partition import Partition, check_players
from toolkit.vlm.prompt import as_asked
from toolkit.vlm.protocol import Answer, check_asked
from toolkit.vlm.sample_game import SampleGame
from toolkit.vlm.scorable import Uncopied, in_turn
from toolkit.vlm.view import View, make_view, sample_key
from toolkit.vlm.white_box import SampleWhiteBox

if TYPE_CHECKING:
    from toolkit.vlm.engine.store import CoalitionStore

_VIEW_BYTES = 64 << 20
_VIEWS = 16
"""Views kept at most: a new one takes milliseconds, and nine models with forty views each took 108 MB of a lesson."""
FREE_ANSWER_TOKENS = 8
"""Where a free answer is cut unless another length is asked for."""

_GAMES = 8


class LoadedVLM(Uncopied):
    """A vision-language model of any family; see :func:`toolkit.vlm.load_vlm`.

    Args:
        name: The name it was loaded by.
        adapter: Its family.
        model: The transformers model, in evaluation mode.
        revision: Commit of the checkpoint, or None where it has none.
        digest: Digest of the checkpoint's files, or None.
        quantisation: ``"nf4"`` for 4-bit weights, else None.
        max_tokens: Decoder tokens per batch; None chooses from the free memory.
        store: Remembers values between runs; None remembers nothing.
        players: How tokens are grouped into players, see ``toolkit.vlm.partition``.

    Raises:
        PlayersError: No such players.
        ValueError: A store, but neither a revision nor a digest: it could not tell this model from another.
    """

    def __init__(
        self,
        name: str,
        adapter: Adapter,
        model: PreTrainedModel,
        *,
        revision: str | None = None,
        digest: str | None = None,
        quantisation: str | None = None,
        max_tokens: int | None = None,
        store: CoalitionStore | None = None,
        players: str = "tokens",
    ) -> None:
        self.players_as = check_players(players)
        self.turn = RLock()
        if store is not None and not (revision or digest):
            raise ValueError(
                f"{name!r} has neither a revision nor a digest of its files, so a store cannot tell it from another "
                "model: load it by name or from a folder, or leave out the store"
            )
        self.name = name
        self.family = adapter.family
        self.revision = revision
        self.digest = digest
        self.quantisation = quantisation
        self.adapter = adapter
        self.model = model
        self.store = store
        self._config = config_digest(model)
        self._loaded_as, self._loaded_state = fingerprint(model), state(model, adapter.processor)
        self._is_warned = False
        self.engine = Engine(adapter, model, max_tokens=max_tokens)
        self._views: OrderedDict[str, View] = OrderedDict()
        self._games: OrderedDict[tuple[object, ...], SampleGame] = OrderedDict()
        self._answers: dict[tuple[object, ...], Answers] = {}
        self._kept_of = [self._loaded_state]  # the state these three belong to; shared, as they are, by all players

    @property
    def pad_id(self) -> int:
        """Token whose embedding stands for an absent word where gradients need one."""
        tokenizer = self.adapter.processor.tokenizer
        return int(tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id)

    def record(self) -> dict[str, Any]:
        """Everything about this model that changes numbers, JSON-serialisable, for records."""
        return self.identity() | self.engine.record() | {"players": self.players_as}

    def identity(self) -> dict[str, Any]:
        """What values depend on: checkpoint, preprocessing, precision, and in half precision the batch size."""
        return {
            "name": self.name,
            "family": self.family,
            "revision": self.revision,
            "checkpoint": self.digest,
            "config": self._config,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "device": self.model.device.type,
            "quantisation": self.quantisation,
            "attention": self.model.config._attn_implementation,
            "matmul": precision(self.model.device),
            "preprocessing": self.adapter.record(),
            "batch_class": self.batch_class,
        }

    def effort(self) -> dict[str, Any]:
        """Batch sizes in force and how often memory ran out, which change no numbers."""
        return self.engine.record()

    @property
    def batch_class(self) -> str | int:
        """What values depend on of the batch size: nothing in float32, else its power of two."""
        return "exact" if self.model.dtype == torch.float32 else self.engine.tokens.size.bit_length()

    def is_as_loaded(self) -> bool:
        """Whether weights, configuration, modes, hooks and code are those with which the model was put in here.

        A model whose classes or attention table were patched by another library never is.
        """
        return self.why_not_as_loaded() is None

    @in_turn
    def why_not_as_loaded(self) -> str | None:
        """What was changed since the model was put in here, or what of its code is somebody else's; None if nothing."""
        now = state(self.model, self.adapter.processor)
        if found := foreign(now.code):
            return _listed(found)
        if now.processing == self._loaded_state.processing and fingerprint(self.model) == self._loaded_as:
            return None
        return changed(self._loaded_state, now) or "its weights or buffers were changed in place"

    @in_turn
    def forget(self) -> None:
        """Let go of answers, views and games; what is asked next is computed anew, or read from the store."""
        self._answers.clear()
        self._views.clear()
        self._games.clear()
        self.engine.forget()

    @in_turn
    def current_state(self) -> State:
        """What answers, views and values belong to; where it has changed, those of before are forgotten.

        Warns once where another library has patched the code that computes the model.

        Raises:
            ValueError: The model is in training mode, or another one.
        """
        self.engine.check(self.model)
        now = state(self.model, self.adapter.processor)
        if now != self._kept_of[0]:
            self._kept_of[0] = now
            self.forget()
        if not self._is_warned and (found := foreign(now.code)):
            self._is_warned = True
            warnings.warn(
                f"{self.name} is not computed by its own code: {_listed(found)}. Answers, values and maps are those of "
                "the patched model, and are not remembered; start Python without the patch for the model as released",
                RuntimeWarning,
                stacklevel=3,
            )
        return now

    def asked(self, sample: Sample) -> Sample:
        """The sample with the instruction with which this model is asked, where it leaves that to the model."""
        check_asked(self, sample)
        return as_asked(self.adapter, sample)

    @in_turn
    def view(self, sample: Sample) -> View:
        """The sample as this model sees it; the latest ones are kept.

        Raises:
            ValueError: The picture or the words cannot be represented.
        """
        sample = self.asked(sample)
        key = f"{sample_key(sample)} {self.model.dtype} {self.model.device}"
        if key not in self._views:
            self._views[key] = make_view(self.adapter, self.model, sample)
            while len(self._views) > 1 and (len(self._views) > _VIEWS or self._view_bytes() > _VIEW_BYTES):
                self._views.popitem(last=False)
        self._views.move_to_end(key)
        return self._views[key]

    def _view_bytes(self) -> int:
        return sum(view.nbytes for view in self._views.values())

    def answer(self, sample: Sample, *, rule: AnswerRule = "best", max_tokens: int = FREE_ANSWER_TOKENS) -> Answer:
        """Answer a sample; with choices, the most probable one, else greedily.

        An answer is remembered as long as the model is not changed.

        Args:
            sample: The sample.
            rule: How the ways of writing a choice make its probability, see ``toolkit.vlm.answers``. Games, maps and
                the answer's ``token_ids`` are about the way of writing that the rule ``best`` takes, whatever the rule.
            max_tokens: A free answer is cut here, which the answer's ``is_cut`` says; an answer from choices is not.

        Raises:
            UnknownNameError: No such rule.
            ValueError: The model cannot say the choices, or two of them are the same answer; or says nothing.
        """
        if max_tokens < 1:
            raise ValueError(f"an answer has at least one token, got max_tokens={max_tokens}")
        return self._known(sample, max_tokens).answers[check_rule(rule)]

    @in_turn
    def answers(self, samples: Sequence[Sample], *, rule: AnswerRule = "best") -> list[Answer]:
        """Answer several samples in shared batches; ``rule`` as in ``answer``."""
        check_rule(rule)
        self.current_state()
        fresh = {self._answer_key(s): s for s in samples if self._answer_key(s) not in self._answers}
        with_choices = [s for s in fresh.values() if s.choices is not None]
        self._answers.update(zip(map(self._answer_key, with_choices), self._choose(with_choices), strict=True))
        return [self.answer(sample, rule=rule) for sample in samples]

    def _answer_key(self, sample: Sample) -> tuple[str, tuple[str, ...] | None]:
        return sample_key(self.asked(sample)), sample.choices

    @in_turn
    def _known(self, sample: Sample, max_tokens: int = FREE_ANSWER_TOKENS) -> Answers:
        self.current_state()
        key: tuple[object, ...] = self._answer_key(sample)
        if sample.choices is None:
            key = (*key, max_tokens)
        if key not in self._answers:
            self._answers[key] = (
                self._choose([sample])[0] if sample.choices is not None else speak(self, sample, max_tokens)
            )
        return self._answers[key]

    def _choose(self, samples: Sequence[Sample]) -> list[Answers]:
        return forms_of(self, [(sample, sample.choices or ()) for sample in samples])

    def with_players(self, players: str) -> LoadedVLM:
        """The same model, not copied, with other players: ``"tokens"``, ``"words"``, ``"grid:RxC"``, ``"segments:N"``.

        Raises:
            PlayersError: No such players.

        Example:
            >>> import toolkit
            >>> vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu")
            >>> sample = toolkit.load_samples("scenes-existence", n=1)[0]
            >>> vlm.with_players("grid:2x3").players(sample).n_image
            6
        """
        other = object.__new__(type(self))
        vars(other).update(vars(self), players_as=check_players(players))
        return other

    def partition(self, sample: Sample) -> Partition:
        """How the sample's image and question tokens are grouped into players.

        Raises:
            PlayersError: This sample has no such players.
        """
        return self.view(sample).partition(self.players_as)

    def players(self, sample: Sample) -> Players:
        """Image players, then text players: groups of image tokens and of removable question tokens."""
        return self.partition(sample).players

    def regions(self, sample: Sample) -> Regions:
        """Where each image player lies: the smallest box around it, in fractions of ``sample.sheet``."""
        return self.partition(sample).regions

    def text_spans(self, sample: Sample) -> tuple[tuple[int, int], ...]:
        """Character span in ``sample.question`` of each text player."""
        return self.partition(sample).spans

    @in_turn
    def game(
        self, sample: Sample, *, target: str | Target | None = None, baseline: str = "blur", players: str | None = None
    ) -> SampleGame:
        """The sample's game; ``target=None`` scores the model's own answer. The latest games are kept.

        The target's tokens are those that ``answer`` scored by the rule ``best``, the end of the answer included where
        one choice begins another. ``players`` are the model's own unless others are named.

        Args:
            sample: The sample.
            target: An answer, of which v is the probability; or a token, a word, a sentence or a contrast of
                ``toolkit.games.target``, also as it is written. Games about one answer share its rows.
            baseline: What a removed image cell looks like.
            players: How tokens are grouped into players.

        Raises:
            UnknownNameError: No baseline has this name.
            PlayersError: The sample has no such players.
            TargetError: The answer has no such part, or does not fit the model's context.
            ValueError: The target is not among the sample's choices, or the model cannot say it.
        """
        BASELINES.check(baseline)
        sample = self.asked(sample)
        target = self.answer(sample).text if target is None else str(target)
        scoring = self._scoring(sample, target)
        grouped = self.players_as if players is None else check_players(players)
        key = (sample_key(sample), sample.dataset, sample.id, sample.choices, target, scoring, baseline, grouped)
        if key not in self._games:
            view = self.view(sample)
            view.partition(grouped)
            about = (key[:3], scoring.forms, baseline)
            known = {(k[:3], g.forced.forms, g.baseline): g.forced for k, g in self._games.items()}
            forced = known.get(about) or ForcedAnswer(self, sample, view, scoring.forms, baseline)
            self._games[key] = SampleGame(forced, target=target, scoring=scoring, players_as=grouped)
            while len(self._games) > 1 and (len(self._games) > _GAMES or self._kept_bytes() > _VIEW_BYTES):
                self._games.popitem(last=False)
        self._games.move_to_end(key)
        return self._games[key]

    def _kept_bytes(self) -> int:
        """Memory of the views of the games that are kept; those of one sample share a view."""
        return sum({id(game.view): game.view.nbytes for game in self._games.values()}.values())

    def _scoring(self, sample: Sample, target: str) -> Scoring:
        """What is forced, and how v is read from it."""
        read = target if target in (sample.choices or ()) else read_target(target)
        if isinstance(read, Contrast):
            one, other = self._tokens(sample, (read.answer, read.against))
            found = contrast_of(read, one, other)
        elif isinstance(read, str):
            (form,) = self._tokens(sample, (read,))
            found = Scoring((form,), (1.0,) * len(form))
        else:
            (form,) = self._tokens(sample, (read.answer,), is_exact=True)
            per: Per = "token" if isinstance(read, Token) else "word"
            found = scoring_of(read, form, () if isinstance(read, Sentence) else self._parts(read.answer, form, per))
        return found

    def _parts(self, answer: str, form: Form, per: Per) -> tuple[AnswerPart, ...]:
        return parts_of(self.adapter.processor.tokenizer, answer, form, per)

    def answer_parts(self, sample: Sample, answer: str | None = None, *, per: Per = "word") -> tuple[AnswerPart, ...]:
        """The parts of an answer that can be explained, each with its target for ``game`` and ``explain``.

        Args:
            sample: The sample.
            answer: The answer that is forced; None takes the model's own.
            per: ``"token"``, ``"word"`` or ``"sentence"``.

        Raises:
            UnknownNameError: No such parts.
            TargetError: An empty answer, or one that the tokenizer cannot split.
            ValueError: The answer is not among the sample's choices, or the model cannot say it.

        Example:
            >>> import toolkit
            >>> vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu")
            >>> sample = toolkit.load_samples("scenes-existence", n=1)[0]
            >>> [str(part.target) for part in vlm.answer_parts(sample, "yes")]
            ['word 1 of "yes"']
        """
        sample = self.asked(sample)
        answer = self.answer(sample).text if answer is None else answer.strip()
        Sentence(answer)  # refuses an empty one
        (form,) = self._tokens(sample, (answer,), is_exact=True)
        return self._parts(answer, form, per)

    def _tokens(self, sample: Sample, answers: Sequence[str], *, is_exact: bool = False) -> tuple[Form, ...]:
        """Tokens of some answers: those of the choices, those that the model said, or those that it would write.

        Raises:
            ValueError: An answer that is not among the sample's choices, or that the model cannot say.
        """
        if sample.choices is not None:
            for answer in answers:
                if answer not in sample.choices:
                    raise ValueError(f"the target {answer!r} is not among the choices {sample.choices!r}")
        known = self._known(sample).tokens if sample.choices is not None else self._spoken(sample)
        if not all(answer in known for answer in answers):
            key = (*self._answer_key(sample), "forced", tuple(answers), is_exact)
            if key not in self._answers:
                self._answers[key] = forms_of(self, [(sample, answers)], is_exact=is_exact)[0]
            known = self._answers[key].tokens
        return tuple(known[answer] for answer in answers)

    def choice_forms(self, sample: Sample, rule: AnswerRule = "best") -> dict[str, tuple[Form, ...]]:
        """The forms of each of the sample's choices whose probabilities make up the choice's by this rule.

        By ``best`` it is one of each, the one that games score.

        Raises:
            ValueError: The sample has no choices.
            UnknownNameError: No such rule.
        """
        if sample.choices is None:
            raise ValueError(f"sample {sample.id!r} has no choices; give Sample(choices=...)")
        said = self._known(sample)
        return said.forms if check_rule(rule) == "sum" else {word: (form,) for word, form in said.tokens.items()}

    def _spoken(self, sample: Sample) -> dict[str, Form]:
        """Tokens of the free answers that have been asked for, by their texts."""
        self.current_state()
        own = self._answer_key(sample)
        said = [known for key, known in self._answers.items() if key[:2] == own and key[2:3] != ("forced",)]
        return {text: form for known in said for text, form in known.tokens.items()}

    @in_turn
    def white_box(
        self, sample: Sample, *, target: str | Target | None = None, baseline: str = "blur"
    ) -> SampleWhiteBox:
        """The same game's differentiable inside.

        Raises:
            ValueError: A family whose coalitions share no prefix, which is asked by ordinary passes alone.
        """
        if not self.adapter.shares_prefix:
            raise ValueError(
                f"{self.name} is scored by ordinary passes alone, since coalitions of {self.family} share no prefix, "
                "and has no white box; choose an explainer that asks the game, such as occlusion or kernel-shap"
            )
        return SampleWhiteBox(self.game(sample, target=target, baseline=baseline))

    def masked_image(self, sample: Sample, coalition: Coalitions, *, baseline: str = "blur") -> Image.Image:
        """The masked image as the model sees it, for one coalition (n_players,); several are put on one sheet.

        Raises:
            ValueError: The coalition has another length.
        """
        view, partition = self.view(sample), self.partition(sample)
        coalition = np.asarray(coalition, dtype=np.bool_)
        if coalition.shape != (partition.players.n,):
            raise ValueError(f"the coalition has shape {coalition.shape}, expected ({partition.players.n},)")
        pixels = view.masked(self.adapter, baseline, partition.expand(coalition[None])[:, : view.players.n_image])[0]
        parts = zip(view.images, view.split(pixels[None]), strict=True)
        return sheet_of([self.adapter.to_image(part[0], image.geometry) for image, part in parts])


def _listed(found: Sequence[str]) -> str:
    """The first three, and how many more."""
    return "; ".join(found[:3]) + (f"; and {len(found) - 3} more" if len(found) > 3 else "")
