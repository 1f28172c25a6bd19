"""Datasets: the embedded world, RePOPE, CV-Bench, MMStar, your own folder; and any single picture."""

from toolkit.datasets.choices import parse_answer
from toolkit.datasets.load import DATASETS, DatasetEntry, iter_samples, load_samples
from toolkit.datasets.own_question import load_image_question
from toolkit.datasets.picture import PictureError, open_picture
from toolkit.datasets.sample import Corners, Sample, Truth

__all__ = [
    "DATASETS",
    "Corners",
    "DatasetEntry",
    "PictureError",
    "Sample",
    "Truth",
    "iter_samples",
    "load_image_question",
    "load_samples",
    "open_picture",
    "parse_answer",
]
