# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown] tags=["badges"]

# %% [markdown]
# # 06 · The benchmark on your laptop
#
# **You will learn** to write down a benchmark before running it; to run, stop and resume it; to read intervals and a
# critical-difference diagram; to ask of every metric whether it passes its controls.
#
# **Time** 40 minutes. **Hardware** any laptop; no GPU, no network. **Before** lessons 01 and 03.

# %% tags=["colab"]

# %% [markdown]
# ## Set-up
#
# A leaderboard is a claim about many samples. So far we looked at one sample at a time.

# %%
import tempfile
from pathlib import Path

import pandas as pd

import toolkit
from toolkit.course import lesson_06 as lesson
from toolkit.course import show
from toolkit.widgets import LeaderboardExplorer, RunMonitor

# %% [markdown]
# ## 1 · Write it down first (5 minutes)
#
# A *specification* names everything that decides the numbers: models, datasets, explainers, samples, seeds, steps,
# baseline. It is written before any number is seen. A mistyped name is refused at once, with a suggestion.
#
# **Predict.** One model, one dataset, five explainers and two controls, eight samples. Methods that draw random
# numbers run once per seed. How many records will there be?

# %%
folder = Path(tempfile.mkdtemp()) / "first-run"
spec = toolkit.BenchmarkSpec(
    models=["tiny-llava-grounded"],
    datasets=["scenes-existence"],
    explainers=["occlusion", "input-x-gradient", "rollout", "grad-cam",
                "random", "oracle", "anti-oracle"],
    samples=8,
    out=folder,
    progress=False,
)  # fmt: skip

# %% tags=["widget"]
panel = RunMonitor(spec)
panel

# %% [markdown]
# **Explain.** The plan is computed from the specification alone. The number of coalitions is an upper bound:
# explainers that agree on their first players share coalitions, and the toolkit never scores one twice.
#
# ## 2 · Run, stop, resume (5 minutes)
#
# The *Run* button starts a process of its own. Press it now, and *Stop* after a moment, and *Run* again. Every
# finished sample is on the disk before the next one starts, so nothing that is done is done again.
#
# The same without buttons, in this process. If your run above is complete, there is nothing left to do:

# %%
if panel.running:
    panel.cancel()
    panel.wait(30)
summary = toolkit.run_benchmark(spec)
print(summary)

# %%
again = toolkit.run_benchmark(spec)
print(again)

# %% [markdown]
# **Explain.** The second call found all records and added none. That is all there is to resuming: the folder is the
# state. A failed sample would be a record as well, with its reason, and the summary would count it. Failures that
# vanish quietly make a table look better than the run was.
#
# ## 3 · Read the leaderboard (12 minutes)
#
# **Predict.** Choose the metric `srg-image` below. Where do the oracle and the anti-oracle stand? And by `f-syn`? By
# the published, clipped `f-syn-paper`?

# %% tags=["widget"]
board = LeaderboardExplorer(folder)
board

# %% [markdown]
# **Explain.** Dots are means over samples, bars are 95 % intervals from resampling pictures. Oracle, random and
# anti-oracle are **controls**: one marks what decides the answer in the world, one knows nothing, one marks the
# opposite. A metric that does not put the oracle above random, and random above the anti-oracle, has no business
# ranking anybody else. Check this first, before you look at who won.
#
# The oracle need not *win*. It knows the world, not the model; and where the answer is no, all cells are evidence, so
# their order is a lottery. Occlusion asks the model itself and may well find cells that move *this* model more.
#
# The other diagram shows **mean ranks**, best at the left. A bar joins explainers whose ranks are closer than
# the critical difference, so the test does not separate them. With eight pictures it separates very little. That is
# honest.
#
# ### Exercise 1 (4 minutes)
#
# Write the mean ranks: `scores` has one row per picture and one column per explainer; in each row the largest score
# gets rank 1. Then average the rows. `rankdata` shares ranks among ties.


# %% tags=["solution"]
def mean_ranks(scores):
    """Mean rank of each column; 1 is best."""
    import numpy as np
    from scipy.stats import rankdata

    return rankdata(-np.asarray(scores), axis=1).mean(axis=0)


# %% tags=["exercise"]
lesson.check_mean_ranks(mean_ranks)

# %% [markdown]
# ### Exercise 2 (4 minutes)
#
# Several questions about one picture are not independent. Before a bootstrap, average the values of each picture.
# Write the means per picture, in sorted order of the pictures.


# %% tags=["solution"]
def picture_means(values, pictures):
    """Mean of the values of each picture, pictures in sorted order."""
    names = sorted(set(pictures))
    groups = [[v for v, p in zip(values, pictures, strict=True) if p == name] for name in names]
    return [sum(group) / len(group) for group in groups]


# %% tags=["exercise"]
lesson.check_cluster_means(picture_means)

