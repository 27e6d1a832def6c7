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
# | part | minutes | afterwards you can |
# |---|---|---|
# | **A · A state space** (2.1 to 2.5) | 30 | write the selective scan in five lines, and say what Δ, B and C do |
# | **B · The networks** (2.6 to 2.9) | 30 | draw ME-TST+ from memory, train one, and read its hidden state |
# | **C · What decides?** (2.10) | 20 | say what asking every frame buys, and what the decoding takes away again |
#
# Each part stands for itself; in a hurry, read the takeaways at their ends.
#
# ## Words, before they are used
#
# | word | in the code | in the papers | shape | meaning |
# |---|---|---|---|---|
# | motion | `x` | $x$ | (B, C, T) | ROI motion of T frames, pixels of the 320 crop; C = 2 × ROIs |
# | signal | `u` | $x$ of the SSM | (B, D, L) | input of the scan, one channel of the block |
# | step | `delta` | $\Delta$ | (B, D, L) | how much time passes at a frame; chosen per frame and channel |
# | decay | `A` (`A_log`) | $A$ | (D, N) | how fast the state forgets, negative; stored as $\log(-A)$ |
# | input, read-out | `B`, `C` | $B$, $C$ | (B, N, L) | how the signal enters the state, how it is read |
# | skip | `D` | $D$ | (D) | what goes past the state |
# | gate | `z` | gate | (B, D, L) | multiplies the scan's output after SiLU, $a \cdot \sigma(a)$ |
# | state | `h` | $h(t)$ | (B, D, N) per frame | what the network remembers: the temporal state of the title |
# | score | `score` | $\hat y_{spot}$ | (B, T) | how much of an ME a frame is, 0 to 1 |
# | logits | `logits` | $\hat y_{recog}$ | (B, T, 5) | emotion: negative, positive, surprise, others, neutral |
# | half length | `k_p` | $k_p$ | – | half the mean length of an ME, in frames |
# | IoU | `interval_iou` | IoU | – | frames that two intervals share, as a share of those that either covers |
#
# Sources: Mamba (arXiv 2312.00752), ME-TST (arXiv 2409.09707), ME-TST+ (arXiv 2508.08082).

# %% tags=["parameters"]
# "by hand": start from the prepared run that came with the notebooks, or, without one, from a small run of this machine.
profile = "by hand"
dataset = "synthetic"
data_root = None
seed = 100
out_dir = "../runs/by_hand"
data_options = {}  # of load_dataset
n_jobs = None  # videos or folds at once; None: as many as cores, up to 4

# %%
# %matplotlib inline
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown
from scipy.signal import cont2discrete

from metst_core import plots
from metst_core.decoding import decode, half_length, smooth, spot_threshold
from metst_core.experiment import Run, ahead, by_hand, check
from metst_core.experiment.exercises import LENGTHS_OF_MES, findable
from metst_core.experiment.toy import ceiling, n_frames_of, what_decides
from metst_core.metrics import interval_iou
from metst_core.models import METST, METSTPlus, predict_video
from metst_core.rois import ROIS
from metst_core.ssm import Mamba, available_backends, selective_scan
from metst_core.tables import of_video
from metst_core.windows import frame_targets, stitch, unstitch

if profile == "by hand":
    run = by_hand(out_dir, n_jobs)
    profile, seed = run.profile_name, run.seed
else:
    run = Run(profile, dataset, data_root, seed, out_dir, data_options, n_jobs)
motion = run.motion()  # says which notebook to run first if it is not there
torch.set_num_threads(1)  # these models are small: more threads only wait for each other
torch.manual_seed(seed)
rng = np.random.default_rng(seed)

# %% [markdown]
# ## Part A · A state space (30 minutes)
#
# ### 2.1 A memory with one knob: the linear state space
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
# ### 2.2 A recurrence is a convolution
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
# The answer to a step of height 1 can go beyond 1 (with $A = -1$ and a step $\Delta = 0.5$ it settles at 1.27). That is no memory at work but the simplification of above: $\Delta B$ in the place of the exact
# $\bar B$, an Euler step for the input, is too large by the factor $\Delta / (1 - e^{-\Delta})$ here. The exact hold never exceeds 1:

