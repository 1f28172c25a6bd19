# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown] tags=["badges"]

# %% [markdown]
# # 09 · Interactions: what no single score can show
#
# **You will learn** why one score per player cannot say who works with whom; to compute the interaction of a pair by
# hand; to read a map of pairs; which baseline a map of pairs has to beat; and what no map of pairs shows either.
#
# **Time** 40 minutes. **Hardware** any laptop; no GPU, no network. **Before** lessons 02 and 03.

# %% tags=["colab"]

# %% [markdown]
# ## Set-up
#
# So far every explainer gave one score per player, and the synergy was read off *groups* of them. Here the explanation
# itself is about pairs: this cell with that word.

# %%
import textwrap

import toolkit
from toolkit.audit.shipped_studies import load
from toolkit.course import lesson_09 as lesson
from toolkit.course import predict, show
from toolkit.games.interactions import harsanyi_dividends
from toolkit.widgets import PairExplorer

vlm = toolkit.load_vlm("tiny-llava-grounded")

# %% [markdown]
# ## 1 · Two games with the same scores (7 minutes)
#
# Two games of two cells and two words. In the game *straight* the left cell needs the first word, and the right cell
# the second; each couple that is complete earns 1. In the game *crossed* it is the other way round: the left cell needs
# the second word, the right cell the first.
#
# **Predict.** Give every player a score, in both games: what it earns alone, what is lost without it, its Shapley
# value. In which of the three do the games differ?

# %%
games = lesson.two_games()
scores = {name: lesson.first_order(game) for name, game in games.items()}
show(scores["straight"], name="straight")

# %%
show(scores["crossed"], name="crossed")

# %% [markdown]
# **Explain.** In none. In both games all four players play the same part, so any rule that does not look at names gives
# them one score, the same in both; and so does everything that is computed from scores: the maps of the lessons before,
# their curves, their ranks. "The left cell counts, and the second word counts" is true in both games. "The left cell
# counts *together with* the second word" is true in one. This is how they differ:

# %%
pairs = {name: lesson.pair_table(game) for name, game in games.items()}
show(pairs["straight"], name="straight")

# %%
show(pairs["crossed"], name="crossed")

# %% [markdown]
# **Explain.** Scores do make a statement about pairs, if one insists: the *product* of the cell's score and the word's.
# Here, with Shapley values, it is 1/4 for every pair. Products say that every word lights the same cells. Keep this in
# mind as a baseline: whoever sells a map of pairs should do better than a product.
#
# ## 2 · A pair by hand (9 minutes)
#
# The second difference of two players asks what they do together in one *context*, a coalition $S$ of others:
#
# $$\Delta_{ij}(S) = v(S + i + j) - v(S + i) - v(S + j) + v(S)$$
#
# In lesson 03 there was one other player, so there were two contexts. With two others there are four: nobody, one of
# them, the other, both. The **Shapley interaction index** gives every *size* of context the same weight, and within a
# size every context the same.
#
# **Predict.** Four players who earn 1 only all together. In how many of the four contexts is the second difference of
# two of them not zero, and what is their index?
#
# ### Exercise 1 (5 minutes)
#
# Write the index. You get the second differences sorted by the size of the context: `by_size[0]` is a list with the one
# of the empty context, `by_size[1]` those of the contexts with one other player, and so on.


# %% tags=["solution"]
def pair_interaction(by_size):
    """Mean over the sizes of the mean within each size."""
    return sum(sum(found) / len(found) for found in by_size) / len(by_size)


# %% tags=["exercise"]
lesson.check_pair_interaction(pair_interaction)

# %% [markdown]
# **Explain.** Only in the last context, where both others are there; it is one size of three, so the index is 1/3. If
# all four contexts counted alike, it would be 1/4: that is the **Banzhaf interaction index**. Both are averages of the
# same second differences. Who names an index, names weights.
#
# ## 3 · The pairs of a sample (9 minutes)
#
# *Is there a red circle?* There is one, and there is a red square as well.
#
# **Predict.** Which words will work together with the cell of the red circle? And the cell of the red square: with
# *red*, for the answer or against it? With *circle*?

