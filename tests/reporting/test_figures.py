"""Figures: what is drawn is what was given, in colours and shapes that can be told apart."""

import colorsys
import html
import itertools
import math
import xml.etree.ElementTree as ElementTree
from urllib.parse import unquote

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

import toolkit.explainers
from toolkit.reporting.plots import (
    PALETTE,
    Drawing,
    critical_difference,
    curves,
    leaderboard,
    looks,
    rank_shift,
    tradeoff,
)
from toolkit.reporting.plots.critical_difference import groups_within
from toolkit.reporting.plots.curves import curve_charts
from toolkit.reporting.plots.drawing import image_html
from toolkit.reporting.plots.redundancy_figure import _COLOURS as GATE_COLOURS
from toolkit.reporting.plots.style import CONTROLS, DIVERGING, EXPLAINERS, MEANINGS, new_figure
from toolkit.widgets.frames import LOOKS

registered = list(toolkit.explainers.EXPLAINERS)

K = np.linspace(0, 1, 11)


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def deuteranope(colour):
    """What a viewer without green cones sees, roughly (Vienot et al. 1999), in linear light."""
    rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]) ** 2.2
    return np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]]) @ rgb


def test_colours_can_be_told_apart_also_without_green_cones():
    for one, two in itertools.combinations(PALETTE, 2):
        assert np.abs(deuteranope(one) - deuteranope(two)).max() > 0.03, (one, two)
    for colour in PALETTE:
        contrast = 1.05 / (luminance(colour) + 0.05)
        assert contrast > 2.0, colour


def test_every_explainer_has_one_look_by_its_name():
    assert set(EXPLAINERS) | set(CONTROLS) == set(registered)
    found = looks(registered)
    assert len({(look.colour, look.marker, look.style) for look in found.values()}) == len(registered)
    for name in registered:  # whatever it stands beside, and in whatever order
        assert looks([name])[name] == looks(["mine", *registered[::-1]])[name] == found[name]
    for name in CONTROLS:
        red, green, blue = (int(found[name].colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        assert colorsys.rgb_to_hsv(red, green, blue)[1] < 0.05


def test_explainers_of_others_get_looks_of_their_own():
    names = [f"m{i}" for i in range(16)]
    found = looks([*names, *registered])
    assert len({(look.colour, look.marker) for look in found.values()}) == len(found)
    assert looks(["a", "random"])["a"] == looks(["a"])["a"] == looks(["b", "a"])["a"]


def pixels_of(drawing, colour):
    """How many pixels of a drawing have nearly this colour."""
    figure = drawing.figure
    FigureCanvasAgg(figure).draw()
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.abs(np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int) - wanted).max(axis=-1) < 12).sum())


def test_equal_lines_are_all_seen():
    names = ["occlusion", "rollout", "attn-lrp"]
    apart = curves(K, {name: K / (2 + i) for i, name in enumerate(names)})
    equal = curves(K, dict.fromkeys(names, K))
    for name, look in looks(names).items():
        assert pixels_of(equal, look.colour) > 0.2 * pixels_of(apart, look.colour) > 0, name
    lines = equal.figure.axes[0].get_lines()
    assert [line.get_markerfacecolor() == "none" for line in lines] == [False, True, True]
    assert [line.get_markerfacecolor() == "none" for line in apart.figure.axes[0].get_lines()] == [False] * 3


def test_one_meaning_per_colour():
    shown = {**MEANINGS, **{f"explainer {i}": colour for i, colour in enumerate(PALETTE)}}
    for one, two in itertools.combinations(shown, 2):
        parts = [np.array([int(shown[name][i : i + 2], 16) for i in (1, 3, 5)]) for name in (one, two)]
        assert np.linalg.norm(parts[0] - parts[1]) > 38, (one, two)
    for pair in (("image", "words"), ("insertion", "deletion"), ("for", "against"), ("image", "both")):
        one, two = (deuteranope(MEANINGS[name]) for name in pair)
        assert np.abs(one - two).max() > 0.03, pair
    assert {GATE_COLOURS["image-only"], GATE_COLOURS["text-only"]} == {MEANINGS["image"], MEANINGS["words"]}
    assert [LOOKS[name][0] for name in ("image", "text")] == [MEANINGS["image"], MEANINGS["words"]]
    drawn = curves(K, {"insertion": K, "deletion": 1 - K}).figure.axes[0].lines
    assert [line.get_color() for line in drawn[:2]] == [MEANINGS["insertion"], MEANINGS["deletion"]]
    ends = [mpl.colors.to_hex(DIVERGING(value)).upper() for value in (0.0, 1.0)]
    assert ends == [MEANINGS["against"], MEANINGS["for"]]


def test_curves_draw_what_was_given():
    drawing = curves(K, {"a": K**2, "b": -K}, title="t")
    (axes,) = drawing.figure.axes
    drawn = {line.get_label(): line.get_ydata() for line in axes.lines if not line.get_label().startswith("_")}
    assert np.allclose(drawn["a"], K**2)
    assert np.allclose(drawn["b"], -K)
    assert "a from 0.00 over 0.25 at the middle to 1.00" in drawing.alt
    with pytest.raises(ValueError, match="curve 'a' has shape"):
        curves(K, {"a": K[:-1]})


