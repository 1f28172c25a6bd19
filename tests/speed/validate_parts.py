"""What commit 3ed2846 asks grounded models for its panel, in small, by the version on the path: CPU seconds by part.

Run as a file, with a checkout on ``PYTHONPATH`` and a model's name and metrics as arguments; prints a line of JSON.
"""

import json
import sys
import time

import torch

import toolkit

try:
    from toolkit.audit.metrics import study
    from toolkit.measuring import attributions_of
    from toolkit.synergy.evaluate import evaluate_all

    Size = study.StudySize

    def score(game, attributions, metrics, steps):
        """Every metric of every attribution."""
        evaluate_all(game, attributions, steps, metrics=metrics)

    def explained(vlm, sample, names, seed):
        """Attributions by every explainer that works."""
        tried = attributions_of(vlm, sample, names, target=vlm.answer(sample).text, seeds=[seed])
        return [one.attribution for one in tried if one.attribution is not None]
except ImportError:  # version 0.1
    from toolkit.validity import study

    from toolkit.synergy.metrics import METRICS

    Size = study.Plan

    def score(game, attributions, metrics, steps):
        """Every metric of every attribution."""
        study.score_all(game, attributions, {name: METRICS[name] for name in metrics}, steps)

    def explained(vlm, sample, names, seed):
        """Attributions by every explainer that works."""
        return study.explain_all(vlm, sample, names, seed=seed)[0]


TENTH = {"controls": 20, "halves": 4, "weights": 2, "ranked": 2, "settings": 1, "diagnosed": 12}
"""Samples: a tenth of version 0.1's 200 controls (40 with half-right maps), 20, 20, 10, and 40 of three datasets."""
STEPS = 10


def parts(model, metrics, n=TENTH):
    """CPU seconds of each part."""
    plan = Size(controls=n["controls"])
    vlm, shuffled = toolkit.load_vlm(model), study.shuffle_weights(toolkit.load_vlm(model))
    samples = study.shared_samples(plan)

    def asked(game, number, sample, *kinds):
        return game, study.controls_of(vlm, sample, kinds, seed=number)

    def controls():
        for number, sample in enumerate(study.eligible(vlm, samples, n["controls"])):
            halves = ("words only", "cells only") if number < n["halves"] else ()
            game, found = asked(vlm.game(sample), number, sample, "oracle", "random", "anti-oracle", *halves)
            score(game, found, metrics, STEPS)

    def weights():
        for number, sample in enumerate(study.eligible(vlm, samples, n["weights"])):
            game = shuffled.game(sample, target=vlm.answer(sample).text)
            score(*asked(game, number, sample, "oracle", "random"), metrics, STEPS)

    def ranked():
        for number, sample in enumerate(samples[: n["ranked"]]):
            found = explained(vlm, sample, plan.explainers, number)
            for setting in ("default", *(study.SETTINGS if number < n["settings"] else ())):
                game, judged, steps = study._under(vlm, sample, found, setting, STEPS)
                score(game, judged, metrics, steps)

    def diagnosed():
        toolkit.diagnose(vlm, toolkit.load_samples("scenes-everyday", n=n["diagnosed"], split="test")).table()

    score(*asked(vlm.game(samples[0]), 0, samples[0], "random"), metrics, STEPS)  # the first call costs more
    seconds = {}
    for work in (controls, weights, ranked, diagnosed):
        start = time.process_time()
        work()
        seconds[work.__name__] = time.process_time() - start
    return seconds


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.stdout.write(json.dumps(parts(sys.argv[1], sys.argv[2].split(","))) + "\n")