# %%
for step_size in (0.05, 0.5):
    euler, exact = step_size / (1 - np.exp(-step_size)), 1.0
    settled = by_recurrence(np.ones(400), np.exp([-step_size]), np.array([step_size]), np.ones(1))[-1]
    assert np.isclose(settled, euler)
    print(f"Δ = {step_size}: settles at {settled:.2f} with Mamba's ΔB, at {exact:.0f} with the exact hold")

# %% [markdown]
# ### 2.3 Selectivity: the signal turns the knobs
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
# ### 2.4 The selective scan
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
# ### 2.5 Selectivity, seen
#
# In 2.3 we set the steps by hand. Does a network *find* them? The task: two channels, a random value and a mark; at every frame, say the value that stood at the last mark. Nothing but a mark tells which value counts, so
# no fixed filter can do it. Below, the best fixed filter there is (least squares over 40 frames of both channels), and one Mamba block of 16 channels, trained for some seconds.


# %%
def recall_task(n, frames=40):
    """n sequences (n, frames, 2) of values and marks, and the value at the last mark (n, frames)."""
    value, marked = rng.normal(size=(n, frames)), rng.random((n, frames)) < 0.08
    marked[:, 0] = True
    last = np.maximum.accumulate(np.where(marked, np.arange(frames), 0), axis=1)
    wanted = np.take_along_axis(value, last, axis=1)
    return torch.tensor(np.stack([value, marked], axis=2)).float(), torch.tensor(wanted).float()


class Recall(torch.nn.Module):
    """A linear map in, one Mamba block, a linear map out."""

    def __init__(self):
        super().__init__()
        self.embed, self.read = torch.nn.Linear(2, 16), torch.nn.Linear(16, 1)
        self.mamba = Mamba(16, d_state=4, d_conv=1)  # no convolution: only the state remembers

    def forward(self, x):
        return self.read(self.mamba(self.embed(x))).squeeze(-1)


recall, n_steps = Recall(), 150 if profile == "smoke" else 300
optimiser = torch.optim.Adam(recall.parameters(), 2e-2)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-2, total_steps=n_steps)
for _ in range(n_steps):
    x, wanted = recall_task(32)
    loss = ((recall(x) - wanted) ** 2).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    schedule.step()


def delays(x, frames=40):
    """Every value and mark of the last `frames` frames, (n T, 2 frames): what a fixed filter weighs."""
    past = [np.pad(x, ((0, 0), (k, 0), (0, 0)))[:, : x.shape[1]] for k in range(frames)]
    return np.concatenate(past, axis=2).reshape(-1, 2 * frames)


(x_fit, y_fit), (x_new, y_new) = recall_task(400), recall_task(200)
weights, *_ = np.linalg.lstsq(delays(x_fit.numpy()), y_fit.numpy().ravel(), rcond=None)
by_filter = delays(x_new.numpy()) @ weights
with torch.no_grad():
    answer = recall(x_new)
errors = {
    "best fixed filter": float(((by_filter - y_new.numpy().ravel()) ** 2).mean()),
    "one Mamba block": float(((answer - y_new) ** 2).mean()),
}
print(
    ", ".join(f"{name}: squared error {error:.3f}" for name, error in errors.items()),
    "(1 is knowing nothing)",
)
assert errors["one Mamba block"] < errors["best fixed filter"] / 4

# %% [markdown]
# What has it learned? Here are $\Delta_t$, $B_t$ and $C_t$ of a new sequence, of the channel whose step follows the marks best.


# %%
def selection(m, x):
    """What a block chooses for x (1, L, d_model): signal u, gate z (1, D, L), steps (1, L, D), B and C (1, L, N)."""
    u, z = m.in_proj(x).transpose(1, 2).chunk(2, dim=1)
    u = torch.nn.functional.silu(m.conv1d(u)[:, :, : x.shape[1]])
    delta, B, C = m.x_proj(u.transpose(1, 2)).split([m.dt_rank, m.d_state, m.d_state], dim=-1)
    return u, z, torch.nn.functional.softplus(m.dt_proj(delta)), B, C


with torch.no_grad():
    _, _, chosen_steps, B_t, C_t = selection(recall.mamba, recall.embed(x_new))
