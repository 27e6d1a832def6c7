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
# # 2 · State transition regression
#
# A micro-expression (ME) is a short story told by the face: it is neutral, it leaves neutral at the **onset**, it is
# strongest at the **apex**, and it is back at the **offset**, all within half a second.
#
# Earlier systems cut the video into windows of one fixed length and asked of each window *"is this an ME?"*. ME-TST
# asks something else, of every frame: *"how much are we in the middle of one?"*. The answer is a **score** for every frame,
# computed by a **state-space model**: something with a memory, the state, that moves from neutral to ME at the onset and
# back at the offset. This is what the papers call *temporal state transition*.
#
# In this notebook we build that model from one line of calculus, check each step against a library or against
# itself, train it, and then look at its state while a face moves. You need a little linear algebra and Python.
#
# Sources: Mamba (arXiv 2312.00752), ME-TST (arXiv 2409.09707), ME-TST+ (arXiv 2508.08082).

# %% tags=["parameters"]
profile = "smoke"
dataset = "synthetic"
data_root = None
seed = 100
out_dir = "../runs/smoke"
data_options = {}  # of load_dataset
n_jobs = None  # videos or folds at once; None: as many as cores, up to 4

# %%
# %matplotlib inline
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from scipy.signal import cont2discrete

from metst_core import plots
from metst_core.decoding import decode, half_length, smooth, spot_intervals, spot_threshold
from metst_core.experiment import Run
from metst_core.metrics import interval_iou
from metst_core.models import METST, METSTPlus, predict_video
from metst_core.rois import ROIS
from metst_core.ssm import Mamba, available_backends, selective_scan
from metst_core.tables import of_video
from metst_core.training import train_fold
from metst_core.windows import frame_targets, stitch, unstitch

run = Run(profile, dataset, data_root, seed, out_dir, data_options, n_jobs)
motion = run.motion()  # says which notebook to run first if it is not there
torch.set_num_threads(1)  # these models are small: more threads only wait for each other
torch.manual_seed(seed)
rng = np.random.default_rng(seed)

# %% [markdown]
# ## 2.1 A memory with one knob: the linear state space
#
# Let $x(t)$ be a signal, say the vertical motion of a brow in pixels. A **linear state space** keeps a state $h(t)$ of $N$
# numbers, and reads an output $y(t)$ from it:
#
# $$ h'(t) = A\,h(t) + B\,x(t), \qquad y(t) = C\,h(t). $$
#
# $A$ says how the state decays when nothing happens, $B$ how the signal enters it, $C$ what we read from it. Mamba
# uses a diagonal $A$ with negative entries, so each of the $N$ numbers decays on its own, each with its own half-life
# $\ln 2 / |A_n|$. With $N = 1$, this is a leaky bucket.
#
# A video gives us $x$ only once per frame. If $x$ is held constant over one frame of length $\Delta$ (*zero-order
# hold*), the equation above can be solved exactly:
#
# $$ h_t = \bar A\,h_{t-1} + \bar B\,x_t, \qquad \bar A = e^{\Delta A}, \qquad \bar B = A^{-1}(e^{\Delta A} - 1)\,B. $$


# %%
def zero_order_hold(A, B, delta):
    """The exact step over a frame of length `delta`, for a diagonal A (Mamba, equation 4)."""
    A_bar = np.exp(delta * A)
    return A_bar, (A_bar - 1) / A * B


A, B, C, delta = np.array([-1.0, -4.0]), np.array([1.0, 1.0]), np.array([1.0, -0.5]), 0.1
A_bar, B_bar = zero_order_hold(A, B, delta)

# Check: SciPy's discretisation of the same system, by a general matrix exponential.
A_scipy, B_scipy, *_ = cont2discrete((np.diag(A), B[:, None], C[None], np.zeros((1, 1))), delta, method="zoh")
assert np.allclose(np.diag(A_bar), A_scipy)
assert np.allclose(B_bar, B_scipy[:, 0])

# %% [markdown]
# Mamba simplifies the second half: for small $\Delta A$, $\bar B \approx \Delta B$ (the first term of the series). It
# keeps $\bar A = e^{\Delta A}$. So from here on a step is
#
# $$ h_t = e^{\Delta A} h_{t-1} + \Delta B\,x_t. $$
#
# How good is "small"? For our two entries:

# %%
for a, exact, simple in zip(A, B_bar, delta * B, strict=True):
    print(f"ΔA = {delta * a:5.2f}: exact B̄ = {exact:.4f}, Mamba's ΔB = {simple:.4f}")
    assert abs(simple - exact) <= abs(delta * a) * simple  # the error is of first order in ΔA

# %% [markdown]
# ## 2.2 A recurrence is a convolution
#
# Unroll the recurrence: $h_0 = \bar B x_0$, $h_1 = \bar A\bar B x_0 + \bar B x_1$, and so on. So
#
# $$ y_t = \sum_{k=0}^{t} \underbrace{C \bar A^{k} \bar B}_{K_k}\; x_{t-k}: $$
#
# the output is the signal convolved with a fixed kernel $K$, the **impulse response**. As long as $A, B, C, \Delta$ stay the same
# for all frames, the model *is* a filter: it treats every frame alike.


# %%
def by_recurrence(x, A_bar, B_bar, C):
    h, y = np.zeros_like(A_bar), []
    for x_t in x:
        h = A_bar * h + B_bar * x_t
        y.append(C @ h)
    return np.array(y)


