# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown] tags=["badges"]

# %% [markdown]
# # 08 · Audit your own model or explainer
#
# **You will learn** to use this notebook as a template: your model, your pictures, your explainer; to end in a report
# card that a reader can trust; to say "not separated" when that is what the data say.
#
# **Time** 40 minutes, and then as long as your own question takes. **Hardware** any laptop for the embedded models.
# **Before** lessons 01, 02 and 03.

# %% tags=["colab"]

# %% [markdown]
# ## Set-up
#
# Three things are yours to replace: `vlm`, `samples` and `my_explainer`. Everything below works on them.

# %%
import textwrap

import toolkit
from toolkit.course import lesson_08 as lesson
from toolkit.course import predict, show
from toolkit.widgets import CurveExplorer, DrawingPad, ImageUpload

vlm = toolkit.load_vlm("tiny-llava-grounded")
samples = toolkit.load_samples("scenes-existence", split="test", n=12)

# %% [markdown]
# **Your model.** `load_vlm` takes the name of an embedded model, a folder with a checkpoint, or a hub id such as
# `"Qwen/Qwen2.5-VL-3B-Instruct"`. `python -m toolkit models` lists what is known; LLaVA, Qwen-VL and InternVL are
# among it.
#
# **Your pictures.** `load_image_question` makes a sample of any picture and question. If you know the right answer,
# give it. `load_samples("folder:PATH")` reads a folder of your own.
#
# ## 1 · One picture of your own (6 minutes)
#
# We draw one here, as you would in a paint program: a large red circle on white.
#
# **Predict.** The tiny model was trained on small things on tinted paper. What will it say, and how sure will it be?

# %%
from PIL import Image, ImageDraw

drawing = Image.new("RGB", (480, 480), "white")
ImageDraw.Draw(drawing).ellipse((80, 80, 260, 260), fill=(214, 40, 40))
mine = toolkit.load_image_question(drawing, "is there a red circle ?", answer="yes")
said = vlm.answer(mine)
show(said.by_choice, name="answer", value="probability")

# %% tags=["widget"]
CurveExplorer({"grounded": vlm}, [mine], ["occlusion", "integrated-gradients", "random"])

# %% [markdown]
# **Explain.** Your own sample has no ground truth, so there is no oracle to compare with. You can still look at the
# curves and at the corners. A picture that is unlike the training pictures may get a sure answer all the same:
# sureness is no proof of sight.
#
# Paint your own. On the pad below there is something red, and there is a circle. What does it take to turn the answer?
# Then clear the pad and ask again: how sure is the model of an empty page?

# %% tags=["widget"]
painted = DrawingPad(vlm, "is there a red circle ?")
painted

# %% [markdown]
# Or upload an image. What you have asked last is `painted.sample` and `yours.sample`; every cell of this notebook takes
# them in the place of `mine`.

# %% tags=["widget"]
yours = ImageUpload(vlm, "is there a red circle ?")
yours

# %% [markdown]
# ## 2 · An explainer of your own (5 minutes)
#
# This one asks only the words: it removes each word and ignores the picture. Replace it by yours.


# %%
def my_explainer(vlm, sample):
    scores = toolkit.explain("occlusion", vlm, sample).scores.copy()
    scores[: vlm.players(sample).n_image] = 0.0
    return scores


attribution = toolkit.explain(my_explainer, vlm, samples[0])
words = attribution.players.labels[attribution.players.n_image :]
show(dict(zip(words, attribution.of("text"), strict=True)), digits=3, name="word", value="score")

# %% [markdown]
# ## 3 · The verdict (5 minutes)
#
# A report card compares, sample by sample, and gives an interval of the difference. What may be said about an
# interval?
#
# ### Exercise 1 (3 minutes)
#
# Write the verdict: `"better"` if the whole interval lies above 0, `"worse"` if it lies below 0, else `"not
# separated"`.


# %% tags=["solution"]
def verdict(low, high):
    """better, worse or not separated."""
    if low > 0:
        return "better"
    return "worse" if high < 0 else "not separated"


# %% tags=["exercise"]
lesson.check_verdict(verdict)

# %% [markdown]
# ## 4 · The report card (10 minutes)
#
# **Predict.** `my_explainer` orders the words well and the cells not at all. Will it be separated from random by
# F_syn?
#
# The order of the lines matters. First the model: is there any interaction to find? Then the metric: does it pass its
# control on *these* samples? Only then the explainer.

# %%
card = lesson.report_card(vlm, samples, my_explainer)
card

# %%
baseline = lesson.report_card(vlm, samples, "occlusion")
baseline

# %% [markdown]
# **Explain.** Read from top to bottom and stop at the first line that fails. If the metric's control fails, the last
# line means nothing. If it is not separated, it means little. Twelve samples are few; add more and watch the intervals
# shrink.
#
# The same card for the model's biased twin shows what a model that answers from the words alone does to an audit:

