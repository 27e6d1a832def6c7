"""The submission form of the micro-expression grand challenges (MEGC): intervals in original frame numbers.

`subject,video,onset,offset,emotion`, where a frame's number is the one that the set's own label files would
use: the recording's frames, the first one being 1.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from metst_core import tables
from metst_core.datasets.dataset import Dataset
from metst_core.errors import InputError

SUBMISSION_COLUMNS = ("subject", "video", "onset", "offset", "emotion")


def write_submission(
    predictions: pd.DataFrame, dataset: Dataset, path: str | Path, first_frame: int = 1
) -> pd.DataFrame:
    """Write a prediction table as a submission; return what was written.

    Frame step and resampling are undone (frame `i` of a set with step 7 is recorded frame `7 i`), and the
    recording's first frame gets the number `first_frame`.  What sticks out of the video is cut.  The apex and
    the score are not part of a submission, and neutral is not an emotion of one: such rows are an
    `InputError`.
    """
    predictions = tables.check_predictions(predictions)
    neutral = predictions.index[predictions["emotion"] == tables.NEUTRAL]
    if len(neutral):
        raise InputError(
            f"prediction table: row {neutral[0]} is neutral; a submission names an emotion for every "
            "interval, so decode with synergy 1 (withdraws it) or 2"
        )
    rows = []
    for row in predictions.itertuples():
        last = _n_frames(dataset, row.subject, row.video) - 1
        ends = [min(max(frame, 0), last) for frame in (row.onset, row.offset)]
        onset, offset = dataset.source_numbers(row.subject, row.video, ends) + first_frame
        rows.append((row.subject, row.video, int(onset), int(offset), row.emotion))
    table = pd.DataFrame(rows, columns=list(SUBMISSION_COLUMNS))
    tables.write_table(table, path)
    return table


def read_submission(path: str | Path, dataset: Dataset, first_frame: int = 1) -> pd.DataFrame:
    """Read a submission as a prediction table in the frames of `dataset`.

    Scores are NaN and the apex is the middle: a submission holds neither.  A recorded frame is the latest
    yielded one that does not come after it.
    """
    table = tables.read_csv(path)
    for column in SUBMISSION_COLUMNS:
        if column not in table.columns:
            raise InputError(
                f"{path}: column {column} missing; a submission has {','.join(SUBMISSION_COLUMNS)}"
            )
    table = table.assign(apex=table["onset"], score=float("nan"))
    lines = table.index.to_numpy() + tables.FIRST_ROW
    table = tables.check_predictions(table, str(path), tables.FIRST_ROW)
    for index, row in enumerate(table.itertuples()):
        length = _n_frames(dataset, row.subject, row.video)
        sources = dataset.source_numbers(row.subject, row.video, range(length)) + first_frame
        if row.onset < sources[0]:
            raise InputError(
                f"{path}: row {lines[index]}: onset {row.onset} lies before the first frame, {sources[0]}"
            )
        onset, offset = (int((sources <= frame).sum()) - 1 for frame in (row.onset, row.offset))
        table.loc[index, ["onset", "apex", "offset"]] = onset, (onset + offset) // 2, offset
    return table


def _n_frames(dataset: Dataset, subject: str, video: str) -> int:
    dataset.path(subject, video)  # raises if there is no such video
    return int(tables.of_video(dataset.videos, subject, video)["n_frames"].iloc[0])
