"""One figure per claim: what each cell of it gains or loses."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from metst_core.errors import InputError
from metst_core.plots.style import metric_label


def claim(table: pd.DataFrame, sentence: str, metric: str = "strs") -> Figure:
    """The cells of one claim: difference of a score to the cell that they are compared with, and its interval.

    table: rows of one claim (`level`, `seeds`, `verdict`, and of the metric value, `_difference`, `_difference_low`,
        `_difference_high`, `_difference_could_see`), as `experiment.run_claims` makes them.  Filled: told apart in the
        test of the whole table.  The grey band is what the run could not have seen.
    """
    if table.empty:
        raise InputError("table holds no cell of this claim; compute some first")
    names = [f"{metric}_difference{part}" for part in ("", "_low", "_high", "_could_see")]
    compared = table[names[0]].notna()
    figure = Figure(figsize=(7, 1.2 + 0.32 * len(table)), layout="constrained")
    axes = figure.subplots()
    for place, (row, here) in enumerate(zip(table.to_dict("records"), compared, strict=True)):
        label = f"{row[metric]:.3f}"
        if here:
            middle, low, high, unseen = (float(row[n]) for n in names)
            axes.barh(place, 2 * unseen, left=-unseen, height=0.8, color="#E5E5E5", zorder=0)
            told = row["verdict"] in ("better", "worse")
            axes.errorbar(
                middle, place, xerr=np.array([[middle - low], [high - middle]]), fmt="o", color="#0072B2",
                markerfacecolor="#0072B2" if told else "white", capsize=2,
            )  # fmt: skip
        else:
            label += ", compared with"
        axes.annotate(label, (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(table)), [f"{r['level']} ({r['seeds']})" for r in table.to_dict("records")])
    axes.invert_yaxis()
    axes.set_xlabel(f"difference in {metric_label(metric)}, 95% interval (in brackets: training seeds)")
    axes.set_title(sentence, fontsize=10)
    return figure
