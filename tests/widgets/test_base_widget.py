import ipywidgets as w

from toolkit.widgets.base_widget import ImageView, button, column, row, table_html


def test_columns_of_numbers_are_flush_right_and_texts_are_not():
    page = table_html(("who", "score", "note"), [("you", "+0.5", "fine"), ("1", "-1,000.25", "2 of 3")])
    assert page.count("text-align:right") == 3
    assert page.count('<th scope="row" style="text-align:left') == 2
    assert "+0.5</td>" in page


def test_a_table_escapes_what_it_is_given():
    assert "<b>" not in table_html(("<b>",), [("<b>",)], caption="<b>")


def test_a_picture_is_hidden_until_there_is_one_and_says_what_it_shows():
    picture = ImageView(20, 10)
    assert picture.image.layout.display == "none"
    picture.show(b"png", "a <red> square")
    assert picture.image.layout.display == ""
    assert picture.value == b"png"
    assert picture.words.value == "a &lt;red&gt; square"
    picture.show(b"", "nothing")
    assert picture.image.layout.display == "none"
    assert picture.words.value == ""


def test_rows_take_widgets_and_parts_with_a_box():
    picture, text = ImageView(20, 10), w.HTML()
    assert row(picture, text).children == (picture.box, text)
    assert column(text, picture).children == (text, picture.box)
    assert "wrap" in row(picture).layout.flex_flow


def test_a_button_keeps_its_label_readable():
    assert button("Run or resume").layout.flex == "0 0 auto"
