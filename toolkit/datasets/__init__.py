"""Datasets: the embedded world, RePOPE, CV-Bench, MMStar, your own folder; and any single picture."""

from toolkit.datasets.choices import parse_answer
from toolkit.datasets.image_file import ImageError, open_image
from toolkit.datasets.load import DATASETS, DatasetEntry, iter_samples, load_samples
from toolkit.datasets.own_question import load_image_question
from toolkit.datasets.sample import Corners, Sample, Truth

__all__ = [
    "DATASETS",
    "Corners",
    "DatasetEntry",
    "ImageError",
    "Sample",
    "Truth",
    "iter_samples",
    "load_image_question",
    "load_samples",
    "open_image",
    "parse_answer",
]
