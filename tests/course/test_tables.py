import numpy as np
import pandas as pd

from toolkit.course.course_tables import show


def test_numbers_are_rounded_without_a_minus_before_zero_and_counts_stay_whole():
    frame = pd.DataFrame({"gain": [-0.0004, 0.456], "n": [3, 12]}, index=pd.Index(["a", "b"], name="who"))
    table = show(frame)
    assert table.header == ("who", "gain", "n")
    assert table.rows == (("a", "0.00", "3"), ("b", "0.46", "12"))


def test_long_texts_are_kept_and_escaped():
    page = show(pd.DataFrame({"cost": ["<" + "x" * 200]}, index=["a"]))._repr_html_()
    assert "&lt;" + "x" * 200 in page


def test_a_mapping_has_one_line_per_key():
    table = show({"grounded": np.float64(0.5), "count": 2}, digits=3, name="model", value="share")
    assert table.header == ("model", "share")
    assert table.rows == (("grounded", "0.500"), ("count", "2"))
    assert repr(table).splitlines() == ["model     share", "grounded  0.500", "count     2"]
