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
# # 5 · How the regions of a face relate
#
# The title of ME-TST+ promises *ROI relationship awareness*. What is there to be aware of, and is the network?
#
# 1. In the **motion**: which regions move together, inside and outside micro-expressions (MEs), and does one of them move first?
# 2. In the **network**: which regions does it use, which of them jointly, and do spotting and recognition use the same?
# 3. On the **face**: everything at once, to click through.
#
# Three questions lead the way. *Which regions move together in surprise? Does the mouth tell anything before the brow? Does ME-TST+ look
# where the action unit is?* Each gets a number, and each number gets a chance to be wrong.
#
# You need the motion from notebook 01; the networks from notebook 03 are used if they are there. It takes about 40 minutes to read; afterwards you can ask a network where it looks, and you know three ways in which the answer can fool you.

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
import dataclasses
from itertools import combinations
from urllib.parse import unquote

import cv2
import numpy as np
import pandas as pd

from metst_core import checkpoints, plots
from metst_core.decoding import decode, half_length
from metst_core.experiment import Run, by_hand
from metst_core.metrics import Intervals
from metst_core.models import predict_video
from metst_core.relations import (
    REGIONS,
    Traces,
    across_boxes,
    between_regions,
    detection_gain,
    difference,
    fine_unexplained,
    focus_table,
    foresight_test,
    lagged_correlation,
    lead,
    lift_difference,
    map_similarity,
    me_windows,
    pair_interaction,
    partial_correlation,
    randomised,
    region_members,
    roi_ablation,
    roi_attribution,
    roi_change,
    roi_displacement,
    roi_shares,
    spread_over_video,
    stem_mixing,
    still_motion,
    unit_targets,
    with_planted_lead,
)
from metst_core.tables import ANNOTATION_COLUMNS, EMOTIONS, of_video
from metst_core.training import train_fold
from metst_core.widgets import Seen, explore, film, motion_layers, network_layers

if profile == "by hand":
    run = by_hand(out_dir, n_jobs)
    profile, seed = run.profile_name, run.seed
else:
    run = Run(profile, dataset, data_root, seed, out_dir, data_options, n_jobs)
data, motion = run.dataset(), run.motion()
n_permutations = {"smoke": 39}.get(profile, 199)
found = {}  # the answers, for results.json

# %% [markdown]
# ## 5.1 Changes, not positions
#
# ROI motion is counted from the first frame of its window. Over a whole video it jumps where a window begins, and it drifts with the head. **Two series
# that drift correlate**, whether or not they have to do with each other. Here are two random walks, made independently, a thousand times over:

# %%
rng = np.random.default_rng(seed)
steps = rng.normal(size=(1000, 2, 240))
walks = steps.cumsum(axis=2)
chance = {
    name: np.median([abs(np.corrcoef(a, b)[0, 1]) for a, b in pairs])
    for name, pairs in (("positions", walks), ("changes", steps))
}
print(
    {name: round(float(r), 3) for name, r in chance.items()},
    "median |r| of two series that have nothing to do with each other",
)
assert chance["positions"] > 4 * chance["changes"]

# %% [markdown]
# So we correlate **changes** (pixels per frame): central differences inside each window, averaged over the two windows that see a frame.

# %%
traces = Traces.of(motion)
reference_known = bool(traces.reference)
if reference_known:  # what all ROIs share because one reference was subtracted from all of them
    traces = traces.without_reference()
first = motion.annotations.iloc[0] if len(motion.annotations) else motion.videos.iloc[0]
key = (first.subject, first.video)
n_frames = motion.n_frames(*key)
change = roi_change(motion.windows[key], n_frames)
assert change.shape == (36, n_frames)
# A window moved as a whole by any constant gives the same changes: the reference frame does not matter.
assert np.allclose(roi_change(motion.windows[key] + 5, n_frames), change, atol=1e-4)

vertical = roi_displacement(motion.windows[key], n_frames)[1::2]
course = plots.Course(vertical, traces.names, motion.fps, of_video(motion.annotations, *key))
plots.time_page(course, title="vertical motion of the 18 ROIs, slow drift taken away; shaded: MEs")

