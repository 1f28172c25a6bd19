import asyncio

import pytest

from toolkit.datasets.sample import Corners
from toolkit.scenes.generator import load, sample_at
from toolkit.widgets import BiasDial, SampleBrowser
from toolkit.widgets.bias_dial import WORLD, mean_corners
from toolkit.widgets.sample_browser import marked_question, truth_rows


class Parrot:
    """Says what the words make most likely in a world with a full prior; knows nothing of the picture."""

    def answer(self, sample):
        from toolkit.vlm.protocol import Answer

        return Answer("yes", 0.75, (0,), {"yes": 0.75, "no": 0.25})

    def game(self, sample, *, target=None, baseline="blur"):
        from support.fakes import paper_vlm

        return paper_vlm("text").game(sample, target=target)


@pytest.fixture
def dial():
    dial = BiasDial({"biased": Parrot()}, ("scenes-existence",), n=3)
    dial.measure()
    return dial


def test_the_dial_follows_the_world(dial):
    worlds = [point.corners[WORLD] for point in dial.points]
    assert worlds[0].text == pytest.approx(0.5)
    assert worlds[-1].text == pytest.approx(1.0)
    assert worlds[0].total_interaction == pytest.approx(0.5)
    assert worlds[-1].total_interaction == pytest.approx(0.0)


def test_turning_the_dial_changes_table_and_figure(dial):
    before = dial.table.value, dial.figure.value, dial.example.value
    dial.dial.value = 100
    after = dial.table.value, dial.figure.value, dial.example.value
    assert all(a != b for a, b in zip(before, after, strict=True))
    assert "prior strength 1" in dial.note.value
    assert dial.static().count('alt="') == 1


def test_nothing_is_measured_before_run_and_stop_keeps_what_is():
    dial = BiasDial({"biased": Parrot()}, ("scenes-existence",), n=2)
    assert dial.points == []
    assert "Press Run" in dial.static()
    answers = iter([False, False, True])
    dial.measure(poll=lambda: next(answers))
    assert [point.strength for point in dial.points] == [0.0, 0.25]
    assert dial.progress.value == 2
    dial.run.click()
    assert len(dial.points) == 5


def test_run_listens_to_stop_between_two_strengths(monkeypatch):
    monkeypatch.setattr("toolkit.widgets.bias_dial.PAUSE", 0)
    dial = BiasDial({"biased": Parrot()}, ("scenes-existence",), n=2)

    async def session():
        dial.run.click()
        while len(dial.points) < 2:
            await asyncio.sleep(0)
        dial.stop.click()
        await dial._task

    asyncio.run(session())
    assert len(dial.points) == 2
    assert dial.figure.value
    assert "Mean over 2 questions" in dial.note.value


def test_what_goes_wrong_while_measuring_is_shown_to_the_reader(monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("the model is gone")

    monkeypatch.setattr("toolkit.widgets.bias_dial.dial_point", broken)
    dial = BiasDial({"biased": Parrot()}, ("scenes-existence",), n=2)

    async def session():
        dial.run.click()
        await dial._task

    asyncio.run(session())
    assert "RuntimeError: the model is gone" in dial.note.value


def test_an_unmeasured_world_shows_nothing_of_the_one_before():
    dial = BiasDial({"biased": Parrot()}, ("scenes-existence", "scenes-everyday"), n=2)
    dial.measure()
    assert dial.figure.value
    dial.dataset.value = "scenes-everyday"
    assert dial.figure.value == dial.example.value == b""
    assert dial.table.value == ""
    assert "Press Run" in dial.note.value


def test_mean_corners():
    assert mean_corners([Corners(1, 0, 0, 0), Corners(0, 1, 0, 1)]) == Corners(0.5, 0.5, 0, 0.5)
    with pytest.raises(ValueError, match="no corners"):
        mean_corners([])


def test_every_control_of_the_browser_changes_what_is_shown():
    browser = SampleBrowser({"parrot": Parrot()}, n=3)
    assert "0.75" in browser.answers.value
    for control, value in ((browser.number, 2), (browser.evidence, False), (browser.dataset, "scenes-choice")):
        before = browser.image.value
        control.value = value
        assert browser.image.value != before, control.description
    before = browser.table.value
    browser.strength.value = 100
    assert browser.table.value != before
    assert browser.static().count('alt="') == 1


def test_the_browser_shows_the_samples_of_the_generator():
    browser = SampleBrowser(n=9)
    for number in (1, 9, 5):
        browser.number.value = number
        assert browser.sample.id == load("scenes-existence", n=9)[number - 1].id


def test_the_browser_draws_the_sample_that_is_asked_for_and_no_other(monkeypatch):
    from toolkit.widgets import sample_browser

    drawn = []

    def spy(index, name, **settings):
        drawn.append(index)
        return sample_at(index, name, **settings)

    monkeypatch.setattr(sample_browser, "sample_at", spy)
    browser = SampleBrowser(n=24)
    browser.number.value = 20
    browser.number.value = 1
    browser.dataset.value = "scenes-choice"
    assert drawn == [0, 19, 0], "a sample is drawn once, alone"


def test_evidence_words_are_marked():
    sample = load("scenes-existence", n=1)[0]
    words = sample.question.split()
    assert f"<b><u>{words[3]}</u></b>" in marked_question(sample)
    assert "<u>" not in marked_question(sample, evidence=False)
    assert ("gate by construction", "synergy") in truth_rows(sample)


@pytest.mark.parametrize("make", [lambda: BiasDial({}), lambda: SampleBrowser(datasets=())])
def test_empty_widgets_are_refused(make):
    with pytest.raises(ValueError, match="expected"):
        make()