marked_new = x_new[:, :, 1] == 1
ratio = chosen_steps[marked_new].mean(dim=0) / chosen_steps[~marked_new].mean(dim=0)
best = int(ratio.argmax())
print(
    f"at marked frames the step of channel {best} is {ratio[best]:,.0f} times that at the others (mean over {len(x_new)} sequences)"
)
one = int((marked_new.sum(dim=1) >= 4).nonzero()[0])  # the first sequence with four marks or more
marks, steps_here = marked_new[one].numpy(), chosen_steps[one].numpy()

figure, axes = plt.subplots(4, 1, figsize=(10, 5.6), sharex=True, layout="constrained")
frames_here = np.arange(len(marks))
axes[0].plot(x_new[one, :, 0], ".-", color="#bbbbbb", label="value")
axes[0].plot(frames_here[marks], x_new[one, marks, 0], "o", color="#D55E00", label="marked")
axes[0].step(frames_here, y_new[one], where="mid", color=plots.TRUTH, label="wanted")
axes[0].step(frames_here, answer[one], where="mid", color="#0072B2", linestyle="--", label="said")
axes[0].legend(frameon=False, ncols=4, fontsize=8, loc="upper right")
axes[1].semilogy(frames_here, steps_here[:, best], ".-", color="#D55E00")
for ax, values, name in ((axes[2], B_t[one], "$B_t$"), (axes[3], C_t[one], "$C_t$")):
    ax.plot(frames_here, values, linewidth=1)
    ax.set_ylabel(f"{name}, {values.shape[1]} numbers")
axes[0].set_ylabel("value")
axes[1].set_ylabel("step $\\Delta_t$")
axes[3].set_xlabel("frame")
for ax in axes:
    for frame in frames_here[marks]:
        ax.axvline(frame, color="#eeeeee", zorder=0)
run.figure(
    figure,
    "02e_selectivity",
    f"A Mamba block that has learned to keep the value at the last mark; the step of channel {best}, B and C, frame by frame.",
)

# %% [markdown]
# **Takeaways of part A.** A state space is a memory that leaks; with fixed $A, B, C, \Delta$ it is a filter. Selectivity makes the step depend on the input: large, *take this in*; near 0, *keep what you have*. A network finds
# that by itself when the task needs it. The price is the convolution; what is left is a scan.
#
# ## Part B · The networks (30 minutes)
#
# ### 2.6 The Mamba block
#
# Around the scan sits a block that makes its inputs:
#
# 1. two linear maps of the input: `u` (the signal) and `z` (a gate);
# 2. a short causal convolution and the SiLU nonlinearity on `u`;
# 3. from `u`: $\Delta_t, B_t, C_t$;
# 4. the scan; times $\mathrm{SiLU}(z)$; one more linear map.
#
# %%
plots.mamba_block()

# %% [markdown]
# Below, the same by hand, on the weights of the package's `Mamba`, whose state dict is interchangeable with
# `mamba_ssm.Mamba`.


# %%
def mamba_by_hand(m, x):
    """x (1, L, d_model) through the weights of `m`, step by step."""
    u, z, delta, B, C = selection(m, x)
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
# ### 2.7 ME-TST and ME-TST+
#
# **ME-TST** puts a stem (two convolutions over time) and a stack of Mamba blocks on the ROI motion of five ROIs. **ME-TST+** reads
# eighteen ROIs, and each of its pathways is a pair: a *fast* path at full frame rate, a *slow* one at half of it and twice as wide, joined after
# each stage. Each has two heads: one number per frame (the score, through a sigmoid), and five (the emotion, neutral among them).
#
# %%
plots.slow_fast()

# %% [markdown]
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
# ### 2.8 What the network is asked to say
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
# ### 2.9 Train one, and watch its state
#
# We hold one subject out, train a small ME-TST+ on the others (seconds to a few minutes, depending on the profile), and look at a video of the held-out
# subject. `train_fold` is the function that the full experiment of notebook 03 calls for every subject in turn.

# %%
config = run.config("metst_plus")
fold = run.one_fold("metst_plus", held_out)  # of a prepared run, where it has it; else trained now
fold.model.cpu()  # where it was trained on a GPU: what follows is small
run.figure(
    plots.training_curves(fold.history.assign(subject=held_out), f"subject {held_out} held out"),
    "02f_training",
    "Loss of one fold per epoch: on the windows that it is trained on and, where it was watched, on those of the subject whom it never sees.",
)