# %% [markdown]
# ## 5.2 Which regions move together?
#
# For every pair of ROIs, the correlation of the size of their changes; first in frames **inside** MEs. There are
# $18 \cdot 17 / 2 = 153$ pairs, times 13 lags. Some will look related by luck. How much luck can do we learn from the data: rotate every ROI's series in time by
# its own random amount, which keeps each series and breaks what ties them, and note the *largest* $|r|$ anywhere. Of 100 such data sets, 5 exceed the **5% level**.

# %%
conditions = traces.conditions()
emotion = "surprise" if "surprise" in conditions else next((e for e in EMOTIONS if e in conditions), "inside")
together = {
    c: lagged_correlation(traces, c, n_permutations=n_permutations, seed=seed)
    for c in dict.fromkeys(["inside", "outside", emotion])
    if c in conditions
}
for condition, relations in together.items():
    table = across_boxes(relations.table())  # that a whole brow moves with its own parts is no news
    sure = int((table["p_max"] <= 0.05).sum())
    print(
        f"{condition:9s} {relations.n_frames:6d} frames, 5% level |r| = {relations.critical():.2f}: {sure} of {len(table)} pairs of different boxes beyond it"
    )
across_boxes(together[emotion].table()).head(8).round(3)

# %% [markdown]
# **A planted absence.** From every ROI the motion of the nose bridge was subtracted, its error included: on a face that does not move, all ROIs share that error and correlate. We film one still picture with sensor noise and look before and after the
# reference is taken out of every ROI's series (`without_reference`). Afterwards no pair of different boxes may be left.

# %%
still_picture = cv2.cvtColor(next(iter(data.frames(*key))), cv2.COLOR_RGB2GRAY)
still = Traces.of(
    still_motion(still_picture, run.landmarker(), n_frames=100, n_films=2, window=motion.window)
)
for name, absent in (("as measured", still), ("without the reference", still.without_reference())):
    nothing_there = lagged_correlation(absent, "all", n_permutations=n_permutations, seed=seed)
    pairs = across_boxes(nothing_there.table())
    found.setdefault("still_face", {})[name] = {
        "pairs": len(pairs),
        "beyond_5_percent": int((pairs["p_max"] <= 0.05).sum()),
        "mean_r": float(pairs["r_now"].mean()),
    }
# and the main result's own test, 20 times: MEs are said to be where nothing is
draw, with_a_pair, shift = np.random.default_rng(seed), 0, []
for _ in range(20):
    said_to_be = [
        (*k, onset, onset + 8, onset + 16, "others")
        for k in still.values
        for onset in (int(draw.integers(2, 30)), int(draw.integers(50, 80)))
    ]
    absent = dataclasses.replace(
        still.without_reference(), annotations=pd.DataFrame(said_to_be, columns=ANNOTATION_COLUMNS)
    )
    nothing_there = across_boxes(difference(absent, "inside", "outside", n_permutations=39, seed=seed))
    with_a_pair += bool((nothing_there["p_max"] <= 0.05).any())
    shift.append(float((nothing_there["r_first"] - nothing_there["r_second"]).mean()))
found["still_inside_outside"] = {
    "draws": 20,
    "with_a_pair": with_a_pair,
    "mean_difference_r": float(np.mean(shift)),
}
left = found["still_face"]["without the reference"]["beyond_5_percent"]
print(
    f"Without the reference {left or 'no'} pair(s) are left on the still face"
    + ("." if not left else ": an error of ours, or the one film in twenty.")
    + f" Inside minus outside: in {with_a_pair} of 20 draws some pair is beyond the 5% level, where one is expected by chance."
)
pd.DataFrame(found["still_face"]).T.round(3)

# %% [markdown]
# ### The main result: inside minus outside
#
# A relation that is there all the time, because the head shakes, the camera does, or something of the reference is left, is no sign of an ME. So this is what we hold on to: which pairs
# relate *otherwise* inside MEs than outside, with the reference taken out? The null moves the MEs to random places of their videos.

