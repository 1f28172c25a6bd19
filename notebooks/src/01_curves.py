# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown] tags=["badges"]

# %% [markdown]
# # 01 · Evaluation collapse: two ways to grade an explanation, two verdicts
#
# **You will learn** to read insertion and deletion curves of the picture and of the words; to see why a model that
# could guess makes these curves blind; to say what a disagreement of two rankings proves, and what it does not.
#
# **Time** 45 minutes. **Hardware** any laptop; no GPU, no network. **Before** you should know Python and have heard of
# attention; lesson 00 shows the world and the models.

# %% tags=["colab"]

# %% [markdown]
# ## Set-up
#
# We load two models that look alike from outside. Both were trained on the same pictures. The *grounded* twin saw
# balanced questions: without the picture, no answer was more likely than another. The *biased* twin saw questions
# whose answer always follows folklore: circles exist, squares do not. It could learn to answer with its eyes shut.

# %%
import numpy as np

import toolkit
from toolkit.course import experiments, predict, show
from toolkit.course import lesson_01 as lesson
from toolkit.widgets import CurveExplorer

twins = {name: toolkit.load_vlm(f"tiny-llava-{name}") for name in ("grounded", "biased")}
samples = toolkit.load_samples("scenes-existence", split="test", n=20)

# %% [markdown]
# ## 1 · One question (5 minutes)
#
# A sample is a picture and a question. The pictures are small worlds: coloured things on a grid of 6 x 6 cells.
#
# Run the next cell, and look at the picture and the question.
#
# **Predict.** What will the grounded twin answer, and how sure will it be? Then run the cell after it.

# %%
sample = samples[0]
print(sample.question)
sample.image.resize((240, 240))

# %%
show(twins["grounded"].answer(sample).by_choice, name="answer", value="probability")

# %% [markdown]
# **Explain.** The model gives a probability to each allowed answer. From here on we follow one number: the probability
# of the answer that the model itself chose. We write it $v(S)$, where $S$ is the set of cells and words that the model
# is allowed to see. With everything there, $S$ is "all"; a removed cell is blurred, a removed word is hidden from
# attention. Blurring is not deleting: a trace of colour stays. What "removed" should mean is a choice, and a benchmark
# has to name it.
#
# ## 2 · Removing what matters (10 minutes)
#
# An *explainer* gives a score to every cell and to every word: how much does it speak for the answer? If the scores
# are right, then removing the best-ranked cells first should make the answer collapse quickly. That is the **deletion
# curve**. Showing the best-ranked cells first, starting from nothing, should build the answer up quickly. That is the
# **insertion curve**.
#
# **Predict.** The explainer *oracle* knows the truth, because we drew the pictures ourselves: it marks the cells with
# the asked-for thing and the words that name it. The first question below has the answer yes. At which $k$ will the
# probability fall?
#
# **Run.** Move the slider, with the mouse or the arrow keys. Then change "Remove from" to *picture only* and to *words
# only*. Then try *random*. Questions whose answer is no stand at the end of the list. (*Integrated gradients* thinks
# for a moment the first time; everything else should follow your hand.)

# %% tags=["widget"]
shown = sorted(samples[:6], key=lambda sample: sample.answer != "yes")
explorer = CurveExplorer(twins, shown, synergy=False)
explorer

# %% [markdown]
# **Explain.** In the left chart teal removes cells with the question intact, plum removes words with the picture
# intact, grey removes both. The dots show where you are. With the oracle, the teal line should drop as soon as the
# one important cell is gone. With *random* the drop comes at a random place. It need not stop at one half: a model that
# sees no blue triangle any more may now be quite sure that there is none. Later the line may climb back, when so much
# is blurred that the model cannot be sure of anything.
#
# Now switch the model to *biased* and repeat. Watch the teal line.
#
# ### Put a number on it
#
# One number per curve is the area below it. A good explainer has a **large** area under insertion and a **small** area
# under deletion. The difference of both is called the *symmetric relevance gain*, here written $\mu$:
#
# $$\mu = \text{area}(\text{insertion}) - \text{area}(\text{deletion})$$
#
# ### Exercise 1 (5 minutes)
#
# Write the relevance gain. The area under points that are joined by straight lines is `np.trapezoid(curve,
# fractions)`.


