"""A network with its constants: kept by files, copied by fine-tuning; and what a score is worth."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.own_videos import landmarker

from metst_core import tables
from metst_core.errors import InputError, MissingError
from metst_core.experiment.edition_card import lines_of
from metst_core.extraction import MotionSet
from metst_core.inference import BUNDLED, Calibration, TrainedModel, fine_tune, load_model, save_model
from metst_core.models import METST, METSTPlus, predict_video
from metst_core.motion import extract_motion
from metst_core.video import read_frames


class TestModels:
    def test_save_and_load_keep_every_constant(self, tmp_path):
        network = METSTPlus(width=4, d_state=2, blocks_per_stage=1)
        model = TrainedModel(
            network, k_p=4, threshold=0.3, calibration=Calibration(5.0, -2.0, {"n": 3}), name="mine"
        )
        again = load_model(save_model(model, tmp_path / "mine.safetensors"))
        assert replace(again, network=network) == model
        for key, value in network.state_dict().items():
            assert (again.network.state_dict()[key] == value).all()

    def test_nothing_stored_is_a_pickle(self, tmp_path):
        path = save_model(
            TrainedModel(METSTPlus(width=4, d_state=2, blocks_per_stage=1)), tmp_path / "m.safetensors"
        )
        assert path.read_bytes()[8:9] == b"{"  # safetensors: a length and JSON
        json.loads(path.with_suffix(".json").read_text())

    def test_weights_without_constants_are_uncalibrated(self, tmp_path):
        network = METSTPlus(width=4, d_state=2, blocks_per_stage=1)
        path = save_model(TrainedModel(network), tmp_path / "m.safetensors")
        path.with_suffix(".json").unlink()
        model = load_model(path)
        assert (model.features, model.calibration, model.threshold) == ("metst_plus", None, None)

    @pytest.mark.parametrize("text", ["no json", "[1]", '{"fps": 30, "wrong": 1}', '{"features": "metst"}'])
    def test_constants_that_do_not_fit_are_refused_by_name(self, tmp_path, text):
        path = save_model(
            TrainedModel(METSTPlus(width=4, d_state=2, blocks_per_stage=1)), tmp_path / "m.safetensors"
        )
        path.with_suffix(".json").write_text(text)
        with pytest.raises(InputError, match=r"m\.json"):
            load_model(path)

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(MissingError, match="gone"):
            load_model(tmp_path / "gone.safetensors")

    def test_the_bundled_weights_are_small_calibrated_and_described(self):
        model = load_model()
        assert BUNDLED.stat().st_size < 5e6
        assert model.calibration.slope > 0
        assert model.features == "metst_plus" and model.confidence_holds_on == "synthetic persons"
        page = (BUNDLED.parents[2] / "data" / "model_card.md").read_text()
        for text in ("synthetic", "not for decisions about people", "does not detect lies"):
            assert text in page
        assert "\n".join(lines_of(model.card)) in page, (
            "the card gives other numbers than the weights' own file"
        )
        assert model.threshold == model.card["chosen"]["threshold"]

    def test_the_first_edition_can_still_be_had(self):
        model = load_model("bundled-1")
        assert (model.phases, model.strategy) == (1, "fixed")
        page = (BUNDLED.parents[2] / "data" / "model_card.md").read_text()
        for name, measures in model.card["held_out"].items():
            assert f"{measures['spotting_f1']:.3f}" in page, f"the card does not give the number of: {name}"
            low, high = measures["intervals"]["strs"]
            assert low <= measures["strs"] <= high
            assert f"{measures['strs']:.3f} [{low:.3f}, {high:.3f}]" in page
        assert str(model.card["micro_expressions"]) in page

    def test_fine_tuning_changes_a_copy(self, clip):
        base = TrainedModel(
            METSTPlus(width=8, d_state=2, blocks_per_stage=1), calibration=Calibration(1.0, 0.0)
        )
        before = {k: v.clone() for k, v in base.network.state_dict().items()}
        windows = extract_motion(read_frames(clip), landmarker, "metst_plus", 50)
        annotations = pd.DataFrame(
            [("a", "b", 42, 48, 54, "surprise")], columns=list(tables.ANNOTATION_COLUMNS)
        )
        videos = pd.DataFrame([("a", "b", 30.0, 90, "")], columns=list(tables.VIDEO_COLUMNS))
        motion = MotionSet({("a", "b"): windows}, annotations, videos, "metst_plus", 50, 30.0)
        tuned = fine_tune(base, motion, epochs=25, learning_rate=1e-2)
        assert all((base.network.state_dict()[k] == v).all() for k, v in before.items())
        assert tuned.calibration is None
        score, _ = predict_video(tuned.network, windows, n_frames=90)
        inside = np.r_[43:54]
        assert score[inside].mean() > np.delete(score, inside).mean() + 0.2
        first, second = (fine_tune(base, motion, epochs=1).network.state_dict() for _ in range(2))
        assert all((first[k] == second[k]).all() for k in before)
        statistics = [k for k in before if "running" in k]
        assert statistics
        assert all((first[k] == before[k]).all() for k in statistics)  # those of a handful would be worse
        with pytest.raises(InputError, match="no annotation"):
            fine_tune(base, replace(motion, annotations=annotations.iloc[:0]))


class TestCalibration:
    def test_recovers_the_curve_that_made_the_data(self):
        rng = np.random.default_rng(0)
        scores = rng.uniform(0, 1, 20000)
        truth = Calibration(8.0, -4.0)
        fitted = Calibration.fit(scores, rng.uniform(size=20000) < truth(scores))
        assert fitted.slope == pytest.approx(8, rel=0.05)
        assert fitted(np.array([0.5]))[0] == pytest.approx(0.5, abs=0.02)

    @given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 1000))
    @settings(max_examples=25, deadline=None)
    def test_stays_a_probability_even_if_scores_separate_perfectly(self, n_true, n_false, seed):
        rng = np.random.default_rng(seed)
        scores = np.concatenate([rng.uniform(0.6, 1, n_true), rng.uniform(0, 0.4, n_false)])
        fitted = Calibration.fit(scores, np.arange(len(scores)) < n_true)
        said = fitted(np.linspace(0, 1, 50))
        assert ((said > 0) & (said < 1)).all()
        assert (np.diff(said) >= 0).all()
        # Platt's targets keep the mean of what is said between those of the two kinds.
        expected = (n_true * (n_true + 1) / (n_true + 2) + n_false / (n_false + 2)) / (n_true + n_false)
        assert fitted(scores).mean() == pytest.approx(expected, abs=1e-3)

    def test_needs_both_kinds(self):
        with pytest.raises(InputError, match="true and false"):
            Calibration.fit(np.array([0.1, 0.2]), np.array([True, True]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("window", "50"), ("window", 51), ("window", 10**9), ("fps", None), ("fps", [30]), ("fps", 0), ("k_p", 4.5), ("k_p", -1),
        ("p", True), ("threshold", "high"), ("synergy", {}), ("strategy", 3), ("features", 7), ("name", 7), ("card", []),
        ("calibration", 3), ("calibration", {"slope": "1", "intercept": 0}), ("unknown", 1),
    ],
)  # fmt: skip
def test_a_constant_of_the_wrong_kind_is_named(tmp_path, name, value):
    path = save_model(
        TrainedModel(METST(width=4, depth=1, d_state=2), features="metst"), tmp_path / "m.safetensors"
    )
    constants = json.loads(path.with_suffix(".json").read_text())
    del constants["checksum"]
    path.with_suffix(".json").write_text(json.dumps({**constants, name: value}))
    with pytest.raises(InputError, match=r"m\.json: not the constants of a model"):
        load_model(path)


def test_weights_that_are_not_those_of_their_constants_are_refused(tmp_path):
    for name in ("a", "b"):
        model = TrainedModel(METST(width=4, depth=1, d_state=2), features="metst")
        save_model(model, tmp_path / f"{name}.safetensors")
    (tmp_path / "a.safetensors").write_bytes((tmp_path / "b.safetensors").read_bytes())
    with pytest.raises(
        InputError, match=r"a\.safetensors: these are not the weights that a\.json was written with"
    ):
        load_model(tmp_path / "a.safetensors")