# %% [markdown]
# Where the two curves part, the network begins to learn its training people by heart. The last epoch is used all the same, as in the papers: to stop where the held-out curve is lowest would be to choose by the test person.

# %%
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
# What to look for, from top to bottom: where a network has learned the state transition of the title, the position is near 0 while the face is neutral; it leaves at the onset, a little late, because a state must first *collect*
# evidence; it comes back after the offset, later still, because it must *forget*.

# %%
path = near["position of the state"].tolist()
there, back = path[0] < 0.5 < max(path[1:3]), path[3] < max(path[1:3]) - 0.25
Markdown(
    f"Here it goes from {path[0]:.2f} before the onset to {path[1]:.2f} just after it, {path[2]:.2f} just before the offset and {path[3]:.2f} after it: "
    + (
        "it does move towards 1 and back."
        if there and back
        else "a transition that is weak or absent, as in a network that was hardly trained."
    )
)

# %% [markdown]
#
# And $\Delta$? Look at the numbers on its axis. How much it changes is a measurement, not a promise of the theory: a network may just as well select through $B_t$ and $C_t$, which
# also depend on the frame. The published initialisation (weights of standard deviation 0.02) starts with steps that hardly depend on the input; it takes training to change that.

# %% [markdown]
# Move through the window: the forty components of the state that tell ME from neutral best, and how far along the state is.


# %%
def state_at(frame):
    """The chosen components of the state at a frame of the window, beside truth, score and position."""
    figure, (course, bars) = plt.subplots(1, 2, figsize=(10, 2.6), layout="constrained")
    seconds = (first + np.arange(len(h))) / motion.fps
    course.plot(
        seconds,
        true_curve[: len(h)] / max(true_curve.max(), 1e-9),
        color=plots.TRUTH,
        label="truth (of its maximum)",
    )
    course.plot(seconds, score[span][: len(h)], color="#0072B2", label="score")
    course.plot(seconds, position(h).clip(-0.5, 1.5), color="#D55E00", label="position of the state")
    course.axvline(seconds[frame], color="#999999", linestyle="--")
    course.set(xlabel="time in the video (s)", ylim=(-0.55, 1.55), title=f"frame {first + frame}")
    course.legend(frameon=False, fontsize=7, loc="upper left")
    moved = (h[frame, chosen[peak]] - h0[chosen[peak]]) / np.sqrt(v0[chosen[peak]] + 1e-3 * v0.mean())
    bars.bar(range(len(moved)), moved, color="#5e3c99")
    bars.set(xlabel="component", ylabel="from neutral\n(standard deviations)", ylim=(-6, 6))
    return figure


widgets.interact(
    lambda frame: plt.show(state_at(frame)),
    frame=widgets.IntSlider(value=min(int(me.apex) - first, len(h) - 1), min=0, max=len(h) - 1),
)

# %% [markdown]
# **Takeaways of part B.** A Mamba block is a scan with a gate; ME-TST stacks them, ME-TST+ runs two time scales side by side and lets the fast one tell the slow one. The read-out is the same for every frame. The state of a trained
# network travels from neutral to ME and back, late at both ends.
#
# ## Part C · What decides? (20 minutes)
#
# ### 2.10 Windows or frames, fixed or extensible
#
# A sliding-window system asks of a window of $L$ frames *"is this an ME?"*. What it reports is a window, so its interval has $L$ frames, whatever the face did. Even placed perfectly
# around an ME of $n$ frames, its overlap is at most
#
# $$ \mathrm{IoU} \le \frac{\min(L, n)}{\max(L, n)}, $$
#
# and an interval counts as found from an IoU of 0.5. No training can lift that ceiling. **ME-TST and ME-TST+ have the same ceiling**: they score frames, but they decode the score with an interval of one length, $2k_p + 1$ (`fixed`).
# BoostingVRME reads onset and offset off the score (`extensible`). So two things are mixed up in "regression against windows": *what is asked* (windows or frames), and *how it is decoded* (fixed or extensible). Let us take them apart.

# %%
plots.two_questions()