# %%
if {"inside", "outside"} <= set(conditions):
    changed = difference(traces, "inside", "outside", n_permutations=n_permutations, seed=seed)
    apart = across_boxes(changed)
    most = apart.iloc[0]
    found["inside_outside"] = {
        "reference_partialled_out": reference_known,
        "pairs": len(apart),
        "pairs_beyond_5_percent": int((apart["p_max"] <= 0.05).sum()),
        "strongest": [most["roi_a"], most["roi_b"]],
        "r_inside": float(most["r_first"]),
        "r_outside": float(most["r_second"]),
        "p_max": float(most["p_max"]),
    }
    display(apart.head(8).round(3))

# %% [markdown]
# **Which regions move together in surprise?** (or in the emotion that there is, in a small run) This describes; what is a sign of MEs says the table above.

# %%
members = region_members(traces.names)
regions = {c: between_regions(relations.at(0), traces.names) for c, relations in together.items()}
region_pairs = list(combinations(REGIONS, 2))
strongest = max(region_pairs, key=lambda pair: regions[emotion].loc[pair])
found["together"] = {
    "emotion": emotion,
    "regions": list(strongest),
    "r": float(regions[emotion].loc[strongest]),
    "r_outside": float(regions["outside"].loc[strongest]) if "outside" in regions else float("nan"),
    "left_right_brow": float(
        together[emotion].at(0)[traces.names.index("left_brow"), traces.names.index("right_brow")]
    ),
}
print(
    f"In {emotion}, the {strongest[0]} and the {strongest[1]} move together most: mean r = {found['together']['r']:.2f} "
    f"(outside MEs {found['together']['r_outside']:.2f}); left with right brow: r = {found['together']['left_right_brow']:.2f}"
)
regions[emotion].round(2)

# %%
reel = film(data.frames(*key), run.landmarker(), motion.window)
boxes = dict(zip(traces.names, reel.boxes[0].tolist(), strict=True))
shown = together[emotion]
face = plots.Face(reel.picture(0), boxes)
scale = plots.Scale(max(shown.critical(), 0.3))
figure = plots.relation_page(
    face, shown.at(0), scale, title=f"motion in {emotion}: correlation beyond the 5% level"
)
run.figure(
    figure,
    "05a_together",
    f"Which ROIs move together in {emotion}: correlation of the size of their changes, on the face and as a matrix.",
)

# %% [markdown]
# ### Directly, or through a third?
#
# If the brow moves the eyelid and the brow moves the mouth, eyelid and mouth correlate without any tie of their own. **Partial correlation** asks what two
# ROIs share that no other explains. We take the whole ROIs and the wings of the nose only: with its own parts held fixed, a whole brow has nothing left to say.

# %%
coarse = traces.select(
    ["left_brow", "right_brow", "mouth", "left_wing", "right_wing", "left_eyelid", "right_eyelid"]
)
direct = (
    partial_correlation(coarse, n_permutations=n_permutations, seed=seed) if "inside" in conditions else None
)
if direct is not None:
    display(direct.table().head(6).round(3))

# %% [markdown]
# ## 5.3 Does the mouth tell anything before the brow?
#
# Two ways to ask. **Lead**: at which lag do the means of the mouth's and the brows' ROIs correlate most? **Foresight**: does the mouth's past help to predict the
# brow's present, beyond the brow's own past, in subjects that the prediction has not seen?
#
# And a control, without which "no" would mean nothing: the same data with a lead of four frames **planted**. The method must find that.