# %% [markdown]
# ## 4 · An ablation of flaws (14 minutes)
#
# The paper's pipeline has flaws, and this toolkit lists them. Each can be switched on by itself, to see what it does.
# Four of them:
#
# * *reshape*: a mask is reshaped where it should be transposed. What is called a cell is a strip of other pixels.
# * *other-token*: the answer that is scored is not the one that was explained.
# * *clip*: each sample is divided by its own $|v(\text{all}) - v(\text{nobody})|$, then clipped to [0, 1] at each step.
# * *bf16*: values are rounded to two or three digits, and divided by the same small number.
#
# **Predict.** Without a flaw, signed F_syn puts the oracle above the anti-oracle. Which flaw will turn this round?
# Which will make the gap *larger*, and would that be good news?

# %%
from toolkit.audit.paper.ablation import ablate

ranked = ["occlusion", "input-x-gradient", "rollout", "grad-cam"]
samples = toolkit.load_samples("scenes-existence", split="test", n=4)
switched_on = ["reshape", "other-token", "clip", "bf16"]
flaws = ablate(toolkit.load_vlm("tiny-llava-grounded"), samples, ranked, flaws=switched_on)
show(flaws[["with", "mean change", "tau"]].rename(columns={"with": "oracle - anti-oracle"}))

# %% [markdown]
# **Explain.** *mean change* is what happens to a single score; *tau* compares the ranking of the four explainers with
# the right one. With *other-token* every sign turns: there are two answers, and what speaks for "no" speaks against
# "yes", so the best explainer becomes the worst. With *reshape* the mask hides other pixels than the explainer meant,
# and part of the gap is gone. *clip* and *bf16* widen the gap, since they divide by a small number. A wider gap is no
# better metric: the noise was divided by the same number. Four samples are few; read directions, not digits.
#
# Back to your own run, with the published, clipped score beside the signed one.
#
# **Predict.** Will the published metric put the oracle above the anti-oracle? And what will it give to random?

# %%
table = board.table.set_index(["metric", "explainer"])["mean"]
three = ["oracle", "random", "anti-oracle"]
metrics = ["srg-image", "f-syn", "f-syn-paper"]
controls = {metric: table.loc[metric].loc[three].to_dict() for metric in metrics}
show(pd.DataFrame(controls), digits=3, name="control")

# %% [markdown]
# **Explain.** In the authors' stored run, F_syn did *not* order the controls: signed oracle .113, anti-oracle .111,
# random .059. The image's relevance gain did: .073, -.143 and .001. Compare with your numbers. If F_syn orders the
# controls here, in a world where evidence is small and sharp, it still says nothing about photographs. If it does not,
# you have seen the problem with your own eyes. Either way, look at the intervals above before you believe a gap.
#
# A report with all tables and figures is one call away. It opens with its verdict; the rest is folded. Find in it what
# you have just read off the table.

# %%
from toolkit.benchmark import write_report
from toolkit.course.report_beside import beside

beside(write_report(folder))

# %% [markdown]
# ### Exercise 3, open (6 minutes)
#
# Plan a benchmark for a claim of your own, for example "attention methods find more synergy than gradients". Write
# down, before running anything: the samples and their number, the headline metric, the controls, the test, and what
# result would change your mind.

# %% [markdown] tags=["answer"]
# *One possible answer.* 100 existence samples and 100 mixed samples, three models; headline: signed F_syn, interior
# part; controls: oracle above random above anti-oracle with an interval that excludes 0, else no claim; test: one
# Wilcoxon test of the mean of the attention methods against the mean of the gradient methods, by picture, on all six
# cells with Holm's correction. I would change my mind if fewer than half of the cells point in the claimed direction,
# whatever the p.

# %% [markdown]
# ## Recap
#
# * A specification comes before the numbers. Seven explainers on eight samples gave 56 records.
# * The folder is the state: running again computed 0 new records.
# * The controls come first. Here signed F_syn puts the oracle above the anti-oracle, on eight samples.
# * A reshaped mask shrinks the gap between oracle and anti-oracle from 0.23 to 0.13 on four samples. Scoring another
#   answer than the explained one turns the ranking of the explainers round: tau is -1.00.
# * The published metric gives even the random order more than 0.10, and more than its signed score: dividing by a
#   small number stretches it, and clipping takes the minus signs away. Read no score without its floor.

# %% [markdown]
# ## Quiz

# %%
lesson.quiz()

# %% [markdown]
# ## References
#
# * J. Demsar, *Statistical comparisons of classifiers over multiple data sets*, JMLR 2006. Critical differences.
# * C. A. Field, A. H. Welsh, *Bootstrapping clustered data*, 2007.
# * J. R. Ky, S. Ghamizi, M. Cordy, *Measuring Cross-Modal Synergy*, arXiv 2605.22168, 2026.
#
# **Next** lesson 07 takes the same specification to a GPU and to released models.

# %% tags=["recap"]
assert summary.planned == 7 * 8 == 56
assert again.new == 0
assert controls["f-syn"]["oracle"] > controls["f-syn"]["anti-oracle"]
assert abs(flaws.loc["none", "with"] - 0.23) < 0.01
assert abs(flaws.loc["reshape", "with"] - 0.13) < 0.01
assert abs(flaws.loc["other-token", "tau"] - -1.00) < 1e-9
assert controls["f-syn-paper"]["random"] > max(0.10, controls["f-syn"]["random"])
