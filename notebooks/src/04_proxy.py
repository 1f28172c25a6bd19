# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown] tags=["badges"]

# %% [markdown]
# # 04 · Is it a good surrogate? What rho = 0.92 says, and what it does not
#
# **You will learn** what F_syn replaces and what it saves; to count the forward passes of a metric; to tell a
# correlation over samples from an agreement about explainers; to be careful with shared end points.
#
# **Time** 35 minutes. **Hardware** any laptop; no GPU, no network. **Before** lesson 03.

# %% tags=["colab"]

# %% [markdown]
# ## Set-up
#
# A *surrogate* is a cheap number that stands for an expensive one. F_syn stands for an interaction index that splits
# the rest into several background players and averages over all of their coalitions.

# %%
import numpy as np
from scipy.stats import spearmanr

import toolkit
from toolkit.course import lesson_04 as lesson
from toolkit.course import show
from toolkit.widgets import CurveExplorer

vlm = toolkit.load_vlm("tiny-llava-grounded")

# %% [markdown]
# ## 1 · What it costs (8 minutes)
#
# A straightforward program asks the model for every point of every curve: at $K = 10$ that is 118 forward passes per
# sample and explainer. Many of them are the same question asked again. "Everything present" is the start of every
# deletion curve and the end of every insertion curve.
#
# **Predict.** How many of the 118 are different?
#
# Count them. At each of the $K - 1$ inner steps there are eight different coalitions: top cells with top words, top
# cells alone, top words alone, top cells with all words, top words with all cells, and the three removals that are not
# yet counted. At the ends only the four corners remain, shared by all explainers. That gives $8(K-1) + 4$ for the
# first explainer and $8(K-1)$ for each further one.
#
# ### Exercise 1 (4 minutes)
#
# Write the count for $K$ steps and $m$ explainers, if no two of them share a coalition besides the corners.


# %% tags=["solution"]
def distinct_coalitions(steps, explainers):
    """Distinct coalitions of all metrics of some explainers on one sample."""
    return 4 + 8 * (steps - 1) * explainers


# %% tags=["exercise"]
lesson.check_cost(distinct_coalitions)

# %% [markdown]
# The toolkit plans before it asks, so you can check the formula against a plan for real attributions.

# %%
from toolkit.synergy import plan_metrics
from toolkit.synergy.ordering import random_attributions

samples = toolkit.load_samples("scenes-existence", split="test", n=8)
orders = random_attributions(vlm.players(samples[0]), 2, seed=0)
planned = [plan_metrics(orders[:1]).n_coalitions, plan_metrics(orders[:1]).n_images]
planned

# %% [markdown]
# **Explain.** Fewer than the formula says. It counts 76, one for every step that removes something new. This question
# has only six words, so ten steps cannot remove ten different sets of words, and the plan finds the repetitions: 64
# are left, over 20 different pictures. The toolkit computes each once and encodes each picture once. The exact index
# is another matter. The paper's reference uses six background players: $2^8 = 256$
# coalitions at each step.
#
# ## 2 · Two numbers on the same samples (12 minutes)
#
# Below we compute both for four explainers. We use fewer steps and four background players to stay within seconds; the
# reasoning does not depend on it. Both numbers are means over $0 < k < 1$. At $k = 1$ both are the total interaction
# of the sample, whatever the explainer, and a point that is equal by construction can only flatter a correlation.
#
# **Predict.** Over all samples and explainers together, will the two numbers correlate well? And within one sample,
# over the four explainers?

# %%
explainers = ["oracle", "occlusion", "random", "anti-oracle"]
table = lesson.surrogate_table(vlm, samples, explainers)
show(table.head(8).set_index("sample"), digits=3)

# %%
pooled = float(spearmanr(table["surrogate"], table["exact"]).statistic)
print(f"rank correlation over {len(table)} pairs of sample and explainer: {pooled:.2f}")

# %% [markdown]
# ### Exercise 2 (6 minutes)
#
# Take two tables with one row per sample and one column per explainer. Write the mean, over rows, of the rank
# correlation between the row of the first table and the row of the second. `spearmanr(x, y).statistic` gives the
# correlation of two lists.


