"""Widgets of the course: small classes over pure functions, each with a static figure or table as stand-in."""

from toolkit.widgets.answer_explorer import AnswerExplorer
from toolkit.widgets.base_widget import BaseWidget
from toolkit.widgets.beat import BeatTheExplainer
from toolkit.widgets.bias_dial import BiasDial
from toolkit.widgets.curve_explorer import CurveExplorer
from toolkit.widgets.drawing_pad import DrawingPad
from toolkit.widgets.gate_explorer import GateExplorer
from toolkit.widgets.leaderboard_explorer import LeaderboardExplorer
from toolkit.widgets.pair_explorer import PairExplorer
from toolkit.widgets.playground import CoalitionPlayground
from toolkit.widgets.prediction import Prediction
from toolkit.widgets.run_monitor import RunMonitor
from toolkit.widgets.sample_browser import SampleBrowser
from toolkit.widgets.upload import ImageUpload

__all__ = [
    "AnswerExplorer",
    "BaseWidget",
    "BeatTheExplainer",
    "BiasDial",
    "CoalitionPlayground",
    "CurveExplorer",
    "DrawingPad",
    "GateExplorer",
    "ImageUpload",
    "LeaderboardExplorer",
    "PairExplorer",
    "Prediction",
    "RunMonitor",
    "SampleBrowser",
]