# %%
mouth_brows = {region: members[region] for region in ("mouth", "brows")}
if "inside" in conditions:
    pair = traces.grouped(mouth_brows)
    as_is = lead(pair, seed=seed, n_permutations=n_permutations)
    # the brows now do what the mouth did four frames ago, and a little of their own
    control = with_planted_lead(traces, members["mouth"], members["brows"], lag=4)
    planted = lead(control.grouped(mouth_brows), seed=seed)
    assert planted["lag"] == 4
    ms = 1000 / motion.fps
    found["lead"] = {**as_is, "planted_lag": 4, "planted_found": planted["lag"]}
    print(
        f"planted: the mouth leads by {planted['lag']:.0f} frames [{planted['low']:.0f}, {planted['high']:.0f}]"
    )
    print(
        f"as it is: {as_is['lag']:+.0f} frames ({as_is['lag'] * ms:+.0f} ms) [{as_is['low']:+.0f}, {as_is['high']:+.0f}], r = {as_is['r']:.2f}, over {as_is['n']} MEs"
    )
    print(f"Does the mouth lead the brows? {as_is['told']} (p {as_is['p']:.2f}, {as_is['persons']} persons)")
    if len(motion.subjects) > 1:
        found["foresight"] = {
            "mouth_to_brows": foresight_test(pair, n_permutations=n_permutations, seed=seed),
            "brows_to_mouth": foresight_test(
                pair.select(["brows", "mouth"]), n_permutations=n_permutations, seed=seed
            ),
        }
        display(
            pd.DataFrame(found["foresight"]).T
        )  # gain: in held-out R² (share of variance, 1 would be all)

# %%
if "inside" in together:
    inside = together["inside"]
    pairs = {"mouth – left brow": ("mouth", "left_brow"), "mouth – right brow": ("mouth", "right_brow"),
             "left – right brow": ("left_brow", "right_brow"), "mouth corners": ("mouth_left_corner", "mouth_right_corner")}  # fmt: skip
    at = traces.names.index
    figure = plots.lag_curves({n: inside.r[:, at(a), at(b)] for n, (a, b) in pairs.items()}, inside.lags, motion.fps, inside.critical(),
                                       "who moves first inside MEs?")  # fmt: skip
    display(
        run.figure(
            figure,
            "05b_lags",
            "Correlation over lag inside MEs; a peak right of 0 would mean that the ROI named first leads.",
        )
    )

# %% [markdown]
# In the synthetic set the true answer is known: the action units of an ME begin up to half of its rise after the leading one, whichever that is, and peak together, so on average **nothing leads**. A clear lead found here would be an error of ours.
# (On real faces it is an open question; the code is the same.)
#
# ## 5.4 What do the fine ROIs add?
#
# ME-TST reads 5 ROIs, ME-TST+ 18 at two granularities. How much of a fine ROI's motion do the whole ones *not* tell (in subjects held out of the fit)? And
# does what is left help to tell frames inside MEs from others?

# %%
if len(motion.subjects) > 1:
    unexplained = fine_unexplained(traces)
    found["fine"] = {"unexplained_mean": float(unexplained["unexplained"].mean())}
    print(f"On average {found['fine']['unexplained_mean']:.0%} of the variance of a fine ROI is its own")
    if "inside" in conditions:
        gain = detection_gain(traces)
        found["fine"] |= {
            "auc_whole": float(gain["auc_whole"].mean()),
            "auc_both": float(gain["auc_both"].mean()),
        }
        print(
            f"Told apart in unseen subjects (area under the curve, 0.5 is guessing): whole ROIs {found['fine']['auc_whole']:.3f}, "
            f"with the fine ones {found['fine']['auc_both']:.3f}; better in {int((gain['gain'] > 0).sum())} of {len(gain)} subjects"
        )
        display(gain.round(3))
    display(unexplained.round(2))

# %% [markdown]
# ## 5.5 What the network uses
#
# We hold a subject out, take the network trained on the others, and ask for its MEs: how much does each ROI at each frame contribute to the score? **Integrated gradients** walk
# from a face that does not move (all motion 0) to the motion as it is and add up the gradients on the way. Their sum must be the difference of the
# outputs at both ends, to which we hold them. **Ablation** is blunter: set the motion of a ROI to 0 for five frames, see what changes.