# %% [markdown]
# A toy world of one channel, where nothing else interferes: an ME is a bump of 0.1 to 0.5 s in noise and slow drift. All learners see the same 400 sequences, as often, with the same loss:
#
# | asked of | by what | decoded |
# |---|---|---|
# | **windows**: does a window of $2k_p+1$ frames around this frame cover an ME (IoU ≥ 0.5)? | 17 frames, two hidden layers | fixed (its own length), extensible |
# | **windows of three lengths**: 5, 11 and 17 frames; the one that answers most is reported | the same, three of them | its window |
# | **frames, no state**: is this frame inside an ME? | the same | fixed, extensible |
# | **frames, with a state** | a small ME-TST | fixed, extensible |
#
# Each is trained anew for every seed: other sequences, other first weights. The seeds were not chosen.

# %%
toy_seeds, toy_steps = (2, 80) if profile == "smoke" else (5, 400)
toy_table = what_decides(range(seed, seed + toy_seeds), toy_steps, n=100)
by_cell = toy_table.groupby(["asked", "decoded", "seconds"], sort=False)["found"]
spread = pd.DataFrame({"mean": by_cell.mean(), "lowest seed": by_cell.min(), "highest seed": by_cell.max()})
spread["mean"].unstack("seconds").rename_axis(columns="share found at an ME of (s)").round(2)

# %%
toy_colours = {"fixed": "#D55E00", "extensible": "#0072B2", "its window": "#009E73"}
asked = list(dict.fromkeys(toy_table["asked"]))
figure, axes = plt.subplots(1, len(asked), figsize=(12, 2.8), sharey=True, layout="constrained")
for ax, name in zip(axes, asked, strict=True):
    for how, mine in spread.loc[name].groupby("decoded", sort=False):
        seconds = mine.index.get_level_values("seconds")
        ax.fill_between(
            seconds, mine["lowest seed"], mine["highest seed"], color=toy_colours[how], alpha=0.2, linewidth=0
        )
        ax.plot(seconds, mine["mean"], "o-", color=toy_colours[how], label=how)
    ax.set(title=name, xlabel="length of the ME (s)", ylim=(-0.03, 1.05))
    ax.legend(frameon=False, fontsize=8, loc="lower right")
axes[0].set_ylabel(f"share found (IoU ≥ 0.5)\nbands: {toy_seeds} seeds")
run.figure(
    figure,
    "02d_contrast",
    "A toy world: the share of micro-expressions found, by their length, for what is asked (columns) and how it is decoded (colours); bands: lowest and highest seed.",
)

# %%
shortest = min(toy_table["seconds"])
at_shortest = toy_table[toy_table["seconds"] == shortest].set_index(["asked", "decoded"])["found"]
lines = [
    ahead(f"{b[0]}, {b[1]},", f"{a[0]}, {a[1]},", at_shortest.loc[b], at_shortest.loc[a])
    for a, b in (
        (("windows", "fixed"), ("windows", "extensible")),
        (("frames, with a state", "fixed"), ("frames, with a state", "extensible")),
        (("windows", "fixed"), ("frames, with a state", "fixed")),
        (("windows", "extensible"), ("frames, with a state", "extensible")),
        (("frames, no state", "extensible"), ("frames, with a state", "extensible")),
        (("frames, with a state", "extensible"), ("windows of three lengths", "its window")),
    )
]
Markdown(f"Made from the numbers, for MEs of {shortest} s:\n\n" + "\n".join(f"* {line}" for line in lines))

# %% [markdown]
# **How to read it.**
#
# 1. *The decoding sets the ceiling.* Where `fixed` finds none of the shortest MEs, no training is at fault: $(2k_p + 1)$ frames and 4 frames cannot have an IoU of 0.5. That holds for windows and for frames alike, and so for ME-TST and ME-TST+.
# 2. *What is asked* is seen by comparing windows with frames under one decoding; *the state* by the two rows of frames. Say of either no more than the sentences above do.
# 3. *Windows of several lengths* are the windows' own answer to the ceiling. They cost one network per length.
#
# What does **not** follow from this toy world: anything about faces. Its bumps fit into 17 frames, and nothing in it asks for a longer memory. On faces the same contrasts are measured in notebook 04: the question, the state and the frame of reference, one at a time.
#
# Drag it: how long may an ME be, for a fixed interval of $2k_p + 1$ frames?