# %%
biased = lesson.report_card(toolkit.load_vlm("tiny-llava-biased"), samples, "occlusion")
biased

# %% [markdown]
# **Explain.** There is less interaction to find, so there is less to be right about. Look at the metric's lines first.
# Unless both say *pass*, the explainer's line, whatever it says, is no finding about the explainer: this model on these
# samples cannot show whether it is good.
#
# ### Exercise 2, open (as long as you like)
#
# Run the card on something of your own: another embedded model, another dataset (`scenes-mixed` is harder), your own
# explainer. Write the paragraph that you would put into a paper: what was audited, on what, which controls passed,
# what was found, and what was not separated.

# %% [markdown] tags=["answer"]
# *One possible answer.* We audited occlusion on tiny-llava-grounded with 12 existence questions of the test split,
# signed F_syn, ten steps, blur. The card above states the total interaction, the controls and the difference to random
# with 95 % intervals over pictures (Student's, since they are few). Lines that the intervals do not separate from 0 we
# report as not separated. Twelve samples cannot show small differences, and results on drawn scenes need not carry
# over to photographs.

# %% [markdown]
# ## 5 · Two traps in the libraries (10 minutes)
#
# An audit stands on software that somebody else wrote. Two things that good engineers guess wrong, five minutes each.
#
# **A masked word.** You hide one word in the middle of the prompt: a 0 in `attention_mask`. Then you read the answer,
# once from `forward` and once from `generate`. One way to hide a word leaves a gap where it stood; another closes the
# gap, so that all later words move up. The model reads places as well as words, so these are two questions.

# %% tags=["widget"]
predict(
    "You mask one word. In how many of 15 model families do forward and generate ask the same question?",
    lesson.n_same_question(),
    "Three families close the gap in both. Eleven leave it in forward and close it in generate. One does neither.",
)

# %%
behaviours = ["masked_word_in_forward", "masked_word_in_generate"]
notes = toolkit.fieldnotes(["LLaVA", "Qwen2.5-VL"], behaviours)
notes.pivot(index="family", columns="behaviour", values="value")

# %% [markdown]
# **Explain.** You have just measured it, on tiny models of the real classes. A map of words that was made with
# `forward` does not explain what LLaVA writes with `generate`. The toolkit gives every word its place itself, so a
# removed word always leaves its gap. `notebooks/site/field_notes.md` has all families and 27 more behaviours.
#
# **A patched class.** Your model is loaded and has answered. Now another library in the same notebook replaces the
# `forward` of a *class* that your model is made of. Nobody touches your model.

# %% tags=["widget"]
patched = lesson.patch_a_class(vlm, mine)
predict(
    f"Your drawing got p = {patched.before:.2f}. Another library halves the MLP's class. What is p now?",
    patched.during,
    "A class is shared by all its objects, old ones too: the loaded model changed, and its maps with it.",
)

# %%
print(textwrap.fill(patched.warned, 100))
show({"before": patched.before, "patched": patched.during, "undone": patched.after}, name="class", value="p")

# %% [markdown]
# **Explain.** Libraries that explain models by patching do this, some without undoing it. A map that you draw after
# such an import explains another model under your model's name. The toolkit compares the classes with those that were
# shipped, says so, and stores nothing. `notebooks/site/before_you_trust_a_map.md` has this and eleven more checks, one
# line each, for any library.

# %% [markdown]
# ## Recap
#
# * Order matters: first the model, then the metric's control, then the explainer. Stop at the first line that fails.
# * The tiny model says yes to a large red circle on white, unlike anything on its 6 x 6 training pictures.
# * The grounded twin has a mean interaction above 0.20 on twelve questions, and the metric's control passes there.
# * A masked word is another question in `generate` than in `forward` for eleven of 15 families.
# * A patched class changes a model that was loaded before.
# * The biased twin's interaction lies within 0.10 of zero. Its card cannot praise or blame an explainer.

# %% [markdown]
# ## Quiz

# %%
lesson.quiz()

# %% [markdown]
# ## References
#
# * J. Adebayo et al., *Sanity checks for saliency maps*, arXiv 1810.03292, 2018.
# * *GridVQA-X*, arXiv 2606.14740. A faithful explainer must tell a model that reasons from one that takes a shortcut.
# * J. R. Ky, S. Ghamizi, M. Cordy, *Measuring Cross-Modal Synergy*, arXiv 2605.22168, 2026.
#
# **Next** lesson 09 asks what a score per player cannot show, whoever computes it.

# %% tags=["recap"]
interaction = "total interaction of picture and words"
assert said.text == "yes"
assert len(samples) == 12
assert card[interaction].mean > 0.20
assert card["metric: oracle above random"].verdict == "pass"
assert abs(biased[interaction].mean) < 0.10
assert list(notes[notes.family == "LLaVA"].value) == ["gap kept", "renumbered"]
assert lesson.n_same_question() == 3
assert abs(patched.during - patched.before) > 0.01
assert patched.after == patched.before