def by_convolution(x, A_bar, B_bar, C):
    kernel = np.array([C @ (A_bar**k * B_bar) for k in range(len(x))])
    return np.convolve(x, kernel)[: len(x)]


x = rng.normal(size=80)
assert np.allclose(by_recurrence(x, A_bar, B_bar, C), by_convolution(x, A_bar, B_bar, C))

# %% [markdown]
# Play with it: the sliders change the step $\Delta$, the decay $A$ and the gain $B$ of a state of one number. Two things
# to find: a **large step forgets** (the response is high and short), a **small step remembers** (low and long), and $\Delta$ and $A$
# work only through their product in the decay.


# %%
def impulse_figure(delta=0.1, A=-1.0, B=1.0):
    """The response to one impulse at frame 5, and the state after a step that lasts from frame 20 to 35."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 2.6), layout="constrained")
    frames = np.arange(60)
    impulse, step = (frames == 5).astype(float), ((frames >= 20) & (frames <= 35)).astype(float)
    for ax, signal, title in zip(
        axes, (impulse, step), ("impulse response", "answer to a step"), strict=True
    ):
        ax.step(frames, signal, where="mid", color=plots.TRUTH, label="x", linewidth=1)
        ax.plot(
            frames,
            by_recurrence(signal, np.exp([delta * A]), np.array([delta * B]), np.ones(1)),
            color="#0072B2",
            label="y = h",
        )
        ax.set(xlabel="frame", ylabel="value", title=f"{title}: Δ = {delta:g}, A = {A:g}, B = {B:g}")
        ax.legend(frameon=False)
    return figure


for step_size in (0.05, 0.5):
    plt.show(impulse_figure(step_size))

# %%
import ipywidgets as widgets

widgets.interact(
    lambda delta, A, B: plt.show(impulse_figure(delta, A, B)),
    delta=widgets.FloatLogSlider(value=0.1, base=10, min=-2.5, max=1, description="step Δ"),
    A=widgets.FloatSlider(value=-1, min=-8, max=-0.1, description="decay A"),
    B=widgets.FloatSlider(value=1, min=-3, max=3, description="gain B"),
)
# %% [markdown]
# ## 2.3 Selectivity: the signal turns the knobs
#
# A fixed filter cannot *decide*. It answers a brow twitch that matters and a camera shake that does not with the same kernel. Mamba's
# idea: let $\Delta$, $B$ and $C$ depend on the input at that frame,
#
# $$ \Delta_t = \mathrm{softplus}(W_\Delta u_t + b), \qquad B_t = W_B u_t, \qquad C_t = W_C u_t. $$
#
# Then a large $\Delta_t$ says *"this frame matters: forget what was, take this in"*, and $\Delta_t \approx 0$ says *"nothing new: keep what
# you have"*. The convolution is lost, because the kernel differs from frame to frame, but the recurrence stays.
#
# A small demonstration, with nothing learned: remember the value that $x$ has at the marked frames, ignore everything else. (It uses the exact zero-order hold,
# whose gain $1 - e^{-\Delta}$ never exceeds 1. With Mamba's $\Delta B$ the network itself must keep $B_t$ small where $\Delta_t$ is large.)

# %%
frames = 60
x = rng.normal(size=frames)
marked = np.zeros(frames, bool)
marked[[8, 30, 45]] = True
steps = np.where(marked, 50.0, 0.0)  # a large step at marked frames, none elsewhere
h, remembered = 0.0, []
for x_t, d_t in zip(x, steps, strict=True):
    h = np.exp(-d_t) * h + (1 - np.exp(-d_t)) * x_t  # A = -1, exact zero-order hold
    remembered.append(h)

assert np.allclose(remembered[8:30], x[8])
assert np.allclose(remembered[45:], x[45])

figure, ax = plt.subplots(figsize=(10, 2.4), layout="constrained")
ax.plot(x, color="#bbbbbb", label="x")
ax.plot(np.flatnonzero(marked), x[marked], "o", color="#D55E00", label="frames with a large step")
ax.step(range(frames), remembered, where="post", color="#0072B2", label="state")
ax.set(xlabel="frame", ylabel="value")
ax.legend(frameon=False, ncols=3)
plt.show(figure)

# %% [markdown]
# ## 2.4 The selective scan
#
# Run that recurrence for $D$ channels at once, each with a state of $N$ numbers, and read it out with $C_t$:
#
# $$ h_t = e^{\Delta_t A} \odot h_{t-1} + (\Delta_t u_t) \otimes B_t, \qquad y_t = h_t C_t + D \odot u_t. $$
#
# This loop is the **selective scan** (Mamba, algorithm 2). It is all there is to compute; everything else is
# matrix products.


# %%
def scan(u, delta, A, B, C, D):
    """u, delta (D, L), A (D, N), B, C (N, L), D (D) -> y (D, L)."""
    h, y = torch.zeros_like(A), []
    for t in range(u.shape[1]):
        h = torch.exp(delta[:, t, None] * A) * h + (delta[:, t] * u[:, t])[:, None] * B[:, t]
        y.append(h @ C[:, t] + D * u[:, t])
    return torch.stack(y, dim=1)


channels, states, length = 8, 16, 50
u, delta = torch.randn(channels, length), torch.rand(channels, length)
A, D = -torch.rand(channels, states), torch.randn(channels)
B, C = torch.randn(2, states, length)

for backend in available_backends():
    if backend in ("reference", "numba"):
        y = selective_scan(u[None], delta[None], A, B[None], C[None], D, backend=backend)
        assert torch.allclose(y[0], scan(u, delta, A, B, C, D), atol=1e-4), backend
        print(f"backend {backend!r} agrees with the loop above")

# %% [markdown]
# The package has several ways to run this one definition; each is tested against the readable loop in 64-bit floating point. On this machine:

# %%
pd.Series(available_backends(), name="how it runs").rename_axis("backend").to_frame()

# %% [markdown]
# ## 2.5 The Mamba block
#
# Around the scan sits a block that makes its inputs:
#
# 1. two linear maps of the input: `u` (the signal) and `z` (a gate);
# 2. a short causal convolution and the SiLU nonlinearity on `u`;
# 3. from `u`: $\Delta_t, B_t, C_t$;
# 4. the scan; times $\mathrm{SiLU}(z)$; one more linear map.
#
# Below, the same five lines by hand, on the weights of the package's `Mamba`, whose state dict is interchangeable with
# `mamba_ssm.Mamba`.


# %%
def mamba_by_hand(m, x):
    """x (1, L, d_model) through the weights of `m`, step by step."""
    u, z = m.in_proj(x).transpose(1, 2).chunk(2, dim=1)
    u = torch.nn.functional.silu(m.conv1d(u)[:, :, : x.shape[1]])
    delta, B, C = m.x_proj(u.transpose(1, 2)).split([m.dt_rank, m.d_state, m.d_state], dim=-1)
    delta = torch.nn.functional.softplus(m.dt_proj(delta))
    y = scan(u[0], delta[0].T, -torch.exp(m.A_log), B[0].T, C[0].T, m.D)
    return m.out_proj((y[None] * torch.nn.functional.silu(z)).transpose(1, 2))


block = Mamba(d_model=16, d_state=8)
x = torch.randn(1, 40, 16)
with torch.no_grad():
    assert torch.allclose(mamba_by_hand(block, x), block(x), atol=1e-5)
print(f"{sum(p.numel() for p in block.parameters())} parameters; the block by hand and the package's agree")

# %% [markdown]
# **It is causal**: the output at frame $t$ does not change when later frames do. That is what makes streaming possible, one frame in,
# one frame out, in constant memory. (The whole network looks a little ahead, because its stem convolves over neighbouring frames and, in
# ME-TST+, because its slow path pools pairs of frames. The delay, two frames for ME-TST and three for ME-TST+, is that of `metst_core.streaming`.)

# %%
changed = x.clone()
changed[:, 25:] += 1
with torch.no_grad():
    same = (block(x) - block(changed)).abs().amax(dim=(0, 2)) < 1e-6
assert same[:25].all()
assert not same[25:].any()

# %% [markdown]
# ## 2.6 The networks
#
# **ME-TST** puts a stem (two convolutions over time) and a stack of Mamba blocks on the ROI motion of five ROIs. **ME-TST+** reads
# eighteen ROIs, and each of its pathways is a pair: a *fast* path at full frame rate, a *slow* one at half of it and twice as wide, joined after
# each stage. Each has two heads: one number per frame (the score, through a sigmoid), and five (the emotion, neutral among them).
#
# The published sizes are 3.75 and 16.7 million parameters:

# %%
sizes = {"ME-TST": METST(), "ME-TST+": METSTPlus()}
table = pd.DataFrame(
    {
        name: {
            "ROIs": m.in_channels // 2,
            "parameters (million)": sum(p.numel() for p in m.parameters()) / 1e6,
        }
        for name, m in sizes.items()
    }
).T
assert table["parameters (million)"].round(2).tolist() == [3.75, 16.65]
table

# %% [markdown]
# ## 2.7 What the network is asked to say
#
# For training we need a target for every frame: the score is 1 strictly inside the ME (after the onset, before the offset), 0 elsewhere. The
# class is the emotion there, *neutral* elsewhere. The loss is
#
# $$ \mathcal L = 0.9\;\mathrm{MSE}(\text{score}) + 0.1\;\mathrm{CE}(\text{class}). $$
#
# Notebook 03 looks at every part of it.
#
# And the **regression** of the title? It is the last step. A pathway turns the window into features $f_t$, one vector per frame, in which the Mamba blocks have put
# what their states remember. One linear read-out, the same for every frame, makes the score of it:
#
# $$ \hat s_t = \sigma(w^\top f_t + b), \qquad \sigma(a) = 1 / (1 + e^{-a}). $$


# %%
def score_by_hand(model, x):
    """The score (B, T) of motion x (B, C, T): stem, spotting pathway, one read-out for every frame."""
    features = model.spotting(model.stem(x).transpose(1, 2))  # (B, T, 3 W): slow and fast path side by side
    w, b = model.score_head.weight[0], model.score_head.bias
    return 1 / (1 + torch.exp(-(features @ w + b)))


tiny, x = METSTPlus(width=16, blocks_per_stage=1, d_state=4).eval(), torch.randn(1, 36, 50)
with torch.no_grad():
    assert torch.allclose(score_by_hand(tiny, x), tiny(x)[0], atol=1e-6)
    assert tiny(x[:, :, :33])[0].shape == (1, 33)  # any length: nothing in it knows of windows

# %% [markdown]
# Here is one window of 50 frames with an ME in it: what goes in and what should come out.


# %%
def longest_me(subject):
    mine = motion.annotations[motion.annotations["subject"] == subject]
    return mine.loc[(mine["offset"] - mine["onset"]).idxmax()]


held_out = motion.annotations["subject"].iloc[0]
me = longest_me(held_out)
windows = motion.windows[me.subject, me.video]
n_frames = motion.n_frames(me.subject, me.video)
mine = of_video(motion.annotations, me.subject, me.video)
target, target_class = frame_targets(mine, n_frames)
w = min(int(me.apex) // (motion.window // 2), len(windows) - 1)  # a window that holds the apex
first = w * motion.window // 2
span = slice(first, first + motion.window)
assert target[me.onset] == target[me.offset] == 0
assert target[me.onset + 1 : me.offset].all()

figure, axes = plt.subplots(2, 1, figsize=(10, 4), sharex=True, layout="constrained")
time = (first + np.arange(motion.window)) / motion.fps
parents = [roi.parent or roi.name for roi in ROIS]  # a fine ROI is a lighter shade of its parent
for r, roi in enumerate(ROIS):
    label = parents[r] if parents.index(parents[r]) == r else None
    axes[0].plot(time, windows[w, 2 * r + 1], color=plots.ROI_COLOURS[roi.name], linewidth=1, label=label)
axes[0].legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
axes[0].set(
    ylabel="vertical motion (px)", title="in: the motion of 18 ROIs; out: how much of an ME is each frame?"
)
axes[1].step(time[: len(target[span])], target[span], where="mid", color=plots.TRUTH)
axes[1].set(xlabel="time in the video (s)", ylabel="target score (0 or 1)")
plt.show(figure)

# %% [markdown]
# ## 2.8 Train one, and watch its state
#
# We hold one subject out, train a small ME-TST+ on the others (seconds to a few minutes, depending on the profile), and look at a video of the held-out
# subject. `train_fold` is the function that the full experiment of notebook 03 calls for every subject in turn.

# %%
config = run.config("metst_plus")
fold = train_fold(motion, held_out, config)
fold.model.cpu()  # where it was trained on a GPU: what follows is small
score, probabilities = predict_video(fold.model, windows, n_frames=n_frames)
k_p = half_length(
    motion.annotations[motion.annotations["subject"] != held_out]
)  # not from the held-out subject
table = decode(score, probabilities, k_p, subject=me.subject, video=me.video)
smoothed = smooth(score, k_p)
line = plots.ScoreLine(score, motion.fps, smoothed, spot_threshold(smoothed))
figure = plots.score_timeline(line, mine, table, title=f"a video of subject {held_out}, whom the network has never seen")  # fmt: skip
run.figure(
    figure,
    "02a_score",
    "The score of every frame of a video from a subject held out of training; bands: predicted intervals above, true ones below.",
)

# %% [markdown]
# Now the state itself. We let windows pass through the trained network, catch the input of a Mamba block of the spotting pathway, and ask the
# block for its `states`: for each of the $D$ channels $N$ numbers, at each frame, and the step sizes that it chose.


# %%
def look_inside(model, mamba, windows):
    """States (n, T, D N) and step sizes (n, T, D) of one Mamba block while windows (n, C, T) pass through."""
    caught = []
    hook = mamba.register_forward_pre_hook(lambda _, args: caught.append(args[0]))
    with torch.no_grad():
        model.eval()(torch.from_numpy(np.ascontiguousarray(windows)))
    hook.remove()
    h, delta = mamba.states(caught[0])
    return h.flatten(1, 2).transpose(1, 2).numpy(), delta.transpose(1, 2).numpy()


block = fold.model.spotting.fast[-1][-1].mamba  # the last block of the fast path

# %% [markdown]
# A state of hundreds of numbers cannot be looked at, so we ask one question of it: **where is it on the way from neutral to ME?** On windows of the *training* subjects we take
# the mean state of neutral frames, $\bar h_0$, and of ME frames, $\bar h_1$. The position of any state is how far it has gone from the one towards the other, each component
# counted by how well it tells the two apart: $w = (\bar h_1 - \bar h_0) / v_0$, with $v_0$ its variance over neutral frames (what wanders anyway counts little). It is 0 at $\bar h_0$ and 1 at $\bar h_1$:
#
# $$ p_t = \frac{w^\top (h_t - \bar h_0)}{w^\top (\bar h_1 - \bar h_0)}. $$
#
# Then we look at the subject whom the network has never seen.

# %%
seen = [key for key in motion.windows if key[0] != held_out]
truth = {
    key: frame_targets(of_video(motion.annotations, *key), motion.n_frames(*key))[0] for key in motion.windows
}
x_seen = np.concatenate([motion.windows[key] for key in seen])
y_seen = np.concatenate([unstitch(truth[key], motion.window) for key in seen])
some = np.flatnonzero(y_seen.any(axis=1))[:64]  # windows with an ME; they hold neutral frames too
h_seen, steps_seen = look_inside(fold.model, block, x_seen[some])
inside = y_seen[some] == 1
h0, h1, v0 = h_seen[~inside].mean(axis=0), h_seen[inside].mean(axis=0), h_seen[~inside].var(axis=0)
weight = (h1 - h0) / (v0 + 1e-3 * v0.mean())  # a component that never moves must not count without end


def position(h):
    """Where states (..., D N) are between neutral (0) and ME (1)."""
    return (h - h0) @ weight / ((h1 - h0) @ weight)


assert np.isclose(position(h_seen[~inside]).mean(), 0, atol=1e-3)
assert np.isclose(position(h_seen[inside]).mean(), 1, atol=1e-3)

# the step sizes, and the channel whose step differs most between neutral and ME frames of these windows
relative = steps_seen / np.median(steps_seen, axis=(0, 1)) - 1
channel = int(np.abs(relative[inside].mean(axis=0) - relative[~inside].mean(axis=0)).argmax())

# %%
h, steps = (part[0][: len(target[span])] for part in look_inside(fold.model, block, windows[[w]]))
intensity = run.truth(me.subject, me.video)
true_curve = target[span] if intensity is None else intensity.to_numpy()[span].max(axis=1)
separation = (h1 - h0) ** 2 / (v0 + 1e-3 * v0.mean())
chosen = np.argsort(separation)[-40:]  # what tells ME from neutral best, on the training subjects
peak = np.argsort(np.abs(h[:, chosen] - h0[chosen]).argmax(axis=0))
figure = plots.state_strip(h[:, chosen[peak]].T, motion.fps, true_curve, score[span][: len(h)], position(h),
                           "truth and score; the hidden state; its position between neutral and ME")  # fmt: skip
figure.axes[2].set_ylabel("position of the state\n0 neutral, 1 ME")
figure.axes[2].axhspan(0, 1, color="#eeeeee", zorder=0)
run.figure(
    figure,
    "02b_state",
    "One window of an unseen subject: true intensity and score, the hidden state of the last fast Mamba block, and its position between the mean neutral and the mean ME state of the training subjects.",
)

# %% [markdown]
# (The first frames of a window are the state filling up from zero; that is not a movement of the face.)
#
# One window is an anecdote. So we line up **all** MEs of the unseen subject, once at their onset and once at their offset, and draw what the face does, where the state is, and the step $\Delta$
# of the channel that reacts most.


# %%
def whole_video(key):
    """Per frame: true intensity (its maximum over action units), position of the state, relative step size."""
    h, steps = look_inside(fold.model, block, motion.windows[key])
    curve, n = run.truth(*key), motion.n_frames(*key)
    curve = truth[key] if curve is None else curve.to_numpy()[:n].max(axis=1)
    where, step = (stitch(part, n_frames=n) for part in (position(h), steps[:, :, channel]))
    return np.stack([curve, where, 100 * (step / np.median(step) - 1)])


around = np.arange(-12, 13)
aligned = {"onset": [], "offset": []}
for key in [key for key in motion.windows if key[0] == held_out]:
    rows = whole_video(key)
    for edge, found in aligned.items():
        for frame in of_video(motion.annotations, *key)[edge]:
            if frame + around[0] >= 0 and frame + around[-1] < rows.shape[1]:
                found.append(rows[:, frame + around])
aligned = {edge: np.array(found).reshape(-1, 3, len(around)) for edge, found in aligned.items()}

figure, axes = plt.subplots(3, 2, figsize=(10, 6), sharex=True, sharey="row", layout="constrained")
labels = (
    "true AU intensity\n(inter-ocular distances)",
    "position of the state\n0 neutral, 1 ME",
    f"step Δ of channel {channel}\n(% from its median)",
)
for column, (edge, found) in zip(axes.T, aligned.items(), strict=True):
    for row, (ax, label, colour) in enumerate(
        zip(column, labels, (plots.TRUTH, "#0072B2", "#D55E00"), strict=True)
    ):
        ax.plot(around / motion.fps, found[:, row].T, color=colour, alpha=0.2, linewidth=0.8)
        ax.plot(around / motion.fps, found[:, row].mean(axis=0), color=colour, linewidth=2.5)
        ax.axvline(0, color="#999999", linestyle="--", linewidth=1)
        if edge == "onset":
            ax.set_ylabel(label)
    column[0].set_title(f"{len(found)} MEs at their {edge}")
    column[-1].set_xlabel(f"time from the {edge} (s)")
run.figure(
    figure,
    "02c_transition",
    "All micro-expressions of an unseen subject, aligned at onset and at offset: true intensity, position of the hidden state, and the step size of one channel; thick: mean.",
)

# %% [markdown]
# The same in numbers: means over these MEs.

# %%
before, after = around < -2, around > 5
during_first, during_last = (around > 2) & (around < 6), (around > -6) & (around < -2)
moments = {
    "before the onset": ("onset", before),
    "3 to 5 frames after the onset": ("onset", during_first),
    "5 to 3 frames before the offset": ("offset", during_last),
    "6 and more frames after the offset": ("offset", after),
}
near = pd.DataFrame(
    {
        moment: dict(
            zip(
                ("true intensity", "position of the state", "step Δ (% from median)"),
                aligned[edge][:, :, at].mean(axis=(0, 2)),
                strict=True,
            )
        )
        for moment, (edge, at) in moments.items()
    }
).T
near.round(3)

# %% [markdown]
# Read the position from left to right: near 0 while the face is neutral; it leaves at the onset, a little late, because a state must first *collect* evidence; it comes back after the offset, later still, because it
# must *forget*. This is the temporal state transition of the title. (After the *smoke* profile's few training steps it may be weak or absent; the *default* profile trains enough to show it.)
#
# And $\Delta$? Look at the numbers on its axis. How much it changes is a measurement, not a promise of the theory: a network may just as well select through $B_t$ and $C_t$, which
# also depend on the frame. The published initialisation (weights of standard deviation 0.02) starts with steps that hardly depend on the input; it takes training to change that.

# %% [markdown]
# ## 2.9 Why regression, and not windows?
#
# A sliding-window system cuts the video into windows of $L$ frames and asks of each *"is this an ME?"*. What it reports is a window, so its interval has $L$ frames, whatever the face did. Even placed perfectly
# around an ME of $n$ frames, its overlap is at most
#
# $$ \mathrm{IoU} \le \frac{\min(L, n)}{\max(L, n)}, $$
#
# and an interval counts as found from an IoU of 0.5. No training can lift that ceiling. Here it is for the lengths we will use, at 30 frames per second (an interval includes both its ends):

# %%
fps, length, me_seconds = 30, 100, (0.15, 0.5)
window_lengths = {"windows of 0.37 s": 11, "windows of 0.57 s": 17}


def n_frames_of(seconds):
    """Frames from onset to offset, both included."""
    return int(np.rint(fps * seconds)) + 1


ceiling = pd.DataFrame(
    {
        f"ME of {t} s": {
            name: min(L, n_frames_of(t)) / max(L, n_frames_of(t)) for name, L in window_lengths.items()
        }
        for t in me_seconds
    }
)
assert (ceiling["ME of 0.15 s"] < 0.5).all()  # no window of these lengths can find the short one
ceiling.round(2)

# %% [markdown]
# Now with trained networks, where nothing else interferes: a one-channel toy world in which an ME is a bump of 0.1 to 0.5 s in noise and slow drift. All learners see the same 400 sequences, as often:
#
# * **windows**: a small network that sees $L$ frames and says whether an ME covers them (their IoU is at least 0.5); $L$ is the mean length of an ME, or a little more than the longest;
# * **regression**: a two-block ME-TST that sees the sequence and gives a score for every frame;
# * and, to see *what* makes the difference, a **frame score without a state**: the window network, asked for the score of its middle frame instead.


# %%
def toy(n, seconds, generator):
    """n sequences (n, 1, T) with one bump each, their targets (n, T) and intervals (n, 2)."""
    t = np.arange(length)
    on = generator.integers(25, 60, n)
    duration = np.maximum(3, np.rint(fps * generator.uniform(*seconds, n)).astype(int))
    phase = (t - on[:, None]) / duration[:, None]
    inside = (phase > 0) & (phase < 1)
    bump = np.where(inside, np.sin(np.pi * phase) ** 2, 0)
    drift = np.cumsum(generator.normal(0, 0.05, (n, length)), axis=1)
    x = bump + drift + generator.normal(0, 0.1, (n, length))
    return x[:, None].astype(np.float32), inside.astype(np.float32), np.stack([on, on + duration], axis=1)


toy_rng = np.random.default_rng(seed)
x_train, y_train, spans = toy(400, (0.1, 0.5), toy_rng)
toy_k_p = half_length(pd.DataFrame(spans, columns=["onset", "offset"]))
print(f"mean length {np.diff(spans, axis=1).mean():.1f} frames, so the half length is k_p = {toy_k_p}")


# %%
def patches(x, L):
    """(n, 1, T) -> (n, T, L): the L frames around each frame, relative to the first of them."""
    around = np.pad(x[:, 0], ((0, 0), (L // 2, L // 2)), mode="edge")
    views = np.lib.stride_tricks.sliding_window_view(around, L, axis=1)
    return torch.from_numpy(views - views[..., :1])


def covered(spans, L):
    """(n, T): 1 where the window of L frames around the frame and the ME have an IoU of at least 0.5."""
    centre, (onset, offset) = np.arange(length), spans.T[:, :, None]
    shared = np.minimum(centre + L // 2, offset) - np.maximum(centre - L // 2, onset) + 1
    return (shared.clip(0) / (L + offset - onset + 1 - shared.clip(0)) >= 0.5).astype(np.float32)


def train(model, inputs, targets, steps=400, rate=3e-3):
    """The same schedule for every learner: squared error, 400 steps of 32 sequences."""
    optimizer, order = torch.optim.Adam(model.parameters(), rate), torch.Generator().manual_seed(seed)
    for _ in range(steps):
        batch = torch.randint(len(inputs), (32,), generator=order)
        answer = model(inputs[batch])
        answer = answer[0] if isinstance(answer, tuple) else answer.squeeze(-1)
        loss = torch.nn.functional.mse_loss(answer, torch.from_numpy(targets)[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def window_network(L):
    nn = torch.nn
    return nn.Sequential(
        nn.Linear(L, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1), nn.Sigmoid()
    )


torch.manual_seed(seed)
regression = train(METST(in_channels=1, width=16, depth=2, d_state=8), torch.from_numpy(x_train), y_train)
learners = {"regression": lambda x: regression(torch.from_numpy(x))[0]}
for name, L in window_lengths.items():
    classifier = train(window_network(L), patches(x_train, L), covered(spans, L))
    learners[name] = lambda x, classifier=classifier, L=L: classifier(patches(x, L)).squeeze(-1)
stateless = train(window_network(L), patches(x_train, L), y_train)
learners["frame score, no state"] = lambda x: stateless(patches(x, L)).squeeze(-1)

# %% [markdown]
# All are asked for MEs of 0.15 s and of 0.5 s. Windows report windows: the peak of their answer $\pm L/2$ (`fixed`). A score per frame can be decoded in two ways: also `fixed`, the peak $\pm k_p$ (ME-TST and ME-TST+), or
# `extensible`, reading onset and offset off the score (BoostingVRME).

# %%
ways = [(name, "fixed", L // 2) for name, L in window_lengths.items()]
ways += [
    (name, how, toy_k_p)
    for name in ("frame score, no state", "regression")
    for how in ("fixed", "extensible")
]


def overlap(intervals, span):
    """IoU of the best of the intervals with the true one; 0 if there is none."""
    return max((interval_iou((onset, offset), tuple(span)) for onset, _, offset in intervals), default=0.0)


rows_toy, drawn = [], {}
for seconds in me_seconds:
    x_test, y_test, spans_test = toy(200, (seconds, seconds), toy_rng)
    with torch.no_grad():
        answers = {name: answer(x_test).numpy() for name, answer in learners.items()}
    for name, how, half in ways:
        found = [spot_intervals(s, half, strategy=how) for s in answers[name]]
        iou = np.array([overlap(intervals, span) for intervals, span in zip(found, spans_test, strict=True)])
        alarms = np.mean([len(intervals) for intervals in found]) - (iou >= 0.5).mean()
        rows_toy.append((f"{name}, {how}", f"{seconds} s", iou.mean(), (iou >= 0.5).mean(), alarms))
        drawn[seconds, f"{name}, {how}"] = (answers[name][0], found[0])
    drawn[seconds] = (x_test[0, 0], y_test[0], spans_test[0])
measured = ("mean IoU", "found (IoU ≥ 0.5)", "false alarms per sequence")
contrast = pd.DataFrame(rows_toy, columns=["method", "ME", *measured]).pivot(index="method", columns="ME")
contrast = contrast.loc[[f"{name}, {how}" for name, how, _ in ways]]
contrast.round(2)

# %%
shown = {"windows of 0.37 s, fixed": "#D55E00", "regression, extensible": "#0072B2"}
figure, axes = plt.subplots(2, 2, figsize=(10, 4.6), sharex=True, sharey="row", layout="constrained")
for column, seconds in zip(axes.T, me_seconds, strict=True):
    signal, target_here, (onset, offset) = drawn[seconds]
    column[0].plot(np.arange(length) / fps, signal, color="#777777")
    column[0].set_title(f"an ME of {seconds} s")
    column[1].fill_between(np.arange(length) / fps, target_here, color="#cccccc", step="mid", label="target")
    column[1].plot(
        [onset / fps, offset / fps], [-0.1, -0.1], color=plots.TRUTH, linewidth=5, label="true interval"
    )
    for row, (name, colour) in enumerate(shown.items()):
        answer, intervals = drawn[seconds, name]
        column[1].plot(np.arange(length) / fps, answer, color=colour, label=name)
        for first_frame, _, last_frame in intervals:
            column[1].plot(
                [first_frame / fps, last_frame / fps], [-0.2 - 0.1 * row] * 2, color=colour, linewidth=5
            )
    column[1].set(xlabel="time (s)", ylim=(-0.38, 1.05))
axes[0, 0].set_ylabel("toy motion")
axes[1, 0].set_ylabel("answer (0 to 1);\nbars: intervals")
figure.legend(
    *axes[1, 0].get_legend_handles_labels(), loc="outside lower center", frameon=False, ncols=4, fontsize=8
)
run.figure(
    figure,
    "02d_contrast",
    "A toy world: what a window classifier and frame-wise regression answer to a short and a long micro-expression, and the intervals they report.",
)

# %%
iou = contrast["mean IoU"]
print(
    "Mean IoU at 0.15 s and at 0.5 s:",
    *(f"  {name:34s} {iou['0.15 s'][name]:.2f}  {iou['0.5 s'][name]:.2f}" for name in contrast.index),
    sep="\n",
)
print("the largest mean IoU:", ", ".join(f"{iou[t].idxmax()} at {t}" for t in iou.columns))
for name in window_lengths:  # the ceiling holds, whatever was learned
    for t in me_seconds:
        assert iou[f"{t} s"][f"{name}, fixed"] <= ceiling.loc[name, f"ME of {t} s"] + 1e-9

# %% [markdown]
# **So why does regression beat windows here?** You can read it off the two tables (made with the default seed):
#
# 1. *A window has one length, MEs have many.* The window of the mean length runs into its ceiling at 0.15 s, where it finds none; the longer one does better at 0.5 s and still worse at 0.15 s. No $L$ serves both.
# 2. *A score per frame has a width, and that width is the ME's.* Decoded with the `extensible` interval, one network finds both lengths; what overlaps best at each is printed above.
# 3. *The width helps only if the decoding uses it.* With the `fixed` interval regression is cut back to one length, and the short ME is lost again.
#
# And what does **not** follow from this toy world: that the *state* is what wins. Compare *frame score, no state*: it asks the same question of every frame with 17 frames of sight and no memory, and does as well on these simple bumps. The gain here comes from asking
# every frame. What the state adds, when context is longer than a patch and faces do more than bump, is measured on faces in notebook 04, where the sliding-window network is one of the rivals.
#
# ## 2.10 One pathway or two?
#
# *Synergy at the feature level*: spotting and recognition look at the same face, so they may share what they learn. In ME-TST+ both tasks share the stem, and each has its own pathway (`separate`); in BoostingVRME they share
# everything up to the heads (`shared`). Sharing halves the network; whether it helps is a question for data. A small measurement, same data and schedule:


# %%
def held_out_errors(fold):
    """Squared error of the score over all frames, and the share of ME frames given their emotion (neutral left out)."""
    squares, named = [], []
    for key, (score, probabilities) in fold.traces.items():
        wanted, emotion = frame_targets(of_video(motion.annotations, *key), len(score))
        squares.append((score - wanted) ** 2)
        named.append(probabilities[wanted == 1, :-1].argmax(axis=1) == emotion[wanted == 1])
    return np.concatenate(squares).mean(), np.concatenate(named).mean()


rows = []
for pathways in ("separate", "shared"):
    variant = (
        fold
        if pathways == config.pathways
        else train_fold(motion, held_out, run.config("metst_plus", pathways=pathways))
    )
    n_parameters = sum(p.numel() for p in variant.model.parameters())
    training = variant.history[["score_loss", "class_loss"]].iloc[-1]
    rows.append((pathways, n_parameters, *training, *held_out_errors(variant)))
columns = ["pathways", "parameters", "score loss (training)", "class loss (training)",
           "squared error (held out)", "ME frames named right (held out)"]  # fmt: skip
pathway_table = pd.DataFrame(rows, columns=columns)
assert pathway_table["parameters"][1] < pathway_table["parameters"][0]
pathway_table.round(4)

# %% [markdown]
# Which weights the gradients of the two tasks reach, and in which they meet, is looked up in notebook 03 (section 3.6): with `separate` pathways in the stem alone, with a `shared` one everywhere
# but in the two read-outs. What it is worth stands in the last two columns. One fold and one seed cannot settle it; the ablation table (`metst ablate`) repeats it over all subjects, with intervals.
#
# ## 2.11 Glossary
#
# | in the code | in the papers | shape | meaning |
# |---|---|---|---|
# | `x` (`motion`) | $x$ | (B, C, T) | ROI motion, pixels of the 320 crop |
# | `u` | $x$ of the SSM | (B, D, L) | input of the scan, one channel of the block |
# | `delta` | $\Delta$ | (B, D, L) | step size, chosen per frame and channel |
# | `A` (`A_log`) | $A$ | (D, N) | decay, negative; stored as $\log(-A)$ |
# | `B`, `C` | $B$, $C$ | (B, N, L) | how the signal enters the state, how it is read |
# | `D` | $D$ | (D) | skip connection |
# | `z` | gate | (B, D, L) | multiplies the scan's output after SiLU |
# | `h`, states | $h(t)$ | (B, D, N) per frame | the hidden state: the temporal state of the title |
# | score | $\hat y_{spot}$ | (B, T) | how much of an ME, 0 to 1 |
# | logits | $\hat y_{recog}$ | (B, T, 5) | emotion: negative, positive, surprise, others, neutral |
# | `k_p`, half length | $k_p$ | – | half the mean length of an ME, in frames |
#
# ## 2.12 Exercises
#
# **1.** With $A=-1$, how many frames does a state need to fall to half, if $\Delta = 0.1$? Compute it and check it with the recurrence.

# %% tags=["solution"]
half_life = np.log(2) / 0.1
response = by_recurrence(np.eye(1, 60)[0], np.exp([-0.1]), np.ones(1), np.ones(1))
assert response[int(np.floor(half_life))] > 0.5 > response[int(np.ceil(half_life))]
print(f"{half_life:.1f} frames")

# %% [markdown]
# **2.** The recurrence needs $T$ steps one after the other. Show that two steps can be merged into one: find $(a, b)$ with $h_2 = a\,h_0 + b$. (This is why a *parallel* scan exists.)

# %% tags=["solution"]
(a1, b1), (a2, b2) = rng.uniform(0.1, 0.9, (2, 2))
h0 = rng.normal()
assert np.isclose(a2 * (a1 * h0 + b1) + b2, (a2 * a1) * h0 + (a2 * b1 + b2))  # a = a2 a1, b = a2 b1 + b2

# %% [markdown]
# **3.** Feed a window and the same window delayed by five frames (five zero columns in front) to a Mamba block. Are the outputs shifted copies of each other? (Set the convolution's bias to zero first. Why is that needed?)

# %% tags=["solution"]
layer = Mamba(d_model=8, d_state=4)
sequence = torch.randn(1, 30, 8)
delayed = torch.cat([torch.zeros(1, 5, 8), sequence], dim=1)
with torch.no_grad():
    layer.conv1d.bias.zero_()  # else the bias, not the zeros, enters the state during the delay
    plain, late = layer(sequence), layer(delayed)
assert torch.allclose(plain, late[:, 5:], atol=1e-5)

# %%
run.record(
    "02_state_transition_regression",
    state_transition={
        "held_out": held_out,
        "moments": near.to_dict("index"),
        "toy_contrast": [
            dict(zip(("method", "me_length", "mean_iou", "share_iou_half", "false_alarms"), row, strict=True))
            for row in rows_toy
        ],
        "pathways": pathway_table.to_dict("records"),
    },
)