# %%
def fixed_against(milliseconds=150, k_p=5, shift=0):
    """One true interval and one fixed interval, off by `shift` frames, with their IoU."""
    n = n_frames_of(milliseconds / 1000)
    true = (50, 50 + n - 1)
    apex = 50 + (n - 1) // 2 + shift
    iou = interval_iou((apex - k_p, apex + k_p), true)
    figure, ax = plt.subplots(figsize=(10, 1.6), layout="constrained")
    colour = "#009E73" if iou >= 0.5 else "#D55E00"
    ax.barh([1, 0], [n, 2 * k_p + 1], left=[true[0] - 0.5, apex - k_p - 0.5], color=[plots.TRUTH, colour])
    ax.set(
        yticks=[1, 0],
        xlim=(35, 75),
        xlabel="frame",
        title=f"IoU {iou:.2f}: {'found' if iou >= 0.5 else 'missed'}; at best {ceiling(2 * k_p + 1, n):.2f}",
    )
    ax.set_yticklabels(["true", "fixed"])
    return figure


widgets.interact(
    lambda milliseconds, k_p, shift: plt.show(fixed_against(milliseconds, k_p, shift)),
    milliseconds=widgets.IntSlider(value=150, min=100, max=500, step=33, description="ME (ms)"),
    k_p=widgets.IntSlider(value=5, min=1, max=12),
    shift=widgets.IntSlider(value=0, min=-6, max=6),
)

# %%
for row in toy_table[
    toy_table["decoded"] == "fixed"
].itertuples():  # the ceiling holds, whatever was asked or learned
    assert row.mean_iou <= ceiling(2 * row.k_p + 1, n_frames_of(row.seconds)) + 1e-9

# %% [markdown]
# **Takeaways of part C.** A fixed interval has one length and MEs have many; that costs the shortest and the longest, whatever was learned and whatever was asked. Whether asking frames beats asking windows, and whether a state beats
# a patch, are questions of their own, each with its own measurement.
#
# ### 2.11 Exercises
#
# (`make exercises` builds the notebook with stubs; `check` judges your answer.)
#
# **1. How long does it remember?** A state with decay $A$ and a constant step $\Delta$: how many frames until it has fallen to a half?


# %% tags=["exercise", "hide-input"]
# stub:
# def half_life(A, delta):
#     """Frames until the state has fallen to a half, for A < 0."""
#     return ...
def half_life(A, delta):
    """Frames until the state has fallen to a half, for A < 0."""
    return np.log(2) / (-A * delta)


assert check("half life", half_life)

# %% [markdown]
# **2. Two steps in one.** The recurrence needs $T$ steps one after the other. But two steps $h_1 = a_1 h_0 + b_1$, $h_2 = a_2 h_1 + b_2$ can be merged into one, $h_2 = a\,h_0 + b$. Find $a$ and $b$. (This is why a *parallel* scan exists.)


# %% tags=["exercise", "hide-input"]
# stub:
# def merged(first, second):
#     """(a, b) of both steps, the first one taken first; each is a pair (a, b)."""
#     return ...
def merged(first, second):
    """(a, b) of both steps, the first one taken first; each is a pair (a, b)."""
    (a1, b1), (a2, b2) = first, second
    return a2 * a1, a2 * b1 + b2


assert check("merged steps", merged)

# %% [markdown]
# **3. The best half length.** Some MEs have these lengths in frames. Which $k_p$ lets a fixed interval find the largest share of them, placed perfectly? Is it half the mean length?

# %%
print(LENGTHS_OF_MES, "mean", round(np.mean(LENGTHS_OF_MES), 1))

# %% tags=["exercise", "hide-input"]
# stub:
# best_half = ...  # a whole number of frames; findable(k_p) gives the share
best_half = max(range(20), key=findable)
assert check("best half length", best_half)

# %% [markdown]
# **4. To think about.** Feed a window and the same window delayed by five frames (five zero columns in front) to a Mamba block. Are the outputs shifted copies of each other? (The convolution's bias is set to zero first. Why is that needed?)

# %%
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
        "toy": toy_table.to_dict("records"),
        "recall": errors,
    },
)
