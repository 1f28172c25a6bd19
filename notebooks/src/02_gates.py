# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown] tags=["badges"]

# %% [markdown]
# # 02 · Redundancy: when picture and words say the same thing
#
# **You will learn** to measure what a model can do with the picture only, with the words only, and with neither; to
# name the gate of a question; to see where redundancy comes from; to read the redundancy report of a model.
#
# **Time** 40 minutes. **Hardware** any laptop; no GPU, no network. **Before** lesson 01.

# %% tags=["colab"]

# %% [markdown]
# ## Set-up
#
# In lesson 01 the picture's curves went blind on the biased twin. Here we ask why, and how one could have known
# before.

# %%
import textwrap

import numpy as np

import toolkit
from toolkit.course import lesson_02 as lesson
from toolkit.course import show
from toolkit.widgets import BiasDial, GateExplorer

twins = {name: toolkit.load_vlm(f"tiny-llava-{name}") for name in ("grounded", "biased")}

# %% [markdown]
# ## 1 · Four corners (12 minutes)
#
# Take a model and a question. There are four extreme coalitions: picture and words, the picture alone, the words
# alone, and neither. Their values are the **corners** of the sample. Four numbers already tell how the two parts meet.
#
# Think of an electric circuit with two switches. In an **AND** circuit the lamp needs both: "is there a red circle ?"
# cannot be answered by words or picture alone. In an **OR** circuit either switch will do: a lone lemon in the picture
# is yellow, and everybody knows that lemons are yellow. The **dividend** tells them apart:
#
# $$d = v(\text{both}) - v(\text{picture}) - v(\text{words}) + v(\text{neither})$$
#
# It is what the two create together beyond what each creates alone. Positive means **synergy**. Negative means that
# the two repeat each other, **redundancy**, or that they undo each other, **interference**.
#
# **Predict.** Which sign has the dividend of OR? And of XOR, where exactly one switch must be on?

# %% tags=["widget"]
gates = GateExplorer(synergy=False)
gates

# %% [markdown]
# **Explain.** Click through the gates and look at the dividend: +1 for AND, -1 for OR, -2 for XOR, 0 for *additive*
# and for *text only*. For OR the two parts repeat each other,
# so one of them is counted twice when you add their values, and the dividend takes it away again. XOR is no redundancy,
# although its dividend is the lowest of all: with both switches on the lamp is dark. Move a corner slider
# a little. A real model never sits exactly on a gate; it sits somewhere in between.
#
# ### Exercise 1 (7 minutes)
#
# What a sample gains falls into parts, and the largest one names the gate. Let $a$ be what the picture gains alone,
# $b$ what the words gain alone (both beyond *neither*) and $d$ the dividend. Then
#
# * `"redundancy"` is $r = \min(a, b, -d, v(\text{both}) - v(\text{neither}))$, or 0 where that is negative: either
#   brings it, and both keep it;
# * `"synergy"` is $d + r$ where that is positive, `"interference"` is its size where it is negative;
# * `"text-only"` is the size of $b - r$, and `"image-only"` the size of $a - r$.


# %% tags=["solution"]
def gate(both, image, text, empty):
    """Name of the gate: the largest part."""
    a, b, d = image - empty, text - empty, both - image - text + empty
    r = max(0, min(a, b, -d, both - empty))
    parts = {"synergy": d + r, "redundancy": r, "text-only": abs(b - r),
             "image-only": abs(a - r), "interference": -(d + r)}  # fmt: skip
    return max(parts, key=parts.get)


# %% tags=["exercise"]
lesson.check_gate(gate)

# %% [markdown]
# ## 2 · Where redundancy comes from: the bias dial (10 minutes)
#
# The generator has a dial, the *prior strength* $s$. At $s = 0$ the words give nothing away. At $s = 1$ they give
# everything away: folklore is always right. In between, the right answer agrees with folklore more often than not.
#
# **Predict.** We ask both twins questions from worlds with growing $s$. How will the value of the words alone change
# for the grounded twin? For the biased twin?
#
# **Run.** Measuring takes a few seconds; in the widget the Run button does it for any world. Then turn the dial.

# %%
dial = BiasDial(twins, n=12)
dial.measure()
dial