# %%
sample = toolkit.load_samples("scenes-existence", split="test", n=53)[52]
vlm.answer(sample).text, sample.answer

# %% tags=["widget"]
PairExplorer(vlm, sample)

# %% [markdown]
# **Run.** Point at *red*, then at *circle*, then at the other words. Then point at the two red cells. Here are the
# pairs of the square's cell in numbers:

# %%
banzhaf = toolkit.explain("banzhaf-interaction", vlm, sample)
square = lesson.pairs_of_cell(banzhaf, "row 4, column 5")
show(square, name="the red square with", value="pair")

# %% [markdown]
# **Explain.** The red circle works together with both words. The red square speaks *for* the answer together with
# *red*, and *against* it together with *circle*: half of the description fits. A single score of this cell has to add
# the two, and little is left. The map shows the Banzhaf index, estimated from 1,024 coalitions.
#
# Is the map right? In this world the answer is known to come from the evidence cells with the evidence words. So we can
# count: how often is a true pair ranked above another one? 0.5 is chance, 1 is perfect.

# %%
names = ["banzhaf-interaction", "occlusion", "random"]
found = lesson.recoveries(vlm, sample, names)
show(found, name="explainer", value="recovery of the true pairs")

# %% [markdown]
# **Explain.** Occlusion gives one score per player; what is judged here is its products, and they are as good. No
# wonder: what counts as true here is *one* cell with two words, and the square's two signs are not asked for. One
# sample decides nothing either. The study that travels with the toolkit asked more of them, with a rule that was
# written down before:

# %%
study = load("pairs")
print(textwrap.fill(study.verdict(), 100))
lesson.study_table(study.table().filter(regex="explainer|gives|auc|n_samples"))

# %% [markdown]
# **Explain.** The best product is above the best map of pairs, and the study says that pairs beating products is not
# supported. Is a map of pairs useless, then? Look at what was asked: the true pairs of these samples are every evidence
# cell with every evidence word. That is a *rectangle*, and a product can draw rectangles. The two games of section 1
# are no rectangles; there a product is at chance whatever it costs. A fair summary: pairs can say more, and on these
# questions there was nothing more to say.
#
# ## 4 · What no pair sees (5 minutes)
#
# A game of one cell and two words that earns 1 whenever an *odd* number of them is there: XOR of three.


# %% tags=["widget"]
xor = lesson.three_way_xor()
predict(
    "XOR of three players. What is the Shapley interaction index of the cell and the first word?",
    lesson.pair_table(xor).iloc[0, 0],
    "Without the second word the two disturb each other, with it they help each other by as much: the mean is nothing.",
)

# %%
show(lesson.pair_table(xor), name="pairs")

# %%
everyone = float(harsanyi_dividends(xor)[-1])
show({"dividend of all three": everyone}, name="coalition")

# %% [markdown]
# **Explain.** Every pair has the index 0, and the three together have a large dividend. The Banzhaf index says 0 as
# well, and so does every index that averages the two contexts with equal weight. The whole game is one thing of three,
# and a map of pairs of it is white. This is a constructed game. Does something like it happen in a model?
#
# ## 5 · At which order, and how much undoes itself (6 minutes)
#
# The study of orders merges the players of a sample to 14 and asks all $2^{14}$ coalitions, so every dividend is exact.
# It sums the sizes of the dividends of mixed coalitions, those with cells and words, by their number of players.
#
# **Predict.** Which share of this sum belongs to pairs?

# %%
orders = load("orders")
show(lesson.order_shares(orders).T, name="model, by number of players")

# %%
lesson.study_table(orders.table())

# %% [markdown]
# **Explain.** Little belongs to pairs; most of the sum lies at three players and more, where no pairwise index looks.
# Before you conclude that maps of pairs are hopeless, read the second column of numbers, the **cancellation**: nearly
# everything is undone by something of the opposite sign before it reaches the total interaction of picture and words.
# And a warning from the study's own limits: a dividend of $k$ players adds up $2^k$ values, so small errors of the
# model grow with the order. Part of this sum is noise with a sign.
#
# ### Exercise 2 (3 minutes)
#
# Write the cancellation of a list of dividends: 1 minus the size of their sum over the sum of their sizes. It is 0
# where all have one sign, 1 where they undo each other.


