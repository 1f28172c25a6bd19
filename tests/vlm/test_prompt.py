"""Questions, answers and pictures that a model cannot take are refused with what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from subjects import make_subject, picture, sample

from toolkit.datasets.sample import Sample
from toolkit.registry import UnknownNameError


@pytest.fixture(scope="module")
def tiny():
    return make_subject("random-tiny-llava")


@pytest.fixture(scope="module")
def open_vocabulary():
    return make_subject("released-qwen2.5-vl")


def ask(question: str, choices=("yes", "no"), instruction: str = "", image: Image.Image | None = None) -> Sample:
    return Sample("q", picture() if image is None else image, question, instruction, choices)


def test_unknown_words_are_named(tiny) -> None:
    with pytest.raises(ValueError, match=r"question has words .* lacks: 'purple', 'Circle\?'"):
        tiny.answer(ask("is there a purple Circle?"))
    with pytest.raises(ValueError, match="instruction has words .* 'please'"):
        tiny.answer(ask("is there a circle ?", instruction="answer please"))


def test_a_question_that_only_needs_another_spelling_is_spelt(tiny) -> None:
    with pytest.raises(ValueError, match=r"lacks: 'Is', 'circle\?'.*; try 'is there a red circle \?'$"):
        tiny.answer(ask("Is there a red circle?"))
    with pytest.raises(ValueError, match="spaces$"):
        tiny.answer(ask("Is there a purple circle?"))


def test_a_mistyped_word_is_recognised(tiny) -> None:
    with pytest.raises(ValueError, match=r"lacks: 'circel', 'mauve'; .*spaces; did you mean 'circle' by 'circel'\?$"):
        tiny.answer(ask("is there a circel mauve ?"))


def test_a_model_that_answers_nan_is_refused(tiny, monkeypatch) -> None:
    monkeypatch.setattr(type(tiny.engine), "log_probabilities", lambda self, requests: [np.array([0.0, np.nan])])
    with pytest.raises(ValueError, match="answers with NaN in float32"):
        tiny.answer(ask("is there a red circle ?"))


def test_answers_that_cannot_be_said_are_named(tiny) -> None:
    with pytest.raises(ValueError, match=r"cannot say the answers \('yes', 'maybe'\).* lacks 'maybe'"):
        tiny.answer(ask("is there a circle ?", choices=("yes", "maybe")))


@pytest.mark.parametrize("question", ["is there\x00a circle ?", "is \x1b[31m red"])
def test_control_characters_are_refused(tiny, open_vocabulary, question: str) -> None:
    for vlm in (tiny, open_vocabulary):
        with pytest.raises(ValueError, match="control characters"):
            vlm.answer(ask(question))


def test_special_tokens_in_the_question_are_refused(tiny, open_vocabulary) -> None:
    with pytest.raises(ValueError, match="special tokens of the model: <image>"):
        tiny.answer(ask("is there <image> a circle ?"))
    with pytest.raises(ValueError, match=r"special tokens of the model: .*<\|im_end\|>"):
        open_vocabulary.answer(ask("is it?<|im_end|>"))


def test_ten_thousand_words_are_refused_with_numbers(tiny) -> None:
    with pytest.raises(ValueError, match=r"the prompt has 100\d\d tokens \(10000 of the question\).* context is 2048"):
        tiny.answer(ask("red " * 9999 + "?"))


@pytest.mark.parametrize("family", ["llava", "qwen2.5-vl", "internvl"])
def test_extreme_pictures(family: str) -> None:
    vlm = make_subject(f"random-tiny-{family}")
    dot = ask("is there a circle ?", image=Image.new("RGB", (1, 1)))
    assert vlm.players(dot).n_image == 36
    assert 0 < vlm.answer(dot).probability < 1
    with pytest.raises(ValueError, match="20000 x 10 pixels; sides may differ by a factor of 200"):
        vlm.answer(ask("is there a circle ?", image=Image.new("RGB", (20_000, 10))))


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P"])
def test_other_modes_are_converted(tiny, mode: str) -> None:
    assert tiny.answer(ask("is there a circle ?", image=picture().convert(mode))).text in ("yes", "no")


def test_a_target_must_be_a_choice(tiny) -> None:
    with pytest.raises(ValueError, match=r"'red' is not among the choices \('yes', 'no'\)"):
        tiny.game(ask("is there a circle ?"), target="red")


def test_an_unknown_baseline_is_refused(tiny) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'blur'"):
        tiny.game(ask("is there a circle ?"), baseline="blurr")


def test_a_target_without_choices_is_scored(tiny) -> None:
    game = tiny.game(ask("is there a circle ?", choices=None), target="red")
    assert game.token_ids == (tiny.adapter.processor.tokenizer.get_vocab()["red"],)


def test_the_answer_is_written_as_the_model_writes_it(open_vocabulary) -> None:
    answer = open_vocabulary.answer(ask("is there a red circle?"))
    said = open_vocabulary.adapter.processor.tokenizer.decode(answer.token_ids)
    assert said.strip().lower() == answer.text
    assert set(answer.by_choice) == {"yes", "no"}


def test_a_game_needs_a_coalition_of_its_length_to_draw(tiny) -> None:
    import numpy as np

    with pytest.raises(ValueError, match=r"shape \(3,\), expected \(42,\)"):
        tiny.picture(sample(1), np.ones(3, dtype=bool))


def test_labels_and_spans(tiny) -> None:
    s = sample(1)
    players = tiny.players(s)
    assert players.labels[:2] == ("row 1, column 1", "row 1, column 2")
    assert players.labels[36:] == ("is", "there", "a", "red", "circle", "?")
    assert [s.question[a:b] for a, b in tiny.text_spans(s)] == s.question.split()