def test_panels_share_one_legend():
    drawing = curve_charts(K, {"one": {"a": list(K)}, "two": {"b": list(1 - K)}})
    legends = [axes.get_legend() for axes in drawing.figure.axes if axes.get_legend()]
    assert [text.get_text() for text in legends[0].get_texts()] == ["a", "b"]
    assert len(legends) == 1
    assert "a 0.50" in drawing.alt
    with pytest.raises(ValueError, match="no curves"):
        curve_charts(K, {})


def test_the_leaderboard_is_ranked_and_missing_means_are_last():
    drawing = leaderboard(["a", "b", "c"], [0.1, math.nan, 0.3], [0, math.nan, 0.2], [0.2, math.nan, 0.4], xlabel="x")
    labels = [text.get_text() for text in drawing.figure.axes[0].get_yticklabels()]
    assert labels == ["c", "a", "b"]
    assert "c 0.300 (0.200 to 0.400); a 0.100" in drawing.alt


def test_rank_shift_puts_rank_one_at_the_top():
    drawing = rank_shift({"image": {"a": 1.0, "b": 2.0}, "text": {"a": 2.0, "b": 1.0}}, note="tau = -1")
    axes = drawing.figure.axes[0]
    low, high = axes.get_ylim()
    assert low > high
    assert {text.get_text() for text in axes.texts} == {"a", "b"}
    assert "a 1 to 2; b 2 to 1. tau = -1" in drawing.alt
    with pytest.raises(ValueError, match="the same explainers"):
        rank_shift({"image": {"a": 1.0}, "text": {"b": 1.0}})


def test_methods_that_share_a_rank_share_a_label():
    axes = rank_shift({"x": {"a": 1.5, "b": 1.5}, "y": {"a": 1.0, "b": 2.0}}).figure.axes[0]
    assert "a, b" in {text.get_text() for text in axes.texts}


@pytest.mark.parametrize(
    ("ranks", "critical", "expected"),
    [
        ([1.0, 2.0, 3.0], 0.5, []),
        ([1.0, 2.0, 3.0], 1.5, [(0, 1), (1, 2)]),
        ([3.0, 1.0, 2.0], 5.0, [(0, 2)]),
        ([1.0, 1.2, 3.0, 3.1], 1.0, [(0, 1), (2, 3)]),
    ],
)
def test_groups_are_maximal_runs_within_the_critical_difference(ranks, critical, expected):
    assert groups_within(ranks, critical) == expected


def test_the_diagram_names_its_groups():
    drawing = critical_difference(["a", "b", "c"], [1.0, 1.2, 3.0], 0.5)
    assert "does not separate: a, b." in drawing.alt
    assert len([line for line in drawing.figure.axes[0].lines if line.get_linewidth() == 3.2]) == 1


def test_the_tradeoff_has_a_logarithmic_time_axis():
    drawing = tradeoff(["a", "b"], [0.01, 10.0], [0.1, 0.2], ylabel="f-syn")
    assert drawing.figure.axes[0].get_xscale() == "log"
    assert "a: 0.01 s, 0.100" in drawing.alt


def test_times_within_a_decade_are_shown_on_a_whole_one():
    axes = tradeoff(["a", "b"], [0.415, 0.416], [0.1, 0.2], ylabel="f-syn").figure.axes[0]
    low, high = axes.get_xlim()
    assert low < 0.415 < 0.416 < high
    assert high / low == pytest.approx(10**1.1)
    labels = [label.get_text() for label in axes.get_xticklabels(minor=True)]
    assert set(labels) <= {""}


def test_the_same_figure_gives_the_same_bytes():
    one, two = (curves(K, {"a": K}).svg() for _ in range(2))
    assert one == two
    ElementTree.fromstring(one)
    assert "http://www.w3.org/2000/svg" in one
    assert "<dc:date>" not in one


def test_a_drawing_can_stand_alone(tmp_path):
    drawing = curves(K, {"a": K})
    html = drawing.html("the <caption>")
    assert 'src="data:image/svg+xml,<svg ' in html
    assert "the &lt;caption&gt;" in html
    assert 'alt="Line chart' in html
    assert drawing._repr_html_().startswith("<figure>")
    assert drawing.save(tmp_path / "a.svg").read_text().startswith("<svg ")
    assert drawing.save(tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match=r"'\.pdf'; use \.svg or \.png"):
        drawing.save(tmp_path / "a.pdf")


def test_a_drawing_without_words_is_refused():
    with pytest.raises(ValueError, match="alternative text"):
        Drawing(new_figure(1, 1), " ")


def test_drawing_leaves_no_trace():
    before = dict(mpl.rcParams)
    curves(K, {"a": K}).svg()
    assert dict(mpl.rcParams) == before
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []


def test_an_svg_inside_a_page_is_well_formed_whatever_its_fonts_are_called():
    text = """<text style="font-family: 'DejaVu Sans Mono'">50 % &amp; #1</text>"""
    drawn = f'<svg xmlns="http://www.w3.org/2000/svg">{text}</svg>'
    page = image_html(drawn.encode(), "image/svg+xml", "alt")
    source = html.unescape(page.partition('src="')[2].partition('"')[0]).removeprefix("data:image/svg+xml,")
    read = ElementTree.fromstring(unquote(source))[0]
    assert read.get("style") == "font-family: 'DejaVu Sans Mono'"
    assert read.text == "50 % & #1"