# %% tags=["solution"]
def cancellation(dividends):
    """1 - |sum of the dividends| / sum of |dividends|."""
    return 1 - abs(sum(dividends)) / sum(abs(d) for d in dividends)


# %% tags=["exercise"]
lesson.check_cancellation(cancellation)

# %% [markdown]
# ## 6 · Two more studies (2 minutes)
#
# *Is the metric wrong, or the mask?* A removed cell has to be filled with something. Here the distance between the
# model's values and the true ones is known for every fill, so one can tell a metric that fails from a model that is
# lost.

# %%
masking = load("masking")
lesson.study_table(masking.fills())

# %% [markdown]
# *Do explanations follow the dose?* Between a grounded model and its biased twin the interaction shrinks. What an
# explainer says of pairs should shrink with it, and, if it is in the same unit, by as much: a slope of 1.

# %%
dose = load("dose")
lesson.study_table(dose.table())

# %% [markdown]
# **Explain.** Fills that the model was trained on leave its values where they belong; cells from elsewhere do not, and
# what a metric says under them is about the fill. The dose is followed by the maps of pairs, which is no great praise
# for an index that is linear in the values; the size is another matter. `python -m toolkit study` runs all four, and
# `notebooks/site/studies.md` has the rules that were written down before.
#
# ### Exercise 3, open (at home)
#
# Somebody shows you a map of pairs of a photograph. Which three things do you ask before you believe it?

# %% [markdown] tags=["answer"]
# *One possible answer.* Whether the product of two first-order maps would have said the same. How much of the joint
# effect lies in pairs at all, for this sample: the share beyond pairs, or the fit of a surrogate with pairs on
# coalitions that it was not fitted to. And under which fill: does the map stay with another one? A fourth would be its
# standard error, since a sampled map of pairs has one.

# %% [markdown]
# ## Recap
#
# * Two games with equal scores for every player can have different pairs: a single score cannot show an interaction.
# * The Shapley interaction index averages second differences over sizes of contexts; Banzhaf's over all contexts alike.
# * A red square beside a red circle works for the answer with *red* and against it with *circle*: one cell, two signs.
# * On the shipped study the best product of two scores recovers the true pairs better than the best map of pairs.
# * In XOR of three every pair has the index 0, and all three have the dividend 4.
# * More than half of a joint effect needs three players or more, and more than half of it undoes itself, on all nine
#   models of the shipped study.

# %% [markdown]
# ## Quiz

# %%
lesson.quiz()

# %% [markdown]
# ## References
#
# * M. Grabisch, M. Roubens, *An axiomatic approach to the concept of interaction among players*, 1999. The index.
# * *FIxLIP*, arXiv 2508.05430. Weighted Banzhaf interactions of image and text.
# * *Faith-Shap*, arXiv 2203.00870. Another index of pairs, from a fitted surrogate.
# * *What pairwise interactions conflate*, arXiv 2606.19410.
#
# **That was the course.** Teachers find a project and its rubric in `notebooks/TEACHING.md`.

# %% tags=["recap"]
assert scores["straight"].equals(scores["crossed"])
assert not pairs["straight"].equals(pairs["crossed"])
assert square["red"] > 0 > square["circle"]
best = study.table().groupby("gives").auc.max()
assert best["a product"] > best["pairs"] > 0.5
assert abs(lesson.pair_table(xor)).max().max() == 0
assert everyone == 4
assert len(orders.table()) == 9
assert (orders.table()[["beyond_pairs low", "cancellation low"]] > 0.5).all().all()
assert found["banzhaf-interaction"] > found["random"]
assert "blur" in list(masking.fills().query("`fill is` == 'known'").fill)
assert (dose.table().query("gives == 'pairs'")["correlation low"] > 0.5).all()