# %% tags=["solution"]
def within_agreement(first, second):
    """Mean over rows of Spearman's rank correlation over columns."""
    pairs = zip(np.asarray(first), np.asarray(second), strict=True)
    return np.mean([spearmanr(x, y).statistic for x, y in pairs])


# %% tags=["exercise"]
lesson.check_within(within_agreement)

# %%
agreements = lesson.agreements(table)
within = float(np.nanmean(agreements))
show(agreements.to_dict(), name="sample", value="agreement over four explainers")

# %%
cost = table[["surrogate cost", "exact cost"]].mean()
show({"mean agreement": within, **cost})

# %% [markdown]
# **Explain.** The pooled number mixes two questions. *Which samples are synergistic?* and *which explainer found it?*
# Samples usually differ much more than explainers do, so the pooled number mostly answers the first. A leaderboard
# asks the second. Look at the single agreements: with four explainers each of them is coarse, and their mean over
# eight samples is uncertain. They are also flattered: two of the four are controls, made to lie far apart, and far
# apart is easy to rank. For a harder test put `"rollout"`, `"attn-lrp"` and `"tam"` in the place of the controls, and
# run these cells again (and set them back, since the last cell checks the recap).
#
# The paper's rho = 0.92 was computed on the *unclipped* metric, pooled over samples, with the shared end point. It
# supports the statement "F_syn finds the synergistic samples". It does not support "the clipped F_syn ranks explainers
# like the exact index", because nobody computed that.
#
# ## 3 · Look at single curves (10 minutes)
#
# **Predict.** Choose the sample with the lowest agreement above; any sample, if all of them agree. Compare two
# explainers below. Will their synergy curves lie close together or far apart?

# %% tags=["widget"]
CurveExplorer({"grounded": vlm}, samples, ["oracle", "occlusion", "random", "anti-oracle"], panes=2)

# %% [markdown]
# **Explain.** Where all synergy curves look alike, ranks are decided by small differences, and two good numbers may
# well order them differently. A low rank agreement there is no scandal. A large disagreement about clearly different
# curves would be one.
#
# ### Exercise 3, open (6 minutes)
#
# A colleague proposes another cheap surrogate and shows a pooled correlation of 0.95. Write down the three questions
# that you would ask before using it for a leaderboard.

# %% [markdown] tags=["answer"]
# *One possible answer.* First: is it the same version of the metric that the leaderboard will use, clipped or signed?
# Second: what is the agreement within samples, over explainers, without the end points that are equal by construction?
# Third: does the surrogate pass the controls, oracle above random above anti-oracle, on the samples I care about, and
# with which interval?

# %% [markdown]
# ## Recap
#
# * At $K = 10$ one explainer needs at most 76 different coalitions over 20 pictures, not 118. With six words several
#   steps share their words, and 64 are left.
# * Here the exact index reads more than 5 times as many coalitions as F_syn, with 4 steps and 4 background players.
# * Pooled over samples the two correlate with more than 0.85. Within samples, over four explainers, the mean agreement
#   is above 0.60. In this world, with controls among the explainers, F_syn is a good surrogate.
# * That is a statement about the signed F_syn without its end point. Nobody may carry it over to a clipped score.

# %% [markdown]
# ## Quiz

# %%
lesson.quiz()

# %% [markdown]
# ## References
#
# * J. R. Ky, S. Ghamizi, M. Cordy, *Measuring Cross-Modal Synergy*, arXiv 2605.22168, 2026. The surrogate and its rho.
# * F. Fumagalli et al., *SHAP-IQ: unified approximation of any-order Shapley interactions*, arXiv 2303.01179, 2023.
# * M. Muschalik et al., *shapiq: Shapley interactions for machine learning*, NeurIPS 2024. The exact computer we test
#   with.
#
# **Next** lesson 05 opens the explainers themselves.

# %% tags=["recap"]
assert planned == [64, 20]
assert 4 + 8 * (10 - 1) == 76
assert cost["exact cost"] > 5 * cost["surrogate cost"]
assert pooled > 0.85
assert within > 0.60
