# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown] tags=["badges"]

# %% [markdown]
# # 05 · Explainers: how they work, what they promise, and how to test them
#
# **You will learn** what the families of explainers ask of a model; to read their maps beside each other; to check
# completeness and sanity; to write an explainer of your own in ten lines.
#
# **Time** 45 minutes. **Hardware** any laptop; no GPU, no network. **Before** lesson 01.

# %% tags=["colab"]

# %% [markdown]
# ## Set-up
#
# An explainer takes a model, a sample and an answer, and returns one signed score per cell and per word. That is all
# that the toolkit asks of it.

# %%
import numpy as np

import toolkit
from toolkit.course import experiments, show
from toolkit.course import lesson_05 as lesson
from toolkit.widgets import BeatTheExplainer

vlm = toolkit.load_vlm("tiny-llava-grounded")

# %% [markdown]
# ## 1 · Four ways to ask a model (5 minutes)
#
# **Remove and see.** *Occlusion* removes one player at a time. *Kernel SHAP* removes many at once, in many
# combinations, and fits what each is worth. They need nothing but answers, so they work on any model.
#
# **Follow the slope.** *Input x gradient* asks how the answer would change under an infinitely small change of the
# input. *Integrated gradients* adds these slopes up on the way from an empty input to the real one.
#
# **Follow the attention.** *Rollout* multiplies the attention of all layers; *grad-rollout* weighs it with gradients.
# *AttnLRP* sends the answer backwards through the network, with rules that keep the total constant.
#
# **Look at activations.** *Grad-CAM* and *LLaVA-CAM* weigh one layer's activations by their gradients. *TAM* compares
# what the answer token activates with what the tokens before it do.

# %%
names = [
    "occlusion", "input-x-gradient", "integrated-gradients", "rollout",
    "attn-lrp", "grad-cam", "tam", "random",
]  # fmt: skip
show(lesson.what_they_are(names)[["asks for", "cost"]])

# %% [markdown]
# ## 2 · The same picture, eight maps (6 minutes)
#
# **Predict.** The question below has one deciding cell and two deciding words. Which explainers will find the cell?
#
# The maps come in two rows of four. Each map is scaled by itself, and centred on zero: orange speaks for the answer,
# purple against it. The black frame and the underlined words are the truth.

# %%
from toolkit.audit.explainers.map_grid import map_grid, map_row

samples = toolkit.load_samples("scenes-existence", split="test", n=16)
chosen = next(sample for sample in samples if vlm.answer(sample).text == sample.answer == "yes")
row = map_row(vlm, chosen, names[:4])
map_grid([row])

# %%
map_grid([map_row(vlm, chosen, names[4:])])

# %% [markdown]
# **Explain.** Look at one thing at a time. Is the framed cell orange? Is anything else orange? Rollout has no purple:
# attention is never negative, so it cannot say "this speaks against". Now look at the words. The question needs picture
# *and* words, so what they achieve together could be credited to either side, and the methods differ in how they split
# it. No split is the right one. A convincing map is not yet a right one either. Our eyes like maps that mark the thing
# they would mark themselves; whether the *model* used it is the question.
#
# One map at full size, with its numbers. Change the name and look at the others of its row:

# %%
from toolkit.reporting.plots import attribution_map

found = row.maps["occlusion"]
words = found.players.labels[found.players.n_image :]
parts = found.of("image"), vlm.regions(chosen), words, found.of("text")
attribution_map(chosen.image, *parts, title=found.explainer)

# %% [markdown]
# ## 3 · Promises: completeness (6 minutes)
#
# Some methods promise that their scores add up to what there is to hand out: the value with everything minus the value
# with nothing. This is called **completeness**. It is easy to check, and a good test of the arithmetic.
#
# ### Exercise 1 (4 minutes)
#
# Write the gap between what was handed out and what there was to hand out.


# %% tags=["solution"]
def completeness_gap(scores, v_all, v_none):
    """Distance between the sum of the scores and v_all - v_none."""
    return abs(np.sum(scores) - (v_all - v_none))


# %% tags=["exercise"]
lesson.check_completeness(completeness_gap)

# %% [markdown]
# **Predict.** Integrated gradients reports its own gap, in the unit of its target (a log-probability). The paper's
# code uses five steps for the integral. The toolkit adds steps until the gap is small. How many will it take?

# %%
gap = row.maps["integrated-gradients"].convergence_delta
show({"gap": gap, **row.maps["integrated-gradients"].details}, digits=4)

# %% [markdown]
# **Explain.** The number of steps is not a matter of taste: the gap says when there are enough. Completeness does not
# say that the map is *right*. Put the whole sum on one random cell, and it is complete as well.
#
# ## 4 · Sanity: does the map depend on the model? (6 minutes)
#
# Take the same architecture with random weights. It knows nothing. A map that explains the trained model should look
# different on the ignorant one. If it does not, it shows the input.
#
# **Predict.** Which of these will change most: occlusion, rollout, or input x gradient? Which least?

