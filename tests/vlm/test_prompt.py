"""Questions, answers and pictures that a model cannot take are refused with what is wrong."""

from __future__ import annotations

import re
import unicodedata
from copy import deepcopy

import numpy as np
import pytest
from PIL import Image
from support.subjects import MODEL_TYPE, RELEASED, make_subject, picture, processor_of, sample
from tokenizers import AddedToken, normalizers

from toolkit.datasets.own_question import load_image_question
from toolkit.datasets.sample import Sample
from toolkit.registry import UnknownNameError
from toolkit.vlm.adapters.families import adapter_class
from toolkit.vlm.prompt import check_words, render
from toolkit.vlm.view import sample_key


@pytest.fixture(scope="module")
def tiny():
    return make_subject("random-tiny-llava")


@pytest.fixture(scope="module")
def open_vocabulary():
    return make_subject("released-qwen2.5-vl")


def ask(question: str, choices=("yes", "no"), instruction: str | None = "", image: Image.Image | None = None) -> Sample:
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


def adapter_of(family: str, *added: AddedToken, template: str | None = None):
    """A family's adapter on the released processor, with further tokens or another template."""
    processor = processor_of(family)
    processor.tokenizer.add_tokens(list(added))
    if template is not None:
        processor.chat_template = template
    return adapter_class(MODEL_TYPE[family])(processor)


def test_an_added_token_is_not_special_for_being_added() -> None:
    """Gemma's tokenizer adds line breaks and runs of blanks; a turn's mark stays special however it is declared."""
    added = [AddedToken(text, special=False) for text in ("\n", "  ", "<tool>", "USER")]
    adapter = adapter_of("llava", *added, AddedToken("<turn>", special=True))
    check_words(adapter, ask("is it?\nor  <tool> not?"))
    for special in ("<turn>", "<image>", "USER", "<|im_end|>", "<s>"):
        with pytest.raises(ValueError, match=f"question contains special tokens of the model: .*{re.escape(special)}"):
            check_words(adapter, ask(f"is it {special} ?"))
    with pytest.raises(ValueError, match="the instruction contains special tokens of the model: <turn>"):
        check_words(adapter, ask("is it ?", instruction="say <turn> so"))


@pytest.mark.parametrize("family", ["qwen2.5-vl", "internvl"])
def test_a_video_placeholder_is_refused(family: str) -> None:
    adapter = adapter_of(family)
    for video in (adapter.processor.tokenizer.video_token, "<clip>"):
        adapter.processor.video_token = video
        with pytest.raises(ValueError, match=f"special tokens of the model: {re.escape(video)}"):
            check_words(adapter, ask(f"is it {video} ?"))


TURN = (
    "{% for m in messages %}{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>{% else %}"
    "WORDS{% endif %}{% endfor %}{% endfor %} ASSISTANT:"
)


@pytest.mark.parametrize(
    ("words", "done"),
    [
        ("{{ c['text'] }} {{ c['text'] }}", "writes the question 2 times"),
        ("", "leaves the question out"),
        ("{{ c['text'] | upper }}", "writes the question in capitals"),
        ("{{ c['text'] | lower }}", "writes the question in lower case"),
        ("{{ c['text'] | reverse }}", "turns the question round"),
        ("{{ c['text'].split() | reverse | join(' ') }}", "turns the question's words round"),
        ("{{ c['text'].split() | join(' ') }}", "joins the question's lines and blanks"),
        ("{{ c['text'] | escape }}", "escapes characters of the question"),
        ("{{ c['text'] | replace('a', 'e') }}", "changes the question's text"),
        ("{% if c['text'] | length > 3 %}{{ c['text'] }}{{ c['text'] }}{% else %}{{ c['text'] }}{% endif %}",
         "writes the question 2 times"),
    ],
)  # fmt: skip
def test_a_template_that_does_not_write_the_question_once_and_as_it_is_says_what_it_did(words: str, done: str) -> None:
    adapter = adapter_of("llava", template=TURN.replace("WORDS", words))
    with pytest.raises(ValueError, match=f"the chat template of llava {done}, so .*; give the checkpoint a template"):
        render(adapter, ask("Is it a <b>  red\ncircle?", instruction="Say so."))


def test_a_template_that_cuts_outer_blanks_is_fine() -> None:
    adapter = adapter_of("llava", template=TURN.replace("WORDS", "{{ c['text'] | trim }}"))
    s = ask("  is it red? ", instruction="")
    text, start = render(adapter, s)
    assert text[start : start + len(s.question)] == s.question == "is it red?"
    text, start = render(adapter, ask("is it red?", instruction=" \n{question}  say so \n"))
    assert text[start:].startswith("is it red?  say so ASSISTANT:")