# %% tags=["solution"]
def relevance_gain(insertion, deletion, fractions):
    """Area under the insertion curve minus area under the deletion curve."""
    return np.trapezoid(insertion, fractions) - np.trapezoid(deletion, fractions)


# %% tags=["exercise"]
lesson.check_relevance_gain(relevance_gain)

# %% [markdown]
# ## 3 · What if the model could guess? (10 minutes)
#
# We now take away the *whole* picture, for every sample, from both twins, and look at how much of its probability each
# keeps, on average. Say first what you expect of the biased one, with the field below; it keeps your first guess.


# %%
def kept_without(vlm, modality):
    games = [vlm.game(sample) for sample in samples]
    return float(np.mean([game(~game.players.of(modality)[None, :])[0] for game in games]))


without_picture = {name: kept_without(vlm, "image") for name, vlm in twins.items()}
predict("How much probability does the biased twin keep without the picture, between 0 and 1?",
        without_picture["biased"], "The words alone are enough for it. Run the next cell for both twins.")  # fmt: skip

# %%
show(without_picture, name="twin", value="probability kept without the picture")

# %% [markdown]
# **Explain.** Read the two numbers. The grounded twin is left with about one half: with two answers that is a coin.
# The biased twin hardly notices. It still *has* the picture in front of it on every sample, and it may even look; but
# the words alone are enough. Such a model answers from the **text only**: the picture adds nothing to the words. (Were
# the picture alone enough as well, the two would be *redundant*, two switches of which either will do. Lesson 02 tells
# the two cases apart.)
#
# Now the trap. Grade any explainer on the biased twin with the picture's curves. The teal line starts high and stays
# high, for the oracle, for random, for anything. An explainer that truthfully says "the words did it" puts no weight
# on the cells, and the picture's curves cannot tell it from one that guesses.

# %%
controls = ["oracle", "random", "anti-oracle"]
tables = {name: toolkit.measure(vlm, samples, controls) for name, vlm in twins.items()}
show(experiments.means(tables["grounded"])[["srg-image", "srg-text"]], name="grounded twin")

# %%
show(experiments.means(tables["biased"])[["srg-image", "srg-text"]], name="biased twin")

# %% [markdown]
# **Explain.** `srg-image` and `srg-text` are the relevance gains by picture and by words. The *anti-oracle* ranks
# everything the wrong way round on purpose. Of these three, *oracle* must come first and *anti-oracle* last if a metric
# measures what it claims. Check for each column and each twin whether it does, and how large the gap is. For the
# biased twin the picture's gap shrinks to almost nothing: the metric has lost its eyes, whatever the explainer.
#
# ## 4 · Two rankings (15 minutes)
#
# Papers rank explainers. Let us rank six of them on twelve questions, once by the picture's relevance gain and once
# by the words', and put both rankings side by side.
#
# **Predict.** Will the best explainer for the picture be the best for the words?

# %%
explainers = ["occlusion", "input-x-gradient", "integrated-gradients", "rollout", "grad-cam", "random"]
table = toolkit.measure(twins["grounded"], samples[:12], explainers)
ranks = experiments.ranks(table, ["srg-image", "srg-text"])

# %%
from toolkit.reporting.plots import rank_shift
from toolkit.stats.correlation import clustered_tau

image, text = (experiments.by_sample(table, metric)[explainers] for metric in ("srg-image", "srg-text"))
tau = clustered_tau(image, text, rng=np.random.default_rng(0))
interval = f"95 % interval {tau.low:+.2f} to {tau.high:+.2f}"
rank_shift(ranks, note=f"Kendall's tau {tau.tau:+.2f}, exact p = {tau.p:.2f}, {interval}")

