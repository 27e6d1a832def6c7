"""An unlabelled test set on its way from videos to a submission, as data/megc.md shows it."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from test_extraction import Fake, write_frames

from metst_core import extraction
from metst_core.checkpoints import save
from metst_core.models import METSTPlus

CARD = Path(__file__).parent.parent / "data" / "megc.md"


def test_the_card_s_code_leads_from_unlabelled_videos_to_a_submission(tmp_path, monkeypatch):
    """The code block is run as it stands, with made-up weights; no labels are there to be asked for."""
    for subject, video, seed in (("006", "1", 0), ("007", "1", 1)):
        write_frames(tmp_path / "root" / subject / video, 7 * 45, seed)
    torch.manual_seed(0)
    save(METSTPlus(width=8, blocks_per_stage=1, d_state=2), tmp_path / "weights.safetensors")
    (code,) = re.findall(r"```python\n(.*?)```", CARD.read_text(encoding="utf-8"), re.S)
    whole = extraction.extract_dataset
    monkeypatch.setattr(
        extraction, "extract_dataset", lambda *a, **k: whole(*a, landmarker_factory=Fake, **k)
    )
    monkeypatch.chdir(tmp_path)
    names = {"ROOT": tmp_path / "root"}
    exec(compile(code, "data/megc.md", "exec"), names)

    written = pd.read_csv(tmp_path / "submission.csv", dtype={"subject": str, "video": str})
    assert written.columns.tolist() == ["subject", "video", "onset", "offset", "emotion"]
    assert set(written["subject"]) == {"006", "007"}  # the relative threshold finds something in every video
    assert written["onset"].ge(1).all() and written["offset"].le(7 * 44 + 1).all()
    # Spotted frame f is recorded frame 7 f, the first being 1; what sticks out of 0..44 was cut.
    frames = pd.concat(names["found"])[["onset", "offset"]].clip(0, 44).to_numpy()
    np.testing.assert_array_equal(written[["onset", "offset"]].to_numpy(), 7 * frames + 1)
    assert names["table"][["onset", "offset"]].to_numpy().tolist() == frames.tolist()