def test_a_tokenizer_without_offsets_is_refused_with_the_cure(monkeypatch) -> None:
    for name in ("random-tiny-llava", "released-llava"):
        vlm = make_subject(name)
        with monkeypatch.context() as patch:
            patch.setattr(type(vlm.adapter.processor.tokenizer), "is_fast", property(lambda self: False))
            with pytest.raises(ValueError, match=r"does not say which characters .*; load .* tokenizer\.json"):
                vlm.answer(ask("is there a circle ?"))


@pytest.mark.parametrize("vlm", RELEASED, indirect=True)
@pytest.mark.parametrize(
    "question",
    [
        "图片里有红色的圆吗？",
        "هل توجد دائرة حمراء؟",
        "is there a red circle?\nlook twice",
        "is it a cafe\u0301 with a x\u0302 ?",
        "which one? (A) red (B) blue",
        "🙂 is it? {question}",
    ],
)
def test_questions_in_any_script_are_cut_into_players_without_a_rest(vlm, question: str) -> None:
    processor = deepcopy(vlm.adapter.processor)
    processor.tokenizer.backend_tokenizer.normalizer = normalizers.NFC()  # as Qwen's, which shortens the text
    vlm = type(vlm)(vlm.name, type(vlm.adapter)(processor), vlm.model)
    s = load_image_question(picture(), question, choices=["yes", "no"])
    assert s.question == unicodedata.normalize("NFC", question)
    covered = {i for a, b in vlm.text_spans(s) for i in range(a, b)}
    written = {i for i, character in enumerate(s.question) if not character.isspace()}
    assert written <= covered <= set(range(len(s.question)))
    assert 0 < vlm.answer(s).probability < 1


def test_a_model_says_how_it_is_asked() -> None:
    """The scenes' wording where a closed vocabulary lacks the released one, which every other model gets."""
    closed, released = make_subject("tiny-llava-grounded"), make_subject("released-llava")
    for choices, scenes, llava in (
        (("yes", "no"), "answer yes or no", "Answer the question using a single word or phrase."),
        (None, "answer with one word", "Answer the question using a single word or phrase."),
        (("A", "B"), "answer with the letter", "Answer with the option's letter from the given choices directly."),
    ):
        s = ask("is there a red circle ?", choices, None)
        for vlm, told in ((closed, scenes), (released, llava)):
            spelt = ask(s.question, choices, told)
            assert vlm.asked(s).instruction == told
            assert vlm.view(s) is vlm.view(spelt)
            assert f"{s.question}\n{told}" in vlm.view(s).prompt.text
            if choices is not None:
                assert vlm.game(s).sample.instruction == told
                assert vlm.answer(s) == vlm.answer(spelt)


def test_the_wording_is_part_of_what_values_depend_on() -> None:
    vlm = make_subject("released-llava")
    one, other = ask("is it ?", instruction=None), ask("is it ?", instruction="Say yes or no.")
    digests = [vlm.view(s).digest(vlm.adapter, "blur") for s in (one, other)]
    assert digests[0] != digests[1]
    assert sample_key(vlm.asked(one)) != sample_key(other)
    assert sample_key(ask("is it ?", instruction="None")) != sample_key(one)


@pytest.mark.parametrize("vlm", RELEASED, indirect=True)
def test_an_instruction_before_the_question_is_no_player(vlm) -> None:
    s = ask("is there a red circle?", instruction="Note: say A or B.\n\n{question}")
    prompt = vlm.view(s).prompt
    assert "Note: say A or B.\n\nis there a red circle?" in prompt.text
    players = vlm.adapter.processor.tokenizer.decode([prompt.ids[i] for i in prompt.text_positions])
    assert players.strip() == "".join(s.question[a:b] for a, b in prompt.spans).strip() == s.question
    assert 0 < vlm.answer(s).probability < 1


def test_ten_thousand_words_are_refused_with_numbers(tiny) -> None:
    said = r"the prompt has 100\d\d tokens \(36 of the image, 10000 of the question\).* context is 2048: shorten"
    with pytest.raises(ValueError, match=said):
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
        tiny.masked_image(sample(1), np.ones(3, dtype=bool))


def test_labels_and_spans(tiny) -> None:
    s = sample(1)
    players = tiny.players(s)
    assert players.labels[:2] == ("row 1, column 1", "row 1, column 2")
    assert players.labels[36:] == ("is", "there", "a", "red", "circle", "?")
    assert [s.question[a:b] for a, b in tiny.text_spans(s)] == s.question.split()
