# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown] tags=["badges"]

# %% [markdown]
# # 03 · Synergistic faithfulness from first principles
#
# **You will learn** to solve the two-player game by hand; what a Harsanyi dividend is; why half the sum of the
# insertion and the deletion side is exactly an interaction index from game theory; what clipping hides, and what it
# invents.
#
# **Time** 45 minutes. **Hardware** any laptop; no GPU, no network. **Before** lessons 01 and 02.

# %% tags=["colab"]

# %% [markdown]
# ## Set-up
#
# Curves of one modality are blind to redundancy. So let us build a metric that moves picture and words together, from
# the smallest possible game.

# %%
import numpy as np

import toolkit
from toolkit.course import lesson_03 as lesson
from toolkit.course import predict, show
from toolkit.games.analytic import and_gate
from toolkit.games.interactions import harsanyi_dividends
from toolkit.widgets import CoalitionPlayground, GateExplorer

vlm = toolkit.load_vlm("tiny-llava-grounded")

# %% [markdown]
# ## 1 · Two players by hand (8 minutes)
#
# Let the picture be one player and the words the other. There are four coalitions. Take paper and pencil: with nobody
# the model says yes with probability 0.5; with the picture alone 0.5; with the words alone 0.5; with both 0.95.
#
# **Predict.** How much of 0.95 belongs to the picture, how much to the words, and how much to neither of them alone?
#
# The picture adds 0 to nobody. The words add 0 to nobody. Together they add 0.45, which no part has on its own. That
# remainder is the **Harsanyi dividend** of the pair:
#
# $$d(\text{picture}, \text{words}) = v(\text{both}) - v(\text{picture}) - v(\text{words}) + v(\text{neither})$$
#
# You met this number in lesson 02, where it named the gates. Now it gets company.
#
# ### Exercise 1 (4 minutes)
#
# Write it: four values in, one number out.


# %% tags=["solution"]
def dividend(both, image, text, empty):
    """What the two create together beyond what each creates alone."""
    return both - image - text + empty


# %% tags=["exercise"]
lesson.check_dividend(dividend)

# %% [markdown]
# With more players the same idea goes on: the dividend of a coalition is its value minus the dividends of all its
# proper parts. Here is an AND gate with two cells and one word, all of which are needed. The eight coalitions come in
# binary order: nobody, cell 1, cell 2, both cells, the word, the word with cell 1, with cell 2, everybody.
#
# **Predict.** Eight coalitions, eight dividends. How many of them are not zero?

# %%
harsanyi_dividends(and_gate(2, 1))

# %% [markdown]
# **Explain.** Only the last one, the coalition of all three. No pair creates anything; an AND of three is a pure
# three-player interaction. Any game is a sum of such pieces, and in only one way. That is why dividends are a good
# language for "together".
#
# ## 2 · From 42 players to three (10 minutes)
#
# Our model has 36 cells and some words. Nobody wants $2^{42}$ dividends. An explainer helps: it ranks the players.
# Take the top fraction $k$ of cells, call it $I_k$; take the top fraction $k$ of words, call it $T_k$; everybody else
# is one more player, the *rest*. Now there are three players, and this is called a **quotient game**.
#
# How strongly do $I_k$ and $T_k$ interact? There are two contexts in which to ask. Without the rest:
#
# $$\mathrm{ins}_k = v(I_k, T_k) - v(I_k, \emptyset) - v(\emptyset, T_k) + v(\emptyset, \emptyset)$$
#
# and with the rest, which is the same difference read from the other end:
#
# $$\mathrm{del}_k = v(I \setminus I_k, T \setminus T_k) - v(I \setminus I_k, T) - v(I, T \setminus T_k) + v(I, T)$$
#
# The first is the *insertion side*, the second the *deletion side*. The **Shapley interaction index** averages over
# the contexts. With one further player both contexts weigh one half.
#
# ### Exercise 2 (6 minutes)
#
# Write the interaction index of the players `a` and `b` in a game with a third player `r`. The values come as a
# dictionary: `v["ab"]` is the value of a and b, `v[""]` that of nobody.


# %% tags=["solution"]
def interaction_index(v):
    """Mean of the second difference of a and b without r and with r."""
    alone = v["ab"] - v["a"] - v["b"] + v[""]
    among = v["abr"] - v["ar"] - v["br"] + v["r"]
    return (alone + among) / 2


# %% tags=["exercise"]
lesson.check_index(interaction_index)

# %% [markdown]
# So we have a theorem, and it took two lines: **at every $k$, $(\mathrm{ins}_k + \mathrm{del}_k)/2$ is exactly the
# Shapley interaction index of $I_k$ and $T_k$ in the game of $I_k$, $T_k$ and the rest.** The area under this curve
# over $k$ is the *signed synergistic faithfulness*, F_syn.
#
# **Predict.** We test the theorem on 200 games with random values and random orders, at eleven $k$ each. How large
# will the worst error be: 0.1, 0.001, or smaller?

# %%
error = lesson.theorem_error(200)
error

# %% [markdown]
# **Explain.** Nothing is left but rounding, if even that: both routes add and subtract the same eight values. The
# statement is exact. The paper's exact reference splits the rest into six pieces and averages over more contexts;
# lesson 04 compares the two.
#
# ## 3 · Play it (8 minutes)
#
# The playground below shows a real (tiny) model, with everything switched on. The button *evidence* leaves only the
# deciding cells and words on.
#
# **Predict.** What will the dividend of these cells and words be without the rest? And with the rest present?
#
# **Run.** Press *evidence* and compare. Then click cells of the picture, and words below it, off and on again; what is
# switched off turns pale. *What the model sees* is what it is given. Find the smallest coalition that keeps the
# answer. Then press *everything* and try to break the answer with as few clicks as you can.

