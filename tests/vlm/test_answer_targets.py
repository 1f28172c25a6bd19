"""Tokens, words, sentences and contrasts of an answer: engine, plain path, transformers and white box say the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.subjects import FOURTH, MODEL_TYPE, make_subject, sample

import toolkit
from toolkit.games.target import Contrast, Sentence, TargetError, Token, Word
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.reference import plain_values
from toolkit.vlm.sample_game import score_games

ANSWER = "there is a red circle"
KINDS = {
    "token": lambda: Token(ANSWER, 3),
    "word": lambda: Word(ANSWER, 5),
    "sum": lambda: Sentence(ANSWER, "sum"),
    "mean": lambda: Sentence(ANSWER, "mean"),
    "contrast": lambda: Contrast("a red circle", "no"),
}
OFTEN = ("random-tiny-llava", "released-qwen2.5-vl", "released-internvl", "released-qwen3-vl", "released-gemma3")
"""The families that are tested every time: one of each mask, position rule and way of adding image features."""

FAMILIES = [
    *OFTEN,
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in (*(f"released-{family}" for family in MODEL_TYPE), FOURTH)
        if name not in OFTEN
    ),
]


@pytest.fixture(scope="module")
def subjects() -> dict[str, LoadedVLM]:
    return {}


def subject(subjects: dict[str, LoadedVLM], name: str) -> LoadedVLM:
    if name not in subjects:
        subjects[name] = make_subject(name)
    return subjects[name]


def free(seed: int = 1):
    return replace(sample(seed), choices=None)


def forced_logs(vlm: LoadedVLM, form: tuple[int, ...]) -> np.ndarray:
    """Log-probability of every token of a forced answer, from one call of transformers on the whole sequence."""
    view = vlm.view(free())
    ids = torch.tensor([[*view.prompt.ids, *form]])
    image = vlm.adapter.processor.image_processor(
        view.images[0].image, return_tensors="pt", **vlm.adapter.image_settings()
    )
    inputs = vlm.adapter.pixel_inputs(vlm.adapter.pixels(image)[None], view.geometry) | vlm.adapter.text_inputs(ids)
    if "qwen" in vlm.name or "glm" in vlm.name:  # counts its own positions, of the places of the image
        inputs["mm_token_type_ids"] = torch.zeros_like(ids)
        inputs["mm_token_type_ids"][0, list(view.prompt.image_positions)] = 1
    with torch.inference_mode():
        out = vlm.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **inputs)
    n = len(form)
    logs = out.logits[0, -n - 1 : -1].float().log_softmax(dim=-1)
    return logs[torch.arange(n), list(form)].double().numpy()


@pytest.mark.parametrize("name", FAMILIES)
def test_every_target_of_every_family_is_scored_as_by_plain_passes(subjects, name: str) -> None:
    """Within 1e-5, which a sum of log-probabilities has for each of its terms."""
    vlm = subject(subjects, name)

    @settings(max_examples=2, deadline=None)
    @given(st.integers(0, 1 << 30), st.floats(0.1, 0.9))
    def theorem(seed: int, share: float) -> None:
        for target in KINDS.values():
            game = vlm.game(free(), target=target())
            chosen = np.random.default_rng(seed).random((1, game.players.n)) < share
            terms = max(1.0, np.abs(game.scoring.weights).sum()) if game.unit == "nats" else 1.0
            np.testing.assert_allclose(game(chosen), plain_values(game, chosen), atol=1e-5 * terms, rtol=0)

    theorem()


@pytest.mark.parametrize("name", FAMILIES)
def test_with_everybody_present_it_is_what_transformers_says(subjects, name: str) -> None:
    vlm = subject(subjects, name)
    everybody = np.ones((1, vlm.players(free()).n), dtype=bool)

    def value(target) -> float:
        return float(vlm.game(free(), target=target)(everybody)[0])

    parts = vlm.answer_parts(free(), ANSWER)
    form = vlm.game(free(), target=parts[0].target).token_ids
    logs = forced_logs(vlm, form)
    assert value(Sentence(ANSWER, "sum")) == pytest.approx(logs.sum(), abs=1e-5 * len(form))
    assert value(Sentence(ANSWER, "mean")) == pytest.approx(logs.mean(), abs=1e-5)
    assert [part.text for part in parts] == ANSWER.split()
    for part in parts:
        a, b = part.tokens
        assert value(part.target) == pytest.approx(np.exp(logs[a:b].sum()), abs=1e-5)
    for token, log in zip(vlm.answer_parts(free(), ANSWER, per="token"), logs, strict=True):
        assert value(token.target) == pytest.approx(np.exp(log), abs=1e-5)
    odds = Contrast("a red circle", "no")
    one, other = vlm.game(free(), target=odds).scoring.forms
    assert value(odds) == pytest.approx(forced_logs(vlm, one).sum() - forced_logs(vlm, other).sum(), abs=1e-4)
    assert value(odds) == -value(Contrast("no", "a red circle"))


def test_all_targets_of_an_answer_share_its_rows() -> None:
    vlm = make_subject("random-tiny-qwen2.5-vl")
    parts = [*vlm.answer_parts(free(), ANSWER), *vlm.answer_parts(free(), ANSWER, per="token")]
    games = [vlm.game(free(), target=part.target) for part in parts]
    chosen = np.random.default_rng(0).random((6, games[0].players.n)) < 0.5
    rows = vlm.engine.counters.queries
    together = score_games([(game, chosen) for game in games])
    assert vlm.engine.counters.queries - rows == len(chosen)
    assert [game.n_evaluations for game in games] == [len(chosen)] + [0] * (len(games) - 1)
    for part, values in zip(parts, together, strict=True):
        assert np.array_equal(vlm.game(free(), target=part.target)(chosen), values)
    assert vlm.engine.counters.queries - rows == len(chosen)  # games that were let go of find what the others know


def test_the_store_answers_for_every_target_of_an_answer(tmp_path) -> None:
    one, store = make_subject("random-tiny-llava"), toolkit.vlm.CoalitionStore(tmp_path)
    vlm = LoadedVLM("m", one.adapter, one.model, digest="a", store=store)
    chosen = np.random.default_rng(0).random((6, vlm.players(free()).n)) < 0.5
    vlm.game(free(), target=Token(ANSWER, 1))(chosen)
    again = LoadedVLM("m", one.adapter, one.model, digest="a", store=store)
    for target in (Sentence(ANSWER), Word(ANSWER, 4)):
        game = again.game(free(), target=target)
        np.testing.assert_allclose(game(chosen), plain_values(game, chosen), atol=1e-5, rtol=0)
        assert game.n_evaluations == 0
    other = again.game(free(), target=Sentence("there is a blue circle"))
    other(chosen)
    assert other.n_evaluations == len(chosen)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["random-tiny-llava", "released-qwen3-vl", "released-gemma3"])
def test_the_white_box_is_the_inside_of_the_same_game(subjects, name: str, kind: str) -> None:
    vlm, target = subject(subjects, name), KINDS[kind]()
    box, game = vlm.white_box(free(), target=target), vlm.game(free(), target=target)
    everybody = np.ones((1, game.players.n), dtype=bool)
    with torch.no_grad():
        value, score = float(box.value(box.pixels, box.question)), float(box.score(box.pixels, box.question))
        logit = float(box.logit(box.pixels, box.question))
    assert value == pytest.approx(float(game(everybody)[0]), abs=1e-5)
    assert value == pytest.approx(np.exp(score) if kind in ("token", "word") else score, abs=1e-6)
    if kind == "contrast":  # the answers part at their first token
        one, other = (form[0] for form in game.scoring.forms)
        logs = forced_pairs(vlm, (one,), (other,))
        assert logit == pytest.approx(logs[0] - logs[1], abs=1e-4)


def forced_pairs(vlm: LoadedVLM, one: tuple[int, ...], other: tuple[int, ...]) -> tuple[float, float]:
    return float(forced_logs(vlm, one)[0]), float(forced_logs(vlm, other)[0])


@pytest.mark.parametrize("target", [Word(ANSWER, 4), Contrast("red", "blue")], ids=str)
def test_integrated_gradients_are_complete_whatever_v_is(target) -> None:
    vlm = make_subject("random-tiny-llava")
    found = toolkit.explain("integrated-gradients", vlm, free(), target=target)
    box = vlm.white_box(free(), target=target)
    with torch.no_grad():
        gain = box.value(box.pixels, box.question) - box.value(box.baseline_pixels, box.baseline_question)
    assert found.target == str(target)
    assert found.scores.sum() == pytest.approx(float(gain), abs=found.details["accepted_delta"] + 1e-6)


def test_what_a_model_writes_says_how_long_it_is_and_whether_it_was_cut() -> None:
    vlm = make_subject("random-tiny-llava")
    with torch.no_grad():  # says no special token, which nobody could read
        vlm.model.lm_head.weight[list(vlm.adapter.processor.tokenizer.all_special_ids)] = 0
    whole = vlm.answer(free(), max_tokens=40)
    short = vlm.answer(free(), max_tokens=2)
    assert (short.n_tokens, short.is_cut, short.decoding) == (2, True, "greedy")
    assert short.token_ids == whole.token_ids[:2]
    assert whole.is_cut == (whole.n_tokens == 40)
    assert vlm.game(free(), target=Sentence(whole.text)).token_ids == whole.token_ids
    assert vlm.answer(sample(1)).decoding == "choice"
    with pytest.raises(ValueError, match="at least one token"):
        vlm.answer(free(), max_tokens=0)


def test_a_target_that_is_a_choice_word_for_word_is_that_choice() -> None:
    vlm = make_subject("random-tiny-llava")
    asked = sample(1)
    game = vlm.game(asked, target=Contrast("yes", "no"))
    forms = vlm.choice_forms(asked)
    assert game.scoring.forms == forms["yes"] + forms["no"]
    everybody = np.ones((1, game.players.n), dtype=bool)
    by_choice = vlm.answer(asked).by_choice
    assert game(everybody)[0] == pytest.approx(np.log(by_choice["yes"] / by_choice["no"]), abs=1e-5)
    with pytest.raises(ValueError, match="not among the choices"):
        vlm.game(asked, target=Contrast("yes", "red"))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Token(ANSWER, 6), "it has 5 tokens"),
        (Word(ANSWER, 9), "it has 5 words"),
        (Sentence("there is a unicorn"), "vocabulary lacks 'unicorn'"),
        (Contrast("Red", "red"), "same answer"),
        (Sentence("red " * 5000), "model's context is"),
    ],
)
def test_bad_targets_are_refused_with_the_cure(target, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_subject("random-tiny-llava").game(free(), target=target)


def test_an_answer_that_the_tokenizer_spells_otherwise_cannot_be_split(monkeypatch) -> None:
    vlm = make_subject("random-tiny-llava")
    tokenizer = vlm.adapter.processor.tokenizer
    decode = tokenizer.decode
    monkeypatch.setattr(tokenizer, "decode", lambda ids, **how: decode(ids, **how).upper())
    with pytest.raises(TargetError, match="cannot split the answer .* into words: its tokens spell 'THERE IS"):
        vlm.game(free(), target=Word(ANSWER, 1))
    assert vlm.game(free(), target=Sentence(ANSWER)).token_ids  # the sentence needs no splitting


def test_an_empty_answer_has_no_parts() -> None:
    with pytest.raises(TargetError, match="at least one word"):
        make_subject("random-tiny-llava").answer_parts(free(), "  ")


def test_tokens_that_end_inside_a_character_belong_to_the_word_of_that_character() -> None:
    vlm = make_subject("released-qwen2.5-vl")
    answer = "a caf\u00e9 \u5bab \U0001f600 ok"
    words = vlm.answer_parts(free(), answer)
    assert [part.text for part in words] == ["a", "caf\u00e9", "\u5bab", "\U0001f600", "ok"]
    tokens = vlm.answer_parts(free(), answer, per="token")
    assert sum(b - a for a, b in (part.tokens for part in words)) == len(tokens)