# %%
def trained_networks():
    """Subject -> the network that never saw it: those of notebook 03, or one small one trained now."""
    folds = run.out / "loso" / "metst_plus" / "strict" / "folds"
    stored = {unquote(p.parent.name): p for p in sorted(folds.glob("*/weights.safetensors"))}
    known = {subject: checkpoints.load(stored[subject]) for subject in motion.subjects if subject in stored}
    if known:
        return known
    subject = motion.annotations["subject"].iloc[0]
    return {subject: train_fold(motion, subject, run.config("metst_plus")).model}


networks = trained_networks()
with_me = [s for s in networks if (motion.annotations["subject"] == s).any()]
held_out = key[0] if key[0] in with_me else with_me[0]
network = networks[held_out]
windows = me_windows(motion, held_out)
maps = {
    "spotting": roi_attribution(network, windows.motion, windows.mask, n_steps=128),
    "recognition": roi_attribution(
        network, windows.motion, windows.mask, "emotion", windows.classes, n_steps=128
    ),
}
print(f"{len(networks)} network(s); subject {held_out} is held out, {len(windows.motion)} MEs")

# %%
import torch

with torch.no_grad():
    network.eval()
    w = torch.from_numpy(windows.mask.astype("float32"))
    ends = [
        (network(torch.from_numpy(m))[0] * w).sum(1).numpy() for m in (windows.motion, 0 * windows.motion)
    ]
gap = np.abs(maps["spotting"].sum(axis=(1, 2)) - (ends[0] - ends[1]))
completeness = gap / np.abs(maps["spotting"]).sum(axis=(1, 2))
print(
    f"contributions add up to the change of the score; the gap is at most {completeness.max():.1%} of all that is added and taken"
)
assert completeness.max() < 0.1

ablated = roi_ablation(network, windows.motion, windows.mask)
agreement = float(np.corrcoef(roi_shares(maps["spotting"]).mean(0), roi_shares(ablated).mean(0))[0, 1])
print(f"integrated gradients and ablation agree on which ROIs matter: r = {agreement:.2f}")
found["attribution"] = {"completeness_error": float(completeness.max()), "agreement_with_ablation": agreement}

# %%
strongest_me = int((windows.table["offset"] - windows.table["onset"]).argmax())
figure = plots.attribution_map({n: m[strongest_me] for n, m in maps.items()}, traces.names, motion.fps, windows.mask[strongest_me],
                                        f"an ME of subject {held_out} ({windows.table['emotion'][strongest_me]}): what each ROI adds (orange) or takes (blue)")  # fmt: skip
run.figure(
    figure,
    "05c_attribution",
    "Integrated gradients of one ME window: what each ROI at each frame contributes to the score and to the true emotion's logit.",
)

# %% [markdown]
# **Do spotting and recognition use the same ROIs?** Each has its own pathway after the shared stem, so they may differ.

# %%
shares = pd.DataFrame({name: roi_shares(m).mean(axis=0) for name, m in maps.items()}, index=traces.names)
largest = (shares["recognition"] - shares["spotting"]).abs().idxmax()
found["attribution"] |= {
    "similarity_spotting_recognition": map_similarity(maps["spotting"], maps["recognition"]),
    "largest_difference": largest,
}
print(
    f"maps of the two outputs: rank correlation {found['attribution']['similarity_spotting_recognition']:.2f}; they differ most at {largest}"
)
figure = plots.roi_bars(
    shares, title=f"what spotting and recognition use, mean over {len(windows.motion)} MEs"
)
run.figure(
    figure,
    "05d_shares",
    "Share of every ROI in the attribution of both outputs, mean over the held-out subject's MEs.",
)

# %% [markdown]
# ## 5.6 What it uses *jointly*
#
# Attribution per ROI cannot tell "brow or mouth" from "brow together with mouth". **Joint occlusion** can: leave out ROI $i$, leave out $j$, leave out both. If the
# effects just add up, the two do not interact,
#
# $$ I_{ij} = \frac{\lVert f(x) - f(x_{\setminus i}) - f(x_{\setminus j}) + f(x_{\setminus ij}) \rVert}{\lVert f(x) - f(0) \rVert}. $$
#
# A linear map has $I = 0$ for every pair. So the stem's first convolution joins ROIs, but they interact only from its first ReLU on. Check both:

