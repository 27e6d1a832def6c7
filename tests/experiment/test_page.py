"""The report says what `results.json` says, and stands alone."""

import json
import re

import pandas as pd
import pytest
from support.recorded_run import METRIC, record_results

from metst_core.experiment import Run, collect_results, refresh, write_page
from metst_core.files import write_json
from metst_core.metrics import METRICS
from metst_core.plots import confusion
from metst_core.tables import CLASSES, EMOTIONS

pytestmark = pytest.mark.quick
DATA = {"subjects": 2, "videos": 3, "micro_expressions": 4, "minutes": 1.5}


def test_report_shows_the_numbers_and_escapes_names(tmp_path):
    record_results(tmp_path)
    table = pd.DataFrame(0, index=list(EMOTIONS), columns=list(CLASSES))
    run = Run("smoke", "synthetic", None, 1, tmp_path)
    run.figure(confusion(table), "04b_confusion", "a caption & more")
    run.figure(confusion(table), "04d_comparison", "the figure that shows it")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_roi_extraction.html").write_text("executed")
    merged = json.loads(collect_results(tmp_path).read_text())
    assert merged["data"]["videos"] == 3
    page = write_page(tmp_path).read_text()
    assert "0.500 [0.250, 0.750]" in page
    assert "&lt;b&gt;" in page
    assert "a caption &amp; more" in page
    assert page.count("data:image/png;base64,") == 2
    # The answer first, then the figure that shows it, then tables, then pictures under headings, then provenance.
    order = [
        "What was claimed",
        "the figure that shows it",
        "Protocol: strict",
        "a caption &amp; more",
        "<summary>record",
    ]
    places = [page.index(text) for text in order]
    assert places == sorted(places)
    assert "From scores to intervals to numbers" in page and "Beside the published numbers" not in page
    assert 'name="viewport"' in page
    assert 'href="notebooks/01_roi_extraction.html"' in page
    assert not re.search("""src=["']?http""", page), "the page must open offline"
    assert "&lt;b&gt; − chance" in page and "0.125 [-0.062, 0.188], p 0.375" in page
    assert "One training seed" in page and "Ablation" not in page


def test_the_report_shows_seeds_and_ablation_once_they_are_there(tmp_path):
    row = {"n_seeds": 5, "mean": 0.5, "sd": 0.1, "min": 0.375, "median": 0.5, "max": 0.625}
    record_results(tmp_path, seeds={"metst_plus": [{"metric": m, **row, "n_seeds": 2} for m in METRICS]})
    assert "0.375 / 0.500 / 0.625" in refresh(tmp_path).read_text()
    write_json(
        {"seeds": {"metst": [{"metric": m, **row} for m in METRICS]}}, tmp_path / "results" / "seeds.json"
    )
    scores = {f"{m}{part}": 0.25 for m in ("strs", "strs_difference") for part in ("", "_low", "_high")}
    cells = [
        {"factor": factor, "level": "x", "is_base": False, "parameters": 1234, **scores, "strs_p_value": 0.5}
        | {"makes_a_difference": factor == "ROIs"}
        for factor in ("ROIs", "synergy")
    ]
    write_json({"ablation": cells}, tmp_path / "results" / "ablation.json")
    page = refresh(tmp_path).read_text()
    # What `metst seeds` found replaces the notebook's.
    assert '<td>ME-TST</td><td class="number">5</td>' in page
    assert "ROIs: x" in page and "1,234" in page and "No difference on these data: <b>synergy</b>" in page


def test_published_numbers_stand_beside_a_licence_holders_own(tmp_path):
    record_results(tmp_path)
    write_json({"data": {**DATA, "dataset": "casme3"}}, tmp_path / "results" / "05.json")
    page = refresh(tmp_path).read_text()
    assert "Beside the published numbers" in page and "0.0387" in page and "0.0562" in page


def test_the_page_shows_three_classes_where_the_set_is_also_reported_so(tmp_path):
    record_results(tmp_path)
    assert "Three classes" not in refresh(tmp_path).read_text()
    scores = {"recognition_f1": METRIC | {"value": 0.625}, "strs": METRIC}
    found = {"metst_plus": {"official": scores, "strict": scores}}
    write_json({"without_others": found}, tmp_path / "results" / "05.json")
    page = refresh(tmp_path).read_text()
    assert "Three classes" in page
    strict, official = (f'<td>{p}</td><td class="number">ME-TST+</td>' for p in ("strict", "official"))
    assert 0 < page.index(strict) < page.index(official)
    assert "0.625 [0.250, 0.750]" in page
