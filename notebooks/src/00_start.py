# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown] tags=["badges"]

# %% [markdown]
# # 00 · Start here: a small world, tiny models, and one question
#
# **You will learn** what this toolkit is for; to check that your machine is ready; to find your way in the embedded
# world; to ask the embedded models a question; to say what a coalition is.
#
# **Time** 30 minutes. **Hardware** any laptop; no GPU, no network. **Before** you should know Python. Nothing else.

# %% tags=["colab"]

# %% [markdown]
# ## Set-up
#
# A vision-language model reads a picture and a question and answers. When it says "yes, there is a red circle", you
# would like to know why. Did it look? Or did it only read the words, and guess what is usually true? This course is
# about measuring that, and about not fooling yourself while you do.
#
# Run a cell with *Shift + Enter*. Start at the top and go down; every cell uses what the cells above it made.

# %%
import numpy as np

import toolkit
from toolkit.course import lesson_00 as lesson
from toolkit.course import show
from toolkit.paths import models_dir
from toolkit.widgets import SampleBrowser

toolkit.doctor()

# %% [markdown]
# The *doctor* above looks at your Python, your libraries, your memory and the models that came with the toolkit. Read
# its lines once. A line that starts with *ok* is fine and a *note* needs nothing; a *PROBLEM* says what to do about it.
# Everything in this course runs without a network.
#
# ## 1 · The world (8 minutes)
#
# Photographs and large models cannot travel inside a repository, and nobody knows the whole truth about a photograph.
# So we use a world that we draw ourselves: coloured things on a grid of 6 x 6 cells, and questions about them. Because
# we draw it, we know everything: the right answer, the cells and words that decide it, and how likely every answer is
# if you may only see the picture, only the words, or neither.
#
# There are four sets of questions. *Existence* asks "is there a red circle ?". *Choice* asks for a colour, a number or
# a place and offers lettered options. *Mixed* is harder: it needs two steps, or a comparison. *Everyday* is about
# lemons and cherries, which have a usual colour.
#
# **Predict.** Before you move anything below: for "is there a red circle ?", which words decide the answer? Which
# cells? What if there is no red circle?
#
# **Run.** Leaf through some samples of every dataset with the slider *Sample*; the arrow keys work too. Take the frame
# away and put it back.

# %% tags=["widget"]
names = sorted(path.name for path in models_dir().iterdir() if path.name.startswith("tiny-"))
vlms = {name: toolkit.load_vlm(name) for name in names}
SampleBrowser({name: vlms[name] for name in names if "llava" in name})

# %% [markdown]
# **Explain.** Framed cells and underlined words decide the answer. If the asked-for thing is absent, the whole picture
# is framed: you have to look everywhere to say no. The table says more. *Gate by construction* tells how the answer
# depends on picture and words: *synergy* needs both, for *redundancy* either will do, and otherwise one of them decides
# alone. Lesson 02 is about it. *Bayes value* is the probability of the right answer for somebody who knows how the
# world is made and sees only that part.
#
# Now turn the *prior strength* up, and watch the Bayes value with the words only. The dial makes the world follow
# folklore: in a world with strength 1, circles are always there when somebody asks, and lemons are always yellow. In
# such a world one can be right without looking. Keep this in mind; it is the seed of all that follows.
#
# ## 2 · The models (10 minutes)
#
# The toolkit brings its own models: tiny (about a million weights each, where released models have billions), but
# they are real: the same classes, the same loading code and the same processors as LLaVA-1.5, Qwen2.5-VL and InternVL.
# Each architecture comes in three twins. The **grounded** twin was trained on balanced questions, so it has to look.
# The **biased** twin was trained in a world of full folklore, so it can guess. The **shortcut** twin looks, but takes a
# short cut; lesson 02 catches it.
#
# **Predict.** All twins get the same new, balanced questions. Who does better? How well does the biased twin do?

# %%
samples = toolkit.load_samples("scenes-existence", split="test", n=40)
right = [sample.answer for sample in samples]
answers = {name: [answer.text for answer in vlm.answers(samples)] for name, vlm in vlms.items()}

# %% [markdown]
# ### Exercise 1 (5 minutes)
#
# Write the accuracy: the share of given answers that are equal to the right ones. Replace the line that starts with
# `raise`, run the cell, then run the cell below it. It tries your function and says what is wrong.