# %%
first_filter = torch.nn.Sequential(network.stem[0])
x = torch.from_numpy(windows.motion[:1])
without = {name: x.clone() for name in ("i", "j", "ij")}
for name, rois in (("i", [0]), ("j", [8]), ("ij", [0, 8])):
    for r in rois:
        without[name][:, 2 * r : 2 * r + 2] = 0
with torch.no_grad():
    terms = [first_filter(t) for t in (x, without["i"], without["j"], without["ij"])]
assert (terms[0] - terms[1] - terms[2] + terms[3]).abs().max() < 1e-4 * terms[0].abs().max(), (
    "a linear layer cannot interact"
)

interaction = pair_interaction(network, windows.motion[:4])
upper = np.triu_indices(len(traces.names), 1)
depth = pd.Series({name: float(m[upper].mean()) for name, m in interaction.items()}, name="mean interaction")
found["interaction"] = depth.to_dict()
depth.round(3).to_frame()

# %%
score_interaction = interaction["score"]
i, j = (int(v[np.argmax(score_interaction[upper])]) for v in upper)
print(
    f"for the score, {traces.names[i]} and {traces.names[j]} interact most: I = {score_interaction[i, j]:.2f}"
)
strongest_20 = float(np.sort(score_interaction[upper])[-20])
scale = plots.Scale(strongest_20, float(score_interaction.max()), signed=False, label="interaction I")
figure = plots.relation_page(
    face, score_interaction, scale, title="the 20 pairs of ROIs that ME-TST+ uses most jointly for the score"
)
run.figure(figure, "05e_interaction", "Pairwise interaction of ROIs for the score, by joint occlusion.")

# %% [markdown]
# ## 5.7 Is the map about the network at all?
#
# A map can look convincing and show nothing but the input: where nothing moves, no method finds anything. So ask a network with **fresh, random weights** for the same map. If it gives the
# same one, the map says nothing about what was learned.

# %%
untrained = roi_attribution(randomised(network, seed), windows.motion, windows.mask)
with_signs = map_similarity(maps["spotting"], untrained)
sizes = map_similarity(np.abs(maps["spotting"]), np.abs(untrained))
mixing, fresh_mixing = stem_mixing(network), stem_mixing(randomised(network, seed))
found["sanity"] = {
    "similarity_to_random_weights": with_signs,
    "similarity_of_sizes": sizes,
    "stem_mixing_mean_abs": float(np.abs(mixing[upper]).mean()),
    "stem_mixing_random": float(np.abs(fresh_mixing[upper]).mean()),
}
print(
    f"trained against random weights: rank correlation {with_signs:+.2f} with signs, {sizes:+.2f} of sizes alone"
)
print(
    f"stem: mean |cosine| between two ROIs' weights {found['sanity']['stem_mixing_mean_abs']:.3f}, with random weights {found['sanity']['stem_mixing_random']:.3f}"
)

# %% [markdown]
# Read the second number: where the *sizes* of the two maps agree, it is because both follow the motion. Only signs and what lies beyond the motion itself can speak for the network. Keep that in mind for
# the last question, and compare there with random weights **and** with the motion alone.
#
# ## 5.8 Does ME-TST+ look where the action unit is?
#
# For synthetic MEs we know which action units (AUs) move, and so which ROIs they move. What share of the map lies on these? And on those of *another* ME, drawn at random (the black line)?
# The difference is what the map knows about *this* ME.