# %% [markdown]
# **Explain.** Lines that cross are pairs of explainers on which the two metrics disagree. *Kendall's tau* counts them:
# pairs that agree minus pairs that disagree, divided by all pairs. It is +1 for equal rankings, -1 for opposite ones,
# 0 when agreement is what a coin would give.
#
# The paper behind this course reports tau = -0.06 over nine explainers and calls it a *contradiction*. It is 17 pairs
# against 19, with an exact p-value of 0.92: **no association** is what it shows. The difference matters. If two
# metrics contradict each other, one of them is wrong. If they are unrelated, both may be right about different things,
# or both may be noise. In a stored run of the same authors tau was +0.17. A number like this needs its interval, and
# with six or nine explainers the interval is wide.
#
# ### Exercise 2 (5 minutes)
#
# Write Kendall's tau for lists without ties: agreeing pairs minus disagreeing pairs, divided by all pairs. For every
# pair of positions, compare the order in both lists. (`np.sign` of a product of two differences is +1 where the lists
# agree and -1 where they do not.)


# %% tags=["solution"]
def kendall(first, second):
    """Agreeing pairs minus disagreeing pairs, divided by all pairs."""
    pairs = [(i, j) for i in range(len(first)) for j in range(i)]
    agree = [np.sign((first[i] - first[j]) * (second[i] - second[j])) for i, j in pairs]
    return sum(agree) / len(pairs)


# %% tags=["exercise"]
lesson.check_kendall(kendall)

# %% [markdown]
# ### Exercise 3, open (5 minutes)
#
# Find a question in the explorer on which one explainer looks good by the picture and bad by the words. Which of the
# two curves would you believe, and what else would you want to see before you decide? Write three sentences.

# %% [markdown] tags=["answer"]
# *One possible answer.* Take a question whose answer is "no". No cell holds the asked-for thing, so no order of the
# cells is right: the picture's curves reward chance, and an explainer can look good or bad there for no reason. The
# words' curves still make sense, because the answer changes with the words that name the thing. Before deciding I
# would look at the same explainer on many samples with an interval, and at controls: does the metric put the oracle
# above random on this kind of question at all? The picture's curves fail that test here, so I would believe neither.

# %% [markdown]
# ## Recap
#
# * The **deletion curve** removes the best-ranked players first, the **insertion curve** shows them first. The area
#   between them is the relevance gain $\mu$.
# * Without the picture the grounded twin keeps between 0.35 and 0.65 of probability for its answer; the biased twin
#   keeps at least 0.95.
# * On the grounded twin the picture's gain separates oracle from anti-oracle by more than 0.30. On the biased twin the
#   gap is below 0.02: **the metric has collapsed**, although the oracle is as right as before. The words' gain still
#   separates them by more than 0.30.
# * On twelve questions the two rankings of six explainers agree more often than not: tau is above 0. The paper's
#   missing association does **not** reproduce on this model, although the collapse on the biased twin does.
# * A rank correlation between two metrics needs an exact p and an interval. Over six explainers only a nearly perfect
#   agreement differs from chance: tau must reach 0.73 for p below 0.06.

# %% [markdown]
# ## Quiz

# %%
lesson.quiz()

# %% [markdown]
# ## References
#
# * J. R. Ky, S. Ghamizi, M. Cordy, *Measuring Cross-Modal Synergy: A Benchmark for VLM Explainability*, arXiv
#   2605.22168, 2026. The claim of an evaluation collapse.
# * V. Petsiuk, A. Das, K. Saenko, *RISE*, arXiv 1806.07421, 2018. Insertion and deletion.
# * S. Blücher, J. Vielhaben, N. Strodthoff, *Decoupling pixel flipping and occlusion strategy*, arXiv 2401.06654,
#   2024. The symmetric relevance gain.
# * M. G. Kendall, *A new measure of rank correlation*, Biometrika, 1938.
#
# **Next** lesson 02 asks how redundant a model is, and why.

# %% tags=["recap"]
from toolkit.stats.correlation import kendall_tau

assert 0.35 < without_picture["grounded"] < 0.65
assert without_picture["biased"] >= 0.95
gains = {name: experiments.means(table).loc["oracle"] - experiments.means(table).loc["anti-oracle"]
         for name, table in tables.items()}  # fmt: skip
assert gains["grounded"]["srg-image"] > 0.30
assert abs(gains["biased"]["srg-image"]) < 0.02
assert gains["biased"]["srg-text"] > 0.30
assert tau.tau > 0
two_swaps = kendall_tau(range(6), [1, 0, 3, 2, 4, 5])
assert abs(two_swaps.tau - 0.73) < 0.01
assert two_swaps.p < 0.06