# %% tags=["solution"]
def accuracy(given, right):
    """Share of given answers that are right, between 0 and 1."""
    return sum(a == b for a, b in zip(given, right, strict=True)) / len(right)


# %% tags=["exercise"]
lesson.check_accuracy(accuracy)

# %% [markdown]
# And here is what the models reached, computed by the toolkit's own version of your function:

# %%
shares = {name: lesson.share_right(given, right) for name, given in answers.items()}
show(shares, name="model", value="share of right answers")

# %% [markdown]
# **Explain.** With two answers, guessing gives one half. The grounded twins should be far above it, the biased twins
# near it: on balanced questions folklore is a coin. The biased twin is not stupid. It learned exactly what its world
# rewarded, and looking was never rewarded. The shortcut twins are right most of the time, and nothing in this number
# tells why they fail. Remember that 40 questions are few. A share of one half has a standard error of about eight
# percentage points here, so do not read much into small differences between models.
#
# ## 3 · One coalition (8 minutes)
#
# Everything in this toolkit is built from one thing: what does the model say if it may see only *some* cells and
# *some* words? Such a set of allowed parts is a **coalition**, its members are the **players**, and the probability of
# the answer is its **value**. We write $v(S)$.

# %%
vlm = vlms["tiny-llava-grounded"]
sample = samples[0]
game = vlm.game(sample)
print(f"{game.players.n_image} cells, and the words:", *game.players.labels[game.players.n_image :])

# %% [markdown]
# **Predict.** How large will the value be with all players present? How large with none of them?

# %%
everybody = game.players.of("image") | game.players.of("text")
values = game(np.stack([everybody, ~everybody]))
show({"everybody": values[0], "nobody": values[1]}, name="coalition", value="v")

# %% [markdown]
# **Explain.** The first number is what you would get from the model in the ordinary way. For the second number the
# picture was blurred beyond recognition and every word of the question was hidden; what is left is the model's habit
# of saying yes or no. The instruction "answer yes or no" is no player. It is always there, since otherwise the model
# would not know that an answer is wanted.
#
# ### Exercise 2, open (5 minutes)
#
# In the browser above, set the prior strength back to 0 and find a sample on which the grounded and the biased twin
# give different answers. Which of them is right? Which of the two would you trust on your own picture, and which on a
# question from folklore? Write two sentences.

# %% [markdown] tags=["answer"]
# *One possible answer.* Take a question about a square that is in the picture: in folklore squares are rare, so the
# biased twin says no while the grounded twin says yes, and yes is right. On my own picture I would trust the grounded
# twin, because it looks; on a question from folklore both may be right, and I could not tell from the answer alone
# whether the biased twin has looked. That is why answers are not enough, and why we need the coalitions.

# %% [markdown]
# ## Recap
#
# * A sample is a picture and a question. Its **players** are the 36 cells of the picture and the words of the
#   question; a **coalition** is a set of players, and its **value** is the probability of the answer when only these
#   are there.
# * Everything about the embedded world is known: the right answer, the evidence, the gate, the Bayes values.
# * On 40 balanced questions the grounded LLaVA twin is right on at least 0.85 of them. The biased twin stays below
#   0.70; guessing gives 0.5 with a standard error of 0.08.

# %% [markdown]
# ## Quiz

# %%
lesson.quiz()

# %% [markdown]
# ## References
#
# * J. R. Ky, S. Ghamizi, M. Cordy, *Measuring Cross-Modal Synergy*, arXiv 2605.22168, 2026. The paper behind the
#   course.
# * H. Liu et al., *Improved baselines with visual instruction tuning*, arXiv 2310.03744, 2023. LLaVA-1.5.
# * *GridVQA-X*, arXiv 2606.14740. Another drawn world, with paired models, made for testing explanations.
#
# **Next** lesson 01: two ways to grade an explanation, and two verdicts.

# %% tags=["recap"]
assert (game.players.n_image, len(samples)) == (36, 40)
assert shares["tiny-llava-grounded"] >= 0.85
assert shares["tiny-llava-biased"] <= 0.70
chance = 0.5
assert abs(np.sqrt(chance * (1 - chance) / len(samples)) - 0.08) < 0.005
