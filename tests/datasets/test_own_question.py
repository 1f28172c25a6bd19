"""Anybody's question: checked, its choices read off, made into a sample."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import toolkit
from toolkit.datasets.letters import LETTERS
from toolkit.datasets.own_question import MAX_CHARACTERS, MAX_WORDS, read_choices
from toolkit.datasets.sample import Sample
from toolkit.registry import UnknownNameError

PICTURE = np.zeros((4, 4, 3), np.uint8)


def test_sample_of_a_yes_no_question() -> None:
    sample = toolkit.load_image_question(PICTURE, " is there a red circle ? ", answer="no")
    assert sample.question == "is there a red circle ?"
    assert (sample.choices, sample.answer, sample.instruction) == (("yes", "no"), "no", None)
    assert (sample.image.mode, sample.image.size, sample.dataset) == ("RGB", (4, 4), "own")


def test_a_list_makes_a_sample_of_several_images(tmp_path) -> None:
    Image.new("RGB", (9, 3), "green").save(tmp_path / "b.png")
    sample = toolkit.load_image_question([PICTURE, tmp_path / "b.png"], "<image>\n<image> are they alike ?")
    assert [image.size for image in sample.images] == [(4, 4), (9, 3)]
    assert (sample.question, sample.choices) == ("are they alike ?", ("yes", "no"))
    swapped = toolkit.load_image_question([tmp_path / "b.png", PICTURE], "are they alike ?")
    one = toolkit.load_image_question([PICTURE], "are they alike ?")
    assert len({sample.id, swapped.id, one.id}) == 3
    assert one.id == toolkit.load_image_question(PICTURE, "are they alike ?").id


@pytest.mark.parametrize(
    ("images", "question", "message"),
    [
        ([], "is it ?", "the list of images is empty; give one image at least"),
        ([PICTURE, 3], "is it ?", "image 2 of 2: expected a path, a PIL image or a numpy array, got int"),
        ([PICTURE] * 2, "<image> is it ?", "the question has 1 <image> and there are 2 images; write one for each"),
        ([PICTURE] * 2, "is <image> like <image> ?", "words stand between or before the <image> of the question"),
    ],
)
def test_a_list_that_does_not_fit_its_question_is_refused(images, question: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        toolkit.load_image_question(images, question)


def test_identity_follows_picture_and_question() -> None:
    first = toolkit.load_image_question(PICTURE, "is it red ?")
    again = toolkit.load_image_question(PICTURE.copy(), "is it red ?")
    other_question = toolkit.load_image_question(PICTURE, "is it blue ?")
    other_picture = toolkit.load_image_question(PICTURE + 1, "is it red ?")
    assert first.id == again.id
    assert first.image_id == other_question.image_id != other_picture.image_id
    assert len({first.id, other_question.id, other_picture.id}) == 3


@pytest.mark.parametrize(
    ("question", "choices"),
    [
        ("is there a red circle ?", ("yes", "no")),
        ("Are there two dogs?", ("yes", "no")),
        ("Does the man hold a cup?", ("yes", "no")),
        ("is it red or blue ?", None),
        ("what color is the lemon ?", None),
        ("Island or sea?", None),
        ("what color is it ? A red B blue", ("A", "B")),
        ("what color is it ? A red B blue C green D pink", ("A", "B", "C", "D")),
        ("is it red ? A yes B no", ("A", "B")),
        ("How many? Select.\n(A) 3\n(B) 2\n(C) 1", ("A", "B", "C")),
        ("Which?\nOptions: A: The suitcase., B: A book., C: None, D: Both", ("A", "B", "C", "D")),
        ("Which one? A. red B. blue", ("A", "B")),
        ("Which one? A) red B) blue", ("A", "B")),
        ("Look at Figure A. Which one? A. red B. blue", ("A", "B")),
        ("what is on it ? A man and a dog", None),
        ("A man and B roads", None),
        ("Which one? B. red C. blue", None),
        ("Which one? A. red C. blue", None),
        ("Which one? A. red B. blue D. green", None),
        ("Which one? " + " ".join(f"{letter}. {letter.lower()}x" for letter in LETTERS[:10]), tuple(LETTERS[:10])),
        ("which one ? " + " ".join(f"{letter} {letter.lower()}x" for letter in LETTERS), tuple(LETTERS)),
        ("Who wrote it? A. J. K. Rowling B. C. S. Lewis", ("A", "B")),
        ("Who wrote it?\n(A) J. K. Rowling\n(B) C. S. Lewis\n(C) A. A. Milne", ("A", "B", "C")),
        ("who wrote it ? A J K Rowling B C S Lewis", ("A", "B")),
        ("Who is it?\nA. George W. Bush\nB. John C. Reilly", ("A", "B")),
        ("Who is it? A. Bob B. Robert J. Oppenheimer", ("A", "B")),
        ("Is Vitamin A: good for Hepatitis B: patients?", ("yes", "no")),
        ("Which one? A. Hepatitis B. B. Hepatitis C.", ("A", "B")),
        ("which one ? A vitamin B B vitamin C C iron", ("A", "B", "C")),
        ("A. B. Yehoshua and C. S. Lewis: who is older?", None),
        ("What is in the picture\nA. a figure B. a group", ("A", "B")),
    ],
)
def test_choices_are_read_off_the_question(question: str, choices: tuple[str, ...] | None) -> None:
    assert read_choices(question) == choices


def test_the_instruction_is_left_to_the_model_unless_it_is_given() -> None:
    def told(instruction: str | None) -> str | None:
        return toolkit.load_image_question(PICTURE, "what color ? A red B blue", instruction=instruction).instruction

    assert told(None) is None
    assert told("") == ""
    assert told("scenes") == "answer with the letter"
    assert told("Say it loud.") == "Say it loud."
    with pytest.raises(UnknownNameError, match="Did you mean 'llava'"):
        told("lava")


def test_a_question_is_composed_before_anything_looks_at_it() -> None:
    spelt = toolkit.load_image_question(PICTURE, "  is it a cafe\u0301 ?\n", choices=["cafe\u0301", "bar"])
    assert spelt.question == "is it a caf\u00e9 ?"
    assert spelt.choices == ("caf\u00e9", "bar")
    assert spelt.id == toolkit.load_image_question(PICTURE, "is it a caf\u00e9 ?".join(("  ", "\n"))).id
    assert Sample("s", spelt.image, " e\u0301 ", "", ["e\u0301", "b"], "e\u0301").answer == "\u00e9"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"question": None}, "the question must be text, got None"),
        ({"question": 3}, "the question must be text, got 3"),
        ({"instruction": 3}, "the instruction must be text or None, got 3"),
        ({"choices": "yes"}, "choices must be a list or a tuple of answers, got 'yes'"),
        ({"choices": (1, 2)}, "the choice must be text, got 1"),
        ({"choices": ("yes", " ")}, "at least two different strings"),
        ({"choices": ("yes", "yes ")}, "at least two different strings"),
        ({"answer": 1}, "the answer must be text, got 1"),
    ],
)
def test_a_sample_holds_texts(fields: dict[str, object], message: str) -> None:
    picture = toolkit.load_image_question(PICTURE, "is it ?").image
    with pytest.raises(ValueError, match=message):
        Sample(**({"id": "s", "image": picture, "question": "is it ?"} | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize("question", ["", "   ", "\n\t"])
def test_empty_question(question: str) -> None:
    with pytest.raises(ValueError, match="the question is empty"):
        toolkit.load_image_question(PICTURE, question)


def test_long_questions_have_a_limit() -> None:
    toolkit.load_image_question(PICTURE, "is " * MAX_WORDS)
    with pytest.raises(ValueError, match=rf"has 10,000 words .* at most {MAX_WORDS} words"):
        toolkit.load_image_question(PICTURE, "is " * 10_000)
    with pytest.raises(ValueError, match=rf"has {MAX_WORDS + 1} words"):
        toolkit.load_image_question(PICTURE, "a " * (MAX_WORDS + 1))
    with pytest.raises(ValueError, match="at most"):
        toolkit.load_image_question(PICTURE, "a" * (MAX_CHARACTERS + 1))


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("is\x07it ?", r"U\+0007 \(control character\) at position 2"),
        ("is it \x1b[31m red ?", r"U\+001B .* position 6"),
        ("is \u202eit ?", r"U\+202E \(RIGHT-TO-LEFT OVERRIDE\) at position 3"),
        ("is \ud800 it", r"U\+D800"),
        ("is\x00it", r"U\+0000"),
    ],
)
def test_control_characters_are_named(question: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        toolkit.load_image_question(PICTURE, question)


def test_line_breaks_and_other_scripts_are_fine() -> None:
    assert toolkit.load_image_question(PICTURE, "ist es\trot?\nÄÖÜ 红色 🙂").question


def test_options_without_the_answer() -> None:
    with pytest.raises(ValueError, match="the answer 'green' is not among the choices"):
        toolkit.load_image_question(PICTURE, "what color ?", choices=["red", "blue"], answer="green")
    with pytest.raises(ValueError, match="the answer 'C' is not among"):
        toolkit.load_image_question(PICTURE, "what color ? A red B blue", answer="C")


def test_choices_must_be_a_list_of_two_or_more() -> None:
    for bad in (["yes", " "], ["yes", ""], [1, 2], ["yes", None]):
        with pytest.raises(ValueError, match="every choice must be a text of at least one character"):
            toolkit.load_image_question(PICTURE, "is it ?", choices=bad)
    with pytest.raises(ValueError, match="got the text 'yes'; did you mean a list"):
        toolkit.load_image_question(PICTURE, "is it ?", choices="yes")
    with pytest.raises(ValueError, match="at least two different"):
        toolkit.load_image_question(PICTURE, "is it ?", choices=["yes"])
    with pytest.raises(ValueError, match="at least two different"):
        toolkit.load_image_question(PICTURE, "is it ?", choices=["yes", "yes"])


def test_question_must_be_text() -> None:
    with pytest.raises(ValueError, match="must be text, got int"):
        toolkit.load_image_question(PICTURE, 3)  # type: ignore[arg-type]
