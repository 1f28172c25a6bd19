# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown] tags=["badges"]

# %% [markdown]
# # 07 · The full benchmark on a GPU
#
# **You will learn** to estimate a run before you start it; to run released models on real datasets, on your own
# machine or on Colab; to survive a disconnect; to spread a run over several GPUs.
#
# **Time** 30 minutes, plus the run. **Hardware** this notebook runs anywhere; the full benchmark needs a network for
# the downloads and a GPU with 40 GB of memory (24 GB in 16 bits). **Before** lesson 06.

# %% tags=["colab"]

# %% [markdown]
# ## Set-up
#
# Everything that would take hours or download gigabytes is off in this notebook, and says how to switch it on.

# %%
import tempfile
from pathlib import Path

import toolkit
from toolkit.benchmark.run.presets import preset
from toolkit.course import lesson_07 as lesson
from toolkit.course import show
from toolkit.widgets import RunMonitor

vlm = toolkit.load_vlm("tiny-llava-grounded")

# %% [markdown]
# ## 1 · What the paper ran (4 minutes)
#
# Three models, three datasets, eight explainers and a random floor. The toolkit has it as a preset, and a second
# preset with what we would do: corrected headline metric, converged integrals, three seeds for everything that is
# random, 32 bits.
#
# **Predict.** RePOPE, CV-Bench and MMStar together have 8,917 questions. How many coalitions must be scored?

# %%
paper = preset("paper")
ours = preset("correct")
totals = {spec.name: lesson.total_coalitions(spec) for spec in (paper, ours)}
print(*(f"{name}: {total:,} coalitions" for name, total in totals.items()), sep="\n")

# %% [markdown]
# **Explain.** That is the number after planning, for the default metrics and maps without ties: each coalition once.
# A naive loop would run 118 passes per sample and explainer, 28 million for the paper's grid. On top come the
# explainers' own passes.
#
# ## 2 · The estimate comes first (11 minutes)
#
# Two things can stop a run: memory and time. For the memory nothing has to be loaded: count the weights, four bytes
# each in 32 bits, and add a fifth as working space.
#
# **Predict.** The three models have 7.1, 3.8 and 2.3 billion weights. Which of them fit on a free Colab GPU with 15 GB?

# %%
from toolkit.benchmark.run.run_cost import dry_run

memory = {plan.model: plan.memory / 2**30 for plan in dry_run(ours).models}
show(memory, digits=1, name="model", value="GiB in 32 bits")

# %% [markdown]
# **Explain.** Only the smallest. In 16 bits everything halves, and the second fits as well. That is not free: values
# are then rounded to two or three digits, and F_syn is a difference of differences, in which small effects may drown.
#
# The time is measured, not guessed: score some coalitions of one sample and look at the clock.

# %%
sample = toolkit.load_samples("scenes-existence", split="test", n=1)[0]
per_second = lesson.speed(vlm, sample)
print(f"{per_second:.0f} coalitions per second")

# %% [markdown]
# ### Exercise 1 (4 minutes)
#
# Write the number of hours that a run takes, if the model scores `per_second` coalitions in a second.


# %% tags=["solution"]
def hours(samples, models, coalitions, per_second):
    """Hours for all samples on all models, one after the other."""
    return samples * models * coalitions / per_second / 3600


# %% tags=["exercise"]
lesson.check_hours(hours)

# %% [markdown]
# ### Exercise 2 (4 minutes)
#
# Often the hours are given, and the number of samples is what has to give way. Turn the formula round; only whole
# samples count.