# %%
truth_file = (run.out / "data" if data_root is None else run.data_root) / "truth" / "micro_expressions.csv"
if dataset == "synthetic" and truth_file.is_file():
    units = pd.read_csv(truth_file, dtype={"subject": str, "video": str})
    rows = {
        name: []
        for name in ("ME-TST+, spotting", "ME-TST+, recognition", "random weights", "the motion itself")
    }
    targets, owners = [], []
    for subject in with_me:
        theirs, model = me_windows(motion, subject), networks[subject]
        targets.append(unit_targets(theirs.table, units, traces.names))
        owners += [subject] * len(theirs.table)
        m, mask = theirs.motion, theirs.mask
        size = np.hypot(m[:, 0::2], m[:, 1::2]) * mask[:, None]
        for name, part in (
            ("ME-TST+, spotting", roi_attribution(model, m, mask)),
            ("ME-TST+, recognition", roi_attribution(model, m, mask, "emotion", theirs.classes)),
            ("random weights", roi_attribution(randomised(model, seed), m, mask)),
            ("the motion itself", size),
        ):
            rows[name].append(roi_shares(part))
    shares = {name: np.concatenate(parts) for name, parts in rows.items()}
    targets = np.concatenate(targets)
    where = focus_table(shares, targets, seed=seed)
    found["focus"] = where.to_dict("index")
    figure = plots.focus_bars(where, f"does it look where the action unit is? {int(where['n'].iloc[0])} MEs")
    display(
        run.figure(
            figure,
            "05f_focus",
            "Share of each map on the ROIs that the ME's own action units move; black: on those of another ME.",
        )
    )
    print(where.round(3).to_string())
else:
    print("This data set has no action units on file, so the question stays open here.")

# %% [markdown]
# How to read it: *share* well above *by chance* (small p) says that the map follows the action unit; *lift* is their ratio. Whether this is the **network's** doing shows in the rows below it: if random weights
# or the bare motion reach the same lift, the network need not have learned where to look.
#
# ## 5.9 The three questions, answered

# %%
if "inside_outside" in found:
    answer = found["inside_outside"]
    print(
        f"1. Inside minus outside MEs, {answer['pairs_beyond_5_percent']} of {answer['pairs']} pairs of different boxes relate otherwise"
        + (
            f"; most of all {answer['strongest'][0]} and {answer['strongest'][1]} (r = {answer['r_inside']:.2f} inside, {answer['r_outside']:.2f} outside)."
            if answer["pairs_beyond_5_percent"]
            else ": whether any does, cannot be told here."
        )
        + (
            ""
            if answer["reference_partialled_out"]
            else " (The reference's motion is not in this run: it could not be taken out.)"
        )
    )
answer = found["together"]
print(
    f"   Which regions move together in {answer['emotion']}? Left and right brow: r = {answer['left_right_brow']:.2f}. Of different parts of the face, "
    f"the {answer['regions'][0]} and the {answer['regions'][1]}: mean r = {answer['r']:.2f}, outside MEs {answer['r_outside']:.2f}."
)
if "lead" in found:
    answer = found["lead"]
    print(
        f"2. Does the mouth tell anything before the brow? Lead {answer['lag'] * ms:+.0f} ms, 95% interval {answer['low'] * ms:+.0f} to {answer['high'] * ms:+.0f} ms: "
        f"{answer['persons']} persons, p {answer['p']:.2f}: {answer['told']}; a planted lead of four frames was found."
    )
if "focus" in found:
    untaught = where.loc[["random weights", "the motion itself"], "lift"].idxmax()
    print("3. Does ME-TST+ look where the action unit is?")
    for name in ("ME-TST+, spotting", "ME-TST+, recognition"):
        row = where.loc[name]
        more = lift_difference(shares[name], shares[untaught], targets, owners, Intervals(seed=seed))
        if row["p"] > 0.05:
            verdict = "no sign that it does"
        elif more["low"] > 0:
            verdict = "yes, and more than a map that knows nothing of training"
        else:
            verdict = (
                "its map follows the unit, but not surely more than a map that knows nothing of training"
            )
        print(
            f"   {name}: {row['share']:.0%} of the map lies there, {row['by_chance']:.0%} by chance, lift {row['lift']:.2f} (p = {row['p']:.3f}); "
            f"{untaught}: {where.loc[untaught, 'lift']:.2f}, difference {more['difference']:+.2f} [{more['low']:+.2f}, {more['high']:+.2f}]: {verdict}."
        )