# %% tags=["widget"]
samples = toolkit.load_samples("scenes-existence", split="test", n=6)
samples.sort(key=lambda sample: sample.answer != "yes")
CoalitionPlayground({"grounded": vlm}, samples)

# %% [markdown]
# **Explain.** $A$ stands for the cells that are on, $B$ for the words that are on. The left column of the table is the
# insertion side, the right column the deletion side. They differ: with the rest present, the model may find the answer
# by other ways, or be sure of the opposite. Both together, with weight one half, are the index in the line below. For
# a question whose answer is "no", the evidence is the whole picture, and the rest holds only words.
#
# **Predict.** Now the whole curve, once in the oracle's order and once in the opposite one. At $k = 1$ both orders have
# everybody on board. Where, then, can their areas differ?


# %%
def f_syn(sample, name):
    return toolkit.synergistic_faithfulness(vlm.game(sample), toolkit.explain(name, vlm, sample))


scores = {name: [f_syn(sample, name) for sample in samples] for name in ("oracle", "anti-oracle")}
signed = {name: float(np.mean([score.value for score in found])) for name, found in scores.items()}
show(signed, name="order", value="signed F_syn, mean of six")

# %% [markdown]
# **Explain.** In between. The oracle brings the deciding cells and words in first, so they meet early; the anti-oracle
# brings them last. The area says how *early* an order lets picture and words meet. How much there is to gain, at
# $k = 1$, is a matter of the model and the question alone.
#
# ## 4 · What clipping hides, and what it invents (14 minutes)
#
# The published number is not this one. There, both sides are divided by $|v(\text{all}) - v(\text{nobody})|$ (at least
# 0.05) and then **clipped to [0, 1] at every step**, before they are averaged. Clipping looks harmless: a score
# between 0 and 1 is easy to read. Let us see what it does to an explainer of *nothing*: noise with mean zero and a
# standard deviation of 0.2.
#
# The mean signed score of such noise should be near 0. And the mean clipped score? Say it before you see it.

# %%
noise = lesson.noise_scores(0.2)
floor = {name: float(values.mean()) for name, values in noise.items()}
predict("What is the mean clipped score of an explainer of nothing?",
        floor["clipped"], "Noise earns something.")  # fmt: skip

# %%
show(floor, digits=3, name="score", value="mean over 4,000 games of noise")

# %% [markdown]
# **Explain.** The negative half is cut away, the positive half stays. Half a bell curve has the mean
# $0.2 / \sqrt{2\pi} = 0.080$; since the first point of the curve is always 0, the area is a little smaller. So
# *nothing* earns about 0.076. The random explainer's published scores lie between 0.036 and 0.130. A clipped score
# cannot tell a small synergy from noise, and it turns every redundancy into 0, whatever its size.
#
# The gate explorer of lesson 02, now with both scores of an explainer that you can turn. Choose *OR*, and compare the
# signed score with the published one. Then set all four corners to 0, turn up the noise, and try some seeds.

# %% tags=["widget"]
GateExplorer()

# %% [markdown]
# ### Exercise 3 (3 minutes)
#
# Write the clipped mean yourself, with `np.clip(values, 0, 1)`. It is one line; the order of the two operations is the
# point.


# %% tags=["solution"]
def clipped_mean(sides):
    """Clip to [0, 1] first, then take the mean of everything."""
    return np.clip(sides, 0, 1).mean()


# %% tags=["exercise"]
lesson.check_floor(clipped_mean)

# %% [markdown]
# ### Exercise 4, open (6 minutes)
#
# Signed numbers have a weakness of their own. Describe two questions for which the mean of signed F_syn is 0 although
# both have a strong interaction. What would you report besides the mean?

# %% [markdown] tags=["answer"]
# *One possible answer.* One AND question (+1) and one OR question (-1): their mean is 0, and it says "no interaction"
# about two samples that both have a strong one. I would report the distribution, or the mean by gate, and keep the
# sign on every single sample. Clipping would have given 1 and 0 with the mean 1/2, which hides the redundancy
# completely, so it is no cure.

# %% [markdown]
# ## Recap
#
# * The dividend of two players is what they create together: $v(\text{both}) - v(a) - v(b) + v(\text{neither})$.
# * With everybody else merged into one player, $(\mathrm{ins}_k + \mathrm{del}_k)/2$ **is** the Shapley interaction
#   index of $I_k$ and $T_k$. On 200 random games the largest error was below 1e-12.
# * Signed F_syn is the area under that curve. On six questions the oracle's order earns more than the anti-oracle's.
# * Clipping is not harmless: noise with standard deviation 0.2 has the signed score 0.00 and the clipped score 0.076.

# %% [markdown]
# ## Quiz

# %%
lesson.quiz()

# %% [markdown]
# ## References
#
# * J. C. Harsanyi, *A simplified bargaining model for the n-person cooperative game*, 1963. The dividends.
# * M. Grabisch, M. Roubens, *An axiomatic approach to the concept of interaction among players*, 1999. The index.
# * J. R. Ky, S. Ghamizi, M. Cordy, *Measuring Cross-Modal Synergy*, arXiv 2605.22168, 2026. F_syn.
#
# **Next** lesson 04 asks whether F_syn can replace the index that it stands for.

# %% tags=["recap"]
assert error < 1e-12
assert signed["oracle"] > signed["anti-oracle"]
standard_error = noise["clipped"].std() / np.sqrt(len(noise["clipped"]))
assert abs(floor["clipped"] - 0.076) < 0.0005 + 4 * standard_error
assert abs(floor["signed"] - 0.00) < 4 * noise["signed"].std() / np.sqrt(len(noise["signed"]))
assert lesson.noise_scores(0.2)["clipped"].min() >= 0