# %% tags=["solution"]
def samples_for(budget_hours, models, coalitions, per_second):
    """Whole samples that fit into a budget of hours."""
    return int(budget_hours * 3600 * per_second // (models * coalitions))


# %% tags=["exercise"]
lesson.check_share(samples_for)

# %% [markdown]
# **Predict.** A GPU scores perhaps 30 coalitions of a 7B model in a second. How many hours is the paper's grid? How
# many samples per dataset fit into one night of twelve hours?


# %%
def nights(spec, per_second):
    return lesson.total_coalitions(spec) / per_second / 3600 / 12


one_night = preset("correct", samples=100)
found = {f"{spec.name}, samples={spec.samples}": nights(spec, 30) for spec in (paper, ours, one_night)}
show(found, digits=1, name="plan", value="nights of twelve hours")

# %% [markdown]
# **Explain.** 30 per second is an assumption; measure your own with `lesson.speed` on your model. Fewer samples widen
# the intervals, by the square root: a quarter of the samples doubles them. Three hundred pictures with honest
# intervals beat nine thousand questions that nobody could afford twice.
#
# ## 3 · On your own machine (4 minutes)
#
# First the environment, then the plan, then a pilot of five samples, then the run:
#
# ```sh
# python -m toolkit doctor
# PIN="OpenGVLab/InternVL3_5-2B-HF=COMMIT"
# python -m toolkit benchmark run --preset correct --samples 5 --out runs/pilot --revision $PIN --dry-run
# python -m toolkit benchmark run --preset correct --samples 5 --out runs/pilot --revision $PIN
# python -m toolkit benchmark run --preset correct --samples 100 --out runs/pilot --revision $PIN --dry-run
# python -m toolkit benchmark run --preset correct --samples 100 --out runs/full --revision $PIN
# python -m toolkit benchmark report runs/full
# ```
#
# For `COMMIT` put the forty hexadecimal digits of a commit, from the model's page (*Files*, then *History*). A name can
# point to other weights tomorrow, so the toolkit runs no released model without a commit. It knows those of the other
# two. After the pilot the third command tells how long 100 samples will take, from the pilot's own clock. If a process
# dies, the same command goes on. A folder refuses a run with other settings.
#
# `make lab` works offline on purpose. For a run that downloads something, start `.venv/bin/jupyter lab` yourself.
#
# **Several GPUs.** `--executor ray --workers 4 --gpus-per-worker 1` starts one model per worker, each on a GPU of its
# own. On a cluster, give its address with `--ray-address` and set `RAY_AUTH_MODE=token`: an open Ray port lets anybody
# run code.
#
# ## 4 · On Colab (8 minutes)
#
# The first cell of this notebook installs the toolkit there and leaves the preinstalled libraries alone. Choose a GPU
# runtime, mount your drive, and put the folder of the run on it. After a disconnect, run the notebook again: the
# records are on the drive, and the run resumes. Free GPUs have 15 GB: the pilot below takes the 3B model in 16 bits.

# %%
import torch

on_gpu = torch.cuda.is_available()
base = Path("/content/drive/MyDrive") if Path("/content/drive/MyDrive").exists() else Path(tempfile.mkdtemp())
pilot = preset("correct", samples=5, models=["Qwen/Qwen2.5-VL-3B-Instruct"], dtype="bfloat16", out=base / "pilot")
print("a GPU is here:", on_gpu)
print(f"the pilot needs {dry_run(pilot).models[0].memory / 2**30:.1f} GiB")

# %% [markdown]
# **Predict.** The panel shows the plan of this pilot. How many records will it write?
#
# Press *Run or resume* only where `on_gpu` is true. *Stop* at any time.

# %% tags=["widget"]
RunMonitor(pilot)

# %% [markdown]
# **Explain.** The panel runs `python -m toolkit benchmark run` in a process of its own and counts the records on the
# disk. You may close the notebook; the process goes on, and the panel finds its records when you open it again.
#
# To see the machinery without a GPU, run the same panel on a tiny model:

# %%
small = toolkit.BenchmarkSpec(
    models=["tiny-llava-grounded"], datasets=["scenes-existence"], explainers=["occlusion", "random"], samples=3,
    out=Path(tempfile.mkdtemp()) / "small", progress=False,
)  # fmt: skip
panel = RunMonitor(small)
panel.start()
status = panel.wait(100)
status, panel.progress.value

# %% [markdown]
# ### Exercise 3, open (6 minutes)
#
# You have 20 GPU hours. Choose: all nine explainers on 60 samples per dataset, or four explainers on 150. Which claim
# does each choice allow, and which claim does it rule out?

# %% [markdown] tags=["answer"]
# *One possible answer.* Nine explainers on 60 samples allow a broad picture and a tau between two metrics over nine
# methods, with wide intervals for single differences. Four on 150 allow a sharper statement about these four, but a
# tau over four methods is nearly meaningless: even a perfect agreement has p = 0.08. I would choose by the claim that
# I had written down first.

# %% [markdown]
# ## Recap
#
# * The paper's grid scores 17,441,652 coalitions after planning; ours, with occlusion and three seeds for random
#   methods, 27,072,012 for the default metrics. The corrected headline and maps with tied scores come on top.
# * In 32 bits the 7B model needs 31.6 GiB, the 3B model 16.8 and the 2B model 10.5; in 16 bits half of it.
# * Measure the speed on one sample, then multiply. With a fixed budget the number of samples gives way.
# * Records on a disk that survives are all it takes to resume. The small run above wrote 6 records and ended with
#   status 0.

# %% [markdown]
# ## Quiz

# %%
lesson.quiz()

# %% [markdown]
# ## References
#
# * *RePOPE*, arXiv 2504.15707, 2025. *CV-Bench*: S. Tong et al., arXiv 2406.16860, 2024. *MMStar*: L. Chen et al.,
#   arXiv 2403.20330, 2024. The datasets; mind their licences.
# * P. Moritz et al., *Ray: a distributed framework for emerging AI applications*, OSDI 2018.
# * J. R. Ky, S. Ghamizi, M. Cordy, *Measuring Cross-Modal Synergy*, arXiv 2605.22168, 2026.
#
# **Next** lesson 08: audit a model or an explainer of your own.

# %% tags=["recap"]
assert totals == {"paper": 17_441_652, "correct": 27_072_012}
assert [round(gib, 1) for gib in memory.values()] == [31.6, 16.8, 10.5]
assert abs(dry_run(pilot).models[0].memory / 2**30 - 16.8 / 2) < 0.05
assert per_second > 0
assert (status, panel.progress.value) == (0, 6)
