"""Ways of writing a choice, the rules that make one probability of them, and choices that begin each other."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from support.subjects import RELEASED, SUBJECTS, make_subject, sample
from support.tokenizer import bpe

from toolkit.datasets.sample import Sample
from toolkit.registry import UnknownNameError
from toolkit.vlm.answers import Candidates, answers_of, ends_of_answer, make_candidates
from toolkit.vlm.choice_corners import choice_corners
from toolkit.vlm.prompt import Prompt
from toolkit.vlm.reference import plain_logits, plain_values


@pytest.fixture(scope="module")
def tokenizer():
    return bpe({})


@pytest.fixture(scope="module")
def open_vocabulary():
    return make_subject("released-qwen2.5-vl")


def candidates(tokenizer, *words: str) -> Candidates:
    text = "is it?"
    prompt = Prompt(text, tuple(tokenizer(text)["input_ids"]), (), (), ())
    return make_candidates(tokenizer, prompt, words, (tokenizer.eos_token_id,))


def written(tokenizer, forms) -> set[str]:
    return {tokenizer.decode(form) for form in forms}


def asked(*choices: str) -> Sample:
    return replace(sample(1), choices=choices)


def plain_probability(vlm, s: Sample, form: tuple[int, ...]) -> float:
    """Probability of the tokens after the whole prompt, one ordinary forward pass."""
    view = vlm.view(s)
    logits = plain_logits(vlm, view, view.pixels, np.ones(view.players.n_text, dtype=np.bool_), form[:-1])
    return float(np.exp(sum(float(logits[i].log_softmax(-1)[token]) for i, token in enumerate(form))))


def test_letters_are_written_with_brackets_and_stops(tokenizer) -> None:
    found = candidates(tokenizer, "A", "B")
    assert written(tokenizer, found.forms[0]) == {"A", "(A", "(a", " A", " (A", " (a"}  # "a" is a word
    assert {tokenizer.decode(style[1]) for style in found.styles} == {"B", "(B", "(b", " B", " (B", " (b"}


def test_small_letters_are_choices_where_they_are_given(tokenizer) -> None:
    assert {"a", " a"} <= written(tokenizer, candidates(tokenizer, "a", "b").forms[0])


def test_words_are_not_written_with_brackets(tokenizer) -> None:
    assert written(tokenizer, candidates(tokenizer, "yes", "no").forms[0]) == {"yes", "Yes", " yes", " Yes"}


def test_a_form_that_is_one_token_with_its_stop_is_counted_beside_the_letter(tokenizer) -> None:
    """Where "A." is a token of its own, it does not begin with the token of "A"."""

    class Merging:
        eos_token_id, unk_token_id = tokenizer.eos_token_id, None

        def __call__(self, text: str, **options: bool) -> dict[str, list[int]]:
            start = tokenizer("is it?")["input_ids"]
            rest = text.removeprefix("is it?")
            return {"input_ids": [*start, *({"A.": [900], "B.": [901]}.get(rest) or tokenizer(rest)["input_ids"])]}

    found = candidates(Merging(), "A", "B")
    assert (900,) in found.forms[0]
    assert (901,) in found.forms[1]


def test_no_form_of_the_sum_begins_another_or_belongs_to_two(tokenizer) -> None:
    for words in (("A", "B", "C"), ("yes", "no"), ("us", "US"), ("red", "red circle")):
        forms = [form for mine in candidates(tokenizer, *words).forms for form in mine]
        assert len(set(forms)) == len(forms)
        assert not any(a != b and b[: len(a)] == a for a in forms for b in forms)


@pytest.mark.parametrize("words", [("red", "Red"), ("A", "a"), ("Red Circle", "red Circle")])
def test_choices_that_are_the_same_answer_are_refused(tokenizer, words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="are the same answer as the model says them, in every way of writing; give"):
        candidates(tokenizer, *words)


def test_choices_that_capitals_tell_apart_are_told_apart(tokenizer) -> None:
    found = candidates(tokenizer, "us", "US")
    assert written(tokenizer, found.forms[0]) == {"Us", " Us"}
    assert all(len(set(style)) == 2 for style in found.styles)


@pytest.mark.parametrize("words", [("red", "red circle"), ("1", "10"), ("blue", "no", "now")])
def test_choices_that_begin_each_other_are_scored_with_their_end(tokenizer, words: tuple[str, ...]) -> None:
    found = candidates(tokenizer, *words)
    everything = [form for style in found.styles for form in style] + [form for mine in found.forms for form in mine]
    assert {form[-1] for form in everything} == {tokenizer.eos_token_id}
    assert all(tokenizer.eos_token_id not in form[:-1] for form in everything)


def test_choices_that_do_not_begin_each_other_are_scored_without_end(tokenizer) -> None:
    for words in (("red circle", "blue circle"), ("10", "20"), ("A", "B")):
        forms = [form for mine in candidates(tokenizer, *words).forms for form in mine]
        assert not any(tokenizer.eos_token_id in form for form in forms)


def test_without_a_token_that_ends_an_answer_such_choices_are_refused(tokenizer) -> None:
    prompt = Prompt("is it?", tuple(tokenizer("is it?")["input_ids"]), (), (), ())
    with pytest.raises(ValueError, match="one begins another, and neither generation_config.json nor the tokenizer"):
        make_candidates(tokenizer, prompt, ("red", "red circle"), ())


@pytest.mark.parametrize(
    ("own", "stops", "ends"),
    [
        (5, [4, 5], (5, 4)),
        (5, 5, (5,)),
        (5, [4, 3], (4, 3, 5)),
        (5, None, (5,)),
        (None, [4, 3], (4, 3)),
        (None, None, ()),
    ],
)
def test_the_end_is_the_tokenizers_where_generation_stops_there(own, stops, ends) -> None:
    assert ends_of_answer(SimpleNamespace(eos_token_id=own), SimpleNamespace(eos_token_id=stops)) == ends


def test_the_rules_can_differ() -> None:
    """One way of writing for all choices, or all ways of each."""
    forms = Candidates(("yes", "no"), (((1,), (2,)), ((3,), (4,))), (((1,), (3,)), ((2,), (4,))))
    said = answers_of(forms, {(1,): 0.3, (2,): 0.2, (3,): 0.0, (4,): 0.25})
    assert (said.answers["best"].text, said.answers["best"].by_choice) == ("yes", {"yes": 0.3, "no": 0.2})
    assert said.answers["sum"].text == "no"
    assert said.answers["sum"].by_choice == pytest.approx({"yes": 0.3, "no": 0.45})
    assert said.answers["sum"].token_ids == said.tokens["no"] == (2,)


@pytest.mark.parametrize("vlm", RELEASED, indirect=True)
@pytest.mark.parametrize("choices", [("A", "B"), ("yes", "no"), ("red", "red circle"), ("1", "10")])
def test_both_rules_are_what_the_plain_path_says(vlm, choices: tuple[str, ...]) -> None:
    s = asked(*choices)
    best, total = vlm.answer(s), vlm.answers([s], rule="sum")[0]
    for word, (form,) in vlm.choice_forms(s).items():
        assert best.by_choice[word] == pytest.approx(plain_probability(vlm, s, form), rel=1e-4)
    for word, forms in vlm.choice_forms(s, "sum").items():
        assert len(forms) >= 2
        assert total.by_choice[word] == pytest.approx(sum(plain_probability(vlm, s, f) for f in forms), rel=1e-4)
        assert total.by_choice[word] >= best.by_choice[word] or vlm.choice_forms(s)[word][0] not in forms
    assert sum(total.by_choice.values()) <= 1


@pytest.mark.parametrize("vlm", SUBJECTS, indirect=True)
def test_forms_are_those_after_the_whole_prompt(vlm) -> None:
    """Tokenised behind the last image token, they are the same, and no other token is looked at."""
    tokenizer, prompt = vlm.adapter.processor.tokenizer, vlm.view(sample(1)).prompt
    seen: list[str] = []

    class Watching:
        def __call__(self, text, **options):
            seen.append(text)
            return tokenizer(text, **options)

        def __getattr__(self, name):
            return getattr(tokenizer, name)

    short = make_candidates(Watching(), prompt, ("yes", "no"))
    assert max(map(len, seen)) < len(prompt.text) - (len(prompt.image_positions) - 1)
    assert short == make_candidates(tokenizer, replace(prompt, image_positions=()), ("yes", "no"))


@pytest.mark.parametrize("vlm", RELEASED, indirect=True)
def test_the_explained_answer_is_the_scored_one(vlm) -> None:
    """Its end included, in games and in the white box, whatever the rule."""
    s = asked("red", "red circle")
    for target in s.choices or ():
        game = vlm.game(s, target=target)
        assert (game.token_ids,) == vlm.choice_forms(s)[target]
        assert game.token_ids[-1] == vlm.adapter.processor.tokenizer.eos_token_id
        everything = np.ones((1, game.players.n), dtype=bool)
        assert game(everything)[0] == pytest.approx(vlm.answer(s).by_choice[target], rel=1e-5)
        assert plain_values(game, everything)[0] == pytest.approx(vlm.answer(s).by_choice[target], rel=1e-4)
        assert vlm.white_box(s, target=target).target_ids == game.token_ids
    assert vlm.answer(s).token_ids == vlm.game(s).token_ids
    assert vlm.answer(s, rule="sum").token_ids == vlm.game(s, target=vlm.answer(s, rule="sum").text).token_ids


def test_corners_follow_the_rule(open_vocabulary) -> None:
    samples = [asked("A", "B"), asked("red", "red circle")]
    for rule in ("best", "sum"):
        found = choice_corners(open_vocabulary, samples, rule=rule)
        answers = open_vocabulary.answers(samples, rule=rule)
        for corners, answer in zip(found, answers, strict=True):
            assert corners["both"] == pytest.approx(answer.by_choice, rel=1e-5)
            assert list(corners["both"]) == list(answer.by_choice)
    game = open_vocabulary.game(samples[1], target="red")
    nobody = np.zeros((1, game.players.n), dtype=bool)
    assert choice_corners(open_vocabulary, samples)[1]["empty"]["red"] == pytest.approx(game(nobody)[0], rel=1e-5)


def test_an_unknown_rule_is_refused(open_vocabulary) -> None:
    with pytest.raises(UnknownNameError, match="unknown answer rule 'som'. Did you mean 'sum'"):
        open_vocabulary.answer(asked("A", "B"), rule="som")
    with pytest.raises(UnknownNameError, match="answer rule"):
        choice_corners(open_vocabulary, [], rule="worst")


def test_a_free_answer_is_the_same_by_both_rules() -> None:
    vlm = make_subject("tiny-llava-grounded")
    free = replace(sample(1), choices=None)
    assert vlm.answer(free, rule="sum") == vlm.answer(free)


def test_equal_choices_are_refused_by_a_model(open_vocabulary) -> None:
    with pytest.raises(ValueError, match="the choices 'red', 'Red' are the same answer"):
        open_vocabulary.answer(asked("red", "Red"))