# %%
checked = ["occlusion", "input-x-gradient", "rollout", "random"]
alike = lesson.sanity(vlm, lesson.untrained(vlm), samples[:6], checked)
show(alike.to_dict(), name="explainer", value="rank correlation of the two maps")

# %% [markdown]
# **Explain.** A rank correlation near 0 is what you want to see: the two maps have nothing in common. *Random* is not
# zero by accident: with the same seed it draws the same numbers for both models, so its maps are equal and it fails
# the test, as it should. Where does *rollout* stand? A good part of its map comes from the shape of the network (each
# layer passes its input on, and a token sees only the tokens before it), and random weights have the same shape.
# Passing is necessary and not sufficient: a map can depend on the weights and still be wrong.
#
# ## 5 · Your own explainer in ten lines (8 minutes)
#
# ### Exercise 2 (5 minutes)
#
# Write leave-one-out: for each player, the value with everybody minus the value with everybody but this player. A game
# takes a table of coalitions, one row per coalition, `True` where a player is present, and returns their values. Ask
# it once, with all rows.


# %% tags=["solution"]
def leave_one_out(game):
    """One score per player: v(all) - v(all without this player)."""
    n = game.players.n
    rows = np.vstack([np.ones((1, n), dtype=bool), ~np.eye(n, dtype=bool)])
    values = game(rows)
    return values[0] - values[1:]


# %% tags=["exercise"]
lesson.check_leave_one_out(leave_one_out)

# %% [markdown]
# A function of a model and a sample is an explainer. It can be used everywhere an explainer's name can: in the curves,
# in the widgets, in the benchmark. Here is one that keeps only what speaks *for* the answer.


# %%
def only_for(vlm, sample):
    return np.maximum(toolkit.explain("occlusion", vlm, sample).scores, 0)


contestants = ["occlusion", only_for, "random"]
contest = toolkit.measure(vlm, samples[:8], contestants, ["srg-image", "f-syn"])
show(experiments.means(contest), digits=3)

# %% [markdown]
# **Explain.** Cutting the negative scores away makes ties at the bottom of the ranking, and ties are broken
# by orders that depend on the sample alone, never on the explainer. If the two lines differ, you see what the negative
# scores were good for.
#
# ## 6 · Beat the explainer (10 minutes)
#
# **Predict.** You are good at this. How many explainers will you beat with three cells and two words?
#
# **Run.** Click exactly three cells of the picture and two words, then press *Compare*. Everybody else gets as many as
# you. The first press takes a few seconds, since the explainers have to work for it.

# %% tags=["widget"]
rivals = ["oracle", "occlusion", "integrated-gradients", "attn-lrp", "random"]
BeatTheExplainer(vlm, [chosen, *samples[:6]], rivals)

# %% [markdown]
# **Explain.** *Synergy* is the interaction index of the chosen cells with the chosen words. Where you beat an
# explainer by all three columns, ask what it missed. Where it beats you, it may have found something the model uses
# and you would not.
#
# ### Exercise 3, open (6 minutes)
#
# Think of an explainer that would get a high score here and be useless to a person. Think of one that a person would
# like and that would get a low score. Which of the two would you publish, and what would you say about it?

# %% [markdown] tags=["answer"]
# *One possible answer.* High score, useless: an optimiser that searches for the cells which move the probability most,
# even if they hold nothing a person would name; it finds the model's quirks. Liked, low score: a detector that frames
# every object that the question names, whatever the model did. The first is faithful, the second plausible. I would
# publish the first for people who debug models, with examples of the quirks, and the second not as an explanation.

# %% [markdown]
# ## Recap
#
# * Four families: remove and see, follow the slope, follow the attention, look at activations. All return one signed
#   score per player.
# * Completeness checks the arithmetic: the gap of integrated gradients is below 0.05 here, after as many steps as it
#   took.
# * Sanity asks whether the map depends on the model: the rank correlation of occlusion's maps with those of random
#   weights is below 0.30; the seeded random explainer has 1.0 and fails.
# * An explainer is a function. By the picture's gain, occlusion is above random by more than 0.20 on eight questions.

# %% [markdown]
# ## Quiz

# %%
lesson.quiz()

# %% [markdown]
# ## References
#
# * M. Sundararajan, A. Taly, Q. Yan, *Axiomatic attribution for deep networks*, arXiv 1703.01365, 2017.
# * J. Adebayo et al., *Sanity checks for saliency maps*, arXiv 1810.03292, 2018.
# * R. Achtibat et al., *AttnLRP*, arXiv 2402.05602, 2024. S. Abnar, W. Zuidema, *Attention flow*, arXiv 2005.00928,
#   2020.
# * Y. Li et al., *Token activation map*, arXiv 2506.23270, 2025. *LLaVA-CAM*, arXiv 2406.06579, 2024.
#
# **Next** lesson 06 puts explainers, metrics and controls into one benchmark.

# %% tags=["recap"]
table = experiments.means(contest)
assert gap < 0.05
assert abs(alike["occlusion"]) < 0.30
assert abs(alike["random"] - 1.0) < 1e-9
assert table.loc["occlusion", "srg-image"] - table.loc["random", "srg-image"] > 0.20
