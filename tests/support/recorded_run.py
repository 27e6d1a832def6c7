"""What two notebooks of a run leave behind, with made-up numbers."""

from metst_core.files import write_json
from metst_core.metrics import METRICS

METRIC = {"value": 0.5, "low": 0.25, "high": 0.75}


def record_results(out, value=0.5, seeds=None):
    """A run's results as two notebooks leave them: one method and chance under one protocol."""
    metrics = {name: METRIC | {"value": value} for name in METRICS}
    evaluation = {"tp": 3, "fp": 1, "fn": 2, **dict.fromkeys(METRICS, value)}
    method = {
        "subjects": 2,
        "seeds": 1,
        "evaluation": evaluation,
        "intervals": metrics,
        "config": None,
        "folds": None,
    }
    difference = {"difference": 0.125, "low": -0.0625, "high": 0.1875, "p_value": 0.375}
    comparisons = [
        {
            "protocol": "strict",
            "a": "chance",
            "b": "<b>",
            "metric": m,
            "value_a": 0,
            "value_b": value,
            **difference,
        }
        for m in METRICS
    ]
    data = {"dataset": "synthetic", "subjects": 2, "videos": 3, "micro_expressions": 4, "minutes": 1.5}
    about = {"record": {"seed": 1, "dataset": "synthetic"}, "profile": "smoke", "seed": 1}
    write_json({**about, "data": data}, out / "results" / "01_roi_extraction.json")
    results = {
        **about,
        "schema": 3,
        "methods": {"<b>": {"strict": method}},
        "comparisons": comparisons,
        "seeds": seeds or {},
        "ablation": [],
        "bootstrap": {"n": 10, "seed": 1, "level": 0.95},
        "recall": {},
        "chance": {"strict": metrics},
        "without_others": {},
    }
    write_json(results, out / "results" / "04_evaluation.json")
