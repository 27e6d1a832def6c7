# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# *In a fresh hosted kernel, where nothing of this is installed, run these two lines in a cell of their own first (what is
# there stays; use the address you got this notebook from, or the path of a wheel). On your own machine: `make` did it.*
#
# ```
# %pip install "metst[hosted] @ git+https://ADDRESS-OF-THIS-REPOSITORY"
# !metst fetch
# ```

# %% [markdown]
# # 8 · Further ideas
#
# Other papers have ideas that touch this line. Here is a row for each: what it says (known from its abstract, where nothing else is said), which part of our line it touches, and one small experiment, or the reason why there is none.
#
# * **Aims:** tell an idea from its evidence; see what one change, tried alone, can show.
# * **You need:** notebooks 03 and 04. 15 minutes to read; the experiments take hours and are made once, by a command.
#
# An experiment takes **one idea** of a paper, not the paper's method: what is found here says nothing of the paper's own numbers.

# %% tags=["parameters"]
profile = "smoke"
dataset = "synthetic"
data_root = None
seed = 100
out_dir = "../runs/smoke"
data_options = {}  # of load_dataset
n_jobs = None  # videos or folds at once; None: as many as cores, up to 4
ideas = ()  # names of ideas to compute here and now, such as ("tempo",); none: what the command left is read

# %%
import pandas as pd
from IPython.display import Markdown, display

from metst_core import plots
from metst_core.experiment import IDEAS, Run, idea_table, read_claims

run = Run(profile, dataset, data_root, seed, out_dir, data_options, n_jobs)

# %% [markdown]
# ## 8.1 The papers, a row each

# %%
with pd.option_context("display.max_colwidth", None):
    display(idea_table().set_index("paper"))

# %% [markdown]
# ## 8.2 With and without, at equal budget
#
# Each idea is one change of ME-TST+. Both train for as many epochs on the same people (pre-training takes its epochs from the training), with three seeds; the interval is over people and seeds, and one test holds for the whole table. The number of trained parameters stands beside each.
#
# ```
# metst claims --run runs/default --only ideas --hours 8
# ```
#
# computes the table, goes on where it was stopped, and says what time did not allow (`--seeds 1`: with fewer seeds, in less time). This notebook reads what it left; where this run has no table of its own, it shows the one that came with the code.

# %%
found = run.claims(tuple(ideas)) if ideas else read_claims(run.out, ideas=True)
table, answers = found.table, found.answers
display(Markdown("Computed here and now." if ideas else found.origin))
if len(answers):
    display(answers.drop(columns=["source"]).set_index("claim").round(3))

# %% [markdown]
# *held*: better in the test of the whole table, with as many training seeds as stand beside it (`seeds_first`, `seeds_second`). *could not be told*: not marked; the true difference is hardly larger than `difference_could_see`, and may well be 0. A table that was not computed says nothing.

# %%
for idea in IDEAS:
    mine = table[table["claim"] == idea.name] if len(table) else table
    if len(mine) > 1:
        display(plots.claim(mine, idea.sentence))

# %% [markdown]
# ## 8.3 The short ones
#
# Which of the ideas could help with *short* MEs, by what they change? Say it before you look at the column `recall, up to 5 frames`.

# %%
if len(table):
    columns = [c for c in table.columns if c.startswith("recall, ")]
    display(table.set_index(["claim", "level"])[columns].round(2))

# %% [markdown]
# **Takeaways.** One change at a time, with an equal budget and more than one seed, or one cannot say what helped. An idea that could not be told apart here may still be right elsewhere, and one that helps drawn faces may not help real ones.

# %%
run.record("08_further_ideas", ideas=answers.to_dict("records"))