# %% [markdown]
# A smoke run has few MEs and a network that is hardly trained: there these answers show how to ask, not what is so.
#
# ## 5.10 Touch it
#
# Everything of this notebook on one video: the graph on the face, the matrix, and time. **Click a node** (or Tab to it and press Enter) to see whom it moves with; click a cell, or shift-click a
# second node, for a pair and its lags. The slider, the space below the picture, or *play* moves everything through the video: boxes, flow arrows (enlarged), traces, score and truth.
# *relation in …* goes from the motion down through the layers of the network.
#
# First the same on paper:

# %%
own = motion.annotations[motion.annotations["subject"] == held_out]
video = own["video"].value_counts().index[0]
key = (held_out, video)
n_frames = motion.n_frames(*key)
score, probabilities = predict_video(network, motion.windows[key], n_frames=n_frames)
others = motion.annotations[motion.annotations["subject"] != held_out]
k_p = half_length(others if len(others) else motion.annotations)
spotted = decode(score, probabilities, k_p, subject=held_out, video=video)
named = int(np.bincount(probabilities[:, :4].argmax(axis=1)).argmax())
attribution = {
    output: spread_over_video(
        roi_attribution(
            network, motion.windows[key], None, output, np.full(len(motion.windows[key]), named), n_steps=12
        ),
        n_frames,
    )
    for output in ("score", "emotion")
}
reel = film(data.frames(*key), run.landmarker(), motion.window)
layers = motion_layers(
    traces, n_permutations=n_permutations if profile == "smoke" else 99, seed=seed
) + network_layers(network, windows, most=1)
explorer = explore(
    reel,
    layers,
    motion,
    key,
    Seen(score, spotted, attribution),
    frame=int(own[own["video"] == video]["apex"].iloc[0]),
)
run.figure(explorer.relation_figure(), "05g_explorer", "The explorer's graph and matrix as it opens.")

# %%
run.figure(
    explorer.time_figure(),
    "05h_time",
    "The explorer's time view as it opens: motion, score, and what the score makes of each ROI.",
)

# %%
page = explorer.save_page(run.out / "explorer.html")
print(f"{page.name} in the run's folder is the same for any browser, without Python")
explorer

# %% [markdown]
# **Takeaways.** Correlate changes, not positions. Every "these two move together" needs a level of chance, and every "it looks there" a network that has learned nothing beside it. A "no" means something only where a planted "yes" was found.
#
# ## Questions to think about
#
# **1.** Is the level of chance needed? Rotate one video's ROIs by hand, measure the largest correlation, and compare it with `critical()`.

# %% tags=["solution"]
if "all" in together or "outside" in together:
    base = together.get("all", together.get("outside"))
    shuffled = {
        k: np.stack([np.roll(v[:, r], rng.integers(v.shape[2]), axis=1) for r in range(18)], axis=1)
        for k, v in traces.values.items()
    }
    nothing = lagged_correlation(
        Traces(shuffled, traces.annotations, traces.names, traces.fps), base.condition, n_permutations=0
    )
    largest = float(np.abs(nothing.r[:, *upper]).max())
    print(
        f"largest |r| of 153 pairs and 13 lags in rotated data: {largest:.2f}; 5% level {base.critical():.2f}"
    )

# %% [markdown]
# **2.** Integrated gradients need a baseline. What changes when it is not the face that does not move, but the mean motion? Why is 0 the better choice here?

# %% tags=["solution"]
# Motion is counted from the window's first frame, so 0 is a real state, the neutral face of that frame; the mean motion is nobody's face.
mean_motion = windows.motion.mean(axis=(0, 2), keepdims=True)
print(
    f"the mean motion differs from 0 by up to {np.abs(mean_motion).max():.2f} px, and a network's output there is {ends[1].mean():.2f} against {ends[0].mean():.2f}"
)

# %%
run.record("05_roi_relationships", relations=found)