# %% [markdown]
# **Explain.** The grey line is the world itself: what somebody who knows $s$ can get from the words alone. It wiggles,
# since every point is a mean over only twelve questions. Compare the
# models with it. The grounded twin lives in a world of $s = 0$ in its head, so its words-only line stays near one
# half, whatever the world does. The biased twin believes in $s = 1$: it is right from words alone as often as folklore
# is. The dividend, on the right, tells the same story with one number per world.
#
# Neither twin is *wrong* about the world it was trained in. A prior that holds is knowledge. It becomes a problem when
# you want to know whether the model looked.
#
# ## 3 · How redundant is a model? (17 minutes)
#
# `toolkit.diagnose` asks a model at the four corners of many samples and reports. It needs no explainer, and costs
# four coalitions per sample and baseline. The noise of an effect is measured by replacing the removed picture in
# several ways.
#
# **Predict.** Which share of right answers will the biased twin keep without the picture, on questions that follow
# folklore?

# %%
folklore = toolkit.load_samples("scenes-existence", split="test", n=24, prior_strength=1.0)
reports = {name: toolkit.diagnose(vlm, folklore) for name, vlm in twins.items()}
print(textwrap.fill(reports["biased"].verdict, 100))

# %%
print(textwrap.fill(reports["grounded"].verdict, 100))

# %%
columns = ["both", "image", "text", "empty"]
show(reports["biased"].samples().set_index("question")[columns].head(6))

# %% [markdown]
# **Explain.** The table shows the corners of single samples. Read a row from right to left: habit, words, picture,
# both. For the biased twin the column *text* is as high as *both*: the picture adds nothing, not because the model
# could not see, but because there was nothing left to add. That is the gate *text-only*, not redundancy: look at the
# column *image*. The picture alone is worth a coin here, since without the words nobody knows what is asked for. (That
# the two "repeat each other" in the biased twin's line is about its mean interaction, which is below zero by a hair.)
#
# Redundancy needs a picture that gives the answer without words, too. A lone lemon does. We ask about everyday objects,
# in the world where folklore is always right, and put the gate that was measured against the gate by construction.
# Both are named by the same rule.

# %%
lemons = toolkit.load_samples("scenes-everyday", split="test", n=24, prior_strength=1.0)
at_home = {name: toolkit.diagnose(vlm, lemons) for name, vlm in twins.items()}
show(at_home["biased"].confusion(), digits=0)

# %%
show(at_home["grounded"].confusion(), digits=0)

# %% [markdown]
# **Explain.** The biased twin was made for this world: whatever is redundant by construction is redundant for it. The
# grounded twin learnt from lemons that are yellow half of the time. The same lone lemon is *image-only* for it: it sees
# the colour, and its words alone are worth less than the picture brings beyond them. A gate belongs to a sample *and* a
# model.
#
# The report counts a second thing: how many samples have a **negative interaction beyond noise**, whatever their
# largest part. That is the weaker claim, and it is true of more samples.

# %%
counted = ("gate, redundancy", "negative interaction beyond noise")
show({f"{name}: {line}": at_home[name][line].value for name in twins for line in counted})

# %% [markdown]
# ### Exercise 2 (5 minutes)
#
# A common diagnosis is the accuracy without the picture. It needs a comparison: with two choices, guessing is already
# right half of the time. Write the excess over guessing.


# %% tags=["solution"]
def excess_over_guessing(right_without_picture, n_choices):
    """Share of right answers (1 or 0 each) minus what guessing gives."""
    return sum(right_without_picture) / len(right_without_picture) - 1 / n_choices


# %% tags=["exercise"]
lesson.check_excess(excess_over_guessing)


# %%
def words_only(name):
    return float(np.mean([record.corners.text for record in reports[name].records]))


kept = {name: words_only(name) for name in twins}
dividends = {name: float(np.mean([r.corners.total_interaction for r in reports[name].records])) for name in twins}
show({**{f"{name}, words alone": x for name, x in kept.items()},
      **{f"{name}, dividend": x for name, x in dividends.items()}})  # fmt: skip

# %% [markdown]
# ### A model that looks, and is wrong all the same
#
# Text-only is the easy failure: the corners give it away. The *shortcut* twin fails in a harder way. It was trained to
# say yes to "is there a red circle ?" as soon as something is red and something is a circle. It needs the picture and
# the words, but not the one thing that is both. The questions of `scenes-binding` ask about such pairs only: half the
# time one thing has both, half the time two things share them.
#
# **Predict.** How often is the shortcut twin right here? Will its corners differ from those of the grounded twin?

# %%
pairs = toolkit.load_samples("scenes-binding", split="test", n=24)
looking = {"grounded": twins["grounded"], "shortcut": toolkit.load_vlm("tiny-llava-shortcut")}
right, joint = {}, {}
for name, vlm in looking.items():
    right[name] = float(np.mean([a.text == s.answer for a, s in zip(vlm.answers(pairs), pairs, strict=True)]))
    joint[name] = float(np.mean([r.corners.total_interaction for r in toolkit.diagnose(vlm, pairs).records]))
show({**{f"{name}, right": x for name, x in right.items()}, **{f"{name}, dividend": x for name, x in joint.items()}})

# %% [markdown]
# **Explain.** The shortcut twin says yes to everything here, which is right where the answer is yes: 9 of these 24, and
# half of a long list. Its dividend is as high as the grounded twin's: image and words do act together, through a rule
# that is wrong. Corners and shares of modalities cannot tell these two models apart; only *which* cells matter can. For
# the shortcut twin any red thing and any circle will do. A faithful explainer should show that, and so should your own
# look at where a map points. GridVQA-X builds its test of explainers on such a pair of models, one that reasons about
# space and one that matches attributes (arXiv 2606.14740).

# %% [markdown]
# ### Exercise 3, open (5 minutes)
#
# Invent two questions about photographs of a kitchen: one that is redundant for nearly every model, and one that no
# model can answer without looking. What would you do with the redundant ones in a benchmark: drop them, or keep them?

# %% [markdown] tags=["answer"]
# *One possible answer.* Redundant: "what colour is the banana ?" Synergy: "is the cup left of the kettle ?" I would
# keep the redundant questions, but report them apart. Dropping them hides that a model guesses; mixing them in makes
# metrics blind, because no explainer can win there. Reporting by gate shows both.

# %% [markdown]
# ## Recap
#
# * Four corners make a gate: their largest part. The dividend is +1 for AND, -1 for OR, -2 for XOR and 0 where the
#   parts add up.
# * Priors make the words alone worth more: the stronger folklore holds, the more. Redundancy needs a picture that is
#   enough on its own as well.
# * On 24 questions that follow folklore, the biased twin's words alone are worth at least 0.95, those of the grounded
#   twin between 0.35 and 0.65.
# * The mean dividend of the biased twin lies within 0.05 of zero; that of the grounded twin is above 0.25. Same
#   pictures, same questions, another circuit: text-only.
# * On everyday objects in a world where folklore always holds, the biased twin is redundant wherever the construction
#   says so; the grounded twin, on the same samples, never.
# * On 24 questions of `scenes-binding` the grounded twin is right on at least 0.85, the shortcut twin on at most 0.60,
#   and both have a mean dividend above 0.25: acting on image and words together is not the same as being right.

# %% [markdown]
# ## Quiz

# %%
lesson.quiz()

# %% [markdown]
# ## References
#
# * J. R. Ky, S. Ghamizi, M. Cordy, *Measuring Cross-Modal Synergy*, arXiv 2605.22168, 2026.
# * Y. Goyal et al., *Making the V in VQA matter*, CVPR 2017. Balancing questions against language priors.
# * L. Parcalabescu, A. Frank, *MM-SHAP*, arXiv 2212.08158, 2022. Shares of the modalities.
# * *GridVQA-X*, arXiv 2606.14740, 2026. Paired models: one that reasons, one that takes a shortcut.
# * *Partial information decomposition of large vision-language models*, arXiv 2603.29676.
#
# **Next** lesson 03 builds a metric that looks at picture and words together.

# %% tags=["recap"]
assert kept["biased"] >= 0.95
assert 0.35 < kept["grounded"] < 0.65
assert abs(dividends["biased"]) < 0.05
assert dividends["grounded"] > 0.25
assert reports["biased"]["gate, text-only"].value > 0.9
assert right["grounded"] >= 0.85
assert right["shortcut"] <= 0.60
assert min(joint.values()) > 0.25
made = at_home["biased"].confusion().loc["redundancy"]
assert made["redundancy"] == made.sum() > 0
assert at_home["grounded"].confusion().loc["redundancy", "redundancy"] == 0
assert all(at_home[name][counted[0]].value <= at_home[name][counted[1]].value for name in twins)
