"""A data set: which videos there are, what is annotated in them, and their frames one at a time.

Frame numbers are 0-based, intervals inclusive, and everything counts in the frames that `Dataset.frames`
yields, that is after the frame step or the resampling.  Foreign conventions are converted where files are
read (`sheets`, `labels`, `load`, `licensed`), nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from metst_core import tables
from metst_core.datasets.readers import VideoReader
from metst_core.datasets.rules import Report
from metst_core.errors import MissingError
from metst_core.files import value_hash
from metst_core.video import natural_key

ANNOTATIONS_FILE = "annotations.csv"

VIDEOS_FILE = "videos.csv"

CLASS_SETS = {"casme3": (tables.EMOTIONS,), "sammlv": (tables.EMOTIONS, tables.EMOTIONS[:3])}
"""The emotions that recognition is scored over: SAMM-LV is also reported without "others" (method: section 7)."""

FRAME_COLUMNS = ["onset", "apex", "offset"]


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A set of videos with its annotations.

    `annotations` is an annotation table (empty for an unlabelled set).  `videos` is a video table; its
    `n_frames` and `fps` are those of the frames that `frames` yields, and it keeps the videos without a
    micro-expression.  `fps` is the rate of the recording and `frame_step` how many recorded frames one
    yielded frame stands for.  `window` is the window length k that goes with the set.  `report` (`file, row, problem,
    action`) has a line for every row or file that was repaired or left out.  `macro` is an annotation table of
    macro-expressions, empty where none were asked for: nothing is trained on them or scored unless `expressions` is used.
    """

    name: str
    annotations: pd.DataFrame
    videos: pd.DataFrame
    fps: float
    frame_step: int = 1
    window: int = 50
    report: pd.DataFrame = field(default_factory=lambda: Report().table())
    reader: VideoReader = field(default_factory=VideoReader)
    macro: pd.DataFrame = field(default_factory=tables.empty_annotations)

    @property
    def frame_rate(self) -> float:
        """Yielded frames per second."""
        return self.fps / self.frame_step

    @property
    def subjects(self) -> list[str]:
        """Subject ids in natural order."""
        return sorted(self.videos["subject"].unique(), key=natural_key)

    @property
    def expressions(self) -> pd.DataFrame:
        """Micro- and macro-expressions in one table with a column `kind`, as `metrics.evaluate(..., kinds=...)` takes it."""
        parts = [self.annotations.assign(kind=tables.MICRO), self.macro.assign(kind=tables.MACRO)]
        both = pd.concat([p for p in parts if len(p)] or parts, ignore_index=True)
        return both.sort_values(["subject", "video", "onset", "offset"], kind="stable", ignore_index=True)

    def path(self, subject: str, video: str) -> Path:
        """Where a video's frames are."""
        rows = tables.of_video(self.videos, subject, video)
        if rows.empty:
            raise MissingError(f"{self.name}: no video {video!r} of subject {subject!r}; see Dataset.videos")
        if not rows["path"].iloc[0]:
            raise MissingError(
                f"{self.name}: only the labels were loaded; load_dataset also finds the videos"
            )
        return Path(rows["path"].iloc[0])

    def frames(self, subject: str, video: str) -> Iterator[np.ndarray]:
        """Yield one video's frames, RGB `uint8 (H, W, 3)`, after the frame step; lazily, decoding it once."""
        return self.reader.frames(self.path(subject, video))

    def source_numbers(self, subject: str, video: str, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """0-based numbers in the recording of yielded frames: undoes frame step and resampling."""
        return self.reader.source_numbers(self.path(subject, video), np.asarray(numbers))

    def summary(self) -> pd.DataFrame:
        """What the set holds, in numbers: columns `what, found`."""
        videos, found = self.videos, self.annotations
        lengths = found["offset"] - found["onset"] + 1
        with_me = found[["subject", "video"]].drop_duplicates()
        rows = [
            ("data set", self.name),
            ("subjects", str(videos["subject"].nunique())),
            ("videos", str(len(videos))),
            ("videos without a micro-expression", str(len(videos) - len(with_me))),
            ("micro-expressions", str(len(found))),
            ("minutes of video", f"{(videos['n_frames'] / videos['fps']).sum() / 60:.1f}"),
            ("frames per second", f"{self.fps:g}"),
            ("frame step", str(self.frame_step)),
            ("rows and files repaired or left out", str(len(self.report))),
        ]
        if len(found):
            said = f"{lengths.min()} to {lengths.max()}, mean {lengths.mean():.1f}"
            rows.insert(5, ("micro-expression length in frames", said))
        return pd.DataFrame(rows, columns=["what", "found"])

    def __repr__(self) -> str:
        step = f" (frame step {self.frame_step})" if self.frame_step > 1 else ""
        return (
            f"Dataset {self.name!r}: {_count(len(self.videos), 'video')} of "
            f"{_count(self.videos['subject'].nunique(), 'subject')}, "
            f"{_count(len(self.annotations), 'micro-expression')}, {self.fps:g} frames per second{step}, "
            f"windows of {self.window}"
        )

    def _repr_html_(self) -> str:
        """For notebooks: the summary as a table (pandas escapes what the files say)."""
        return self.summary().to_html(index=False, header=False, border=0)

    def report_text(self) -> str:
        """`report` as text; the rows left out as published, which are many in some sets, only counted."""
        published = self.report["action"] == "left out, as published"
        lines = [self.report[~published].to_string(index=False)] if not published.all() else []
        if published.any():
            lines.append(f"and {published.sum()} rows left out as published (Dataset.report lists them)")
        return "\n\n".join(lines)

    def reading_hash(self) -> str:
        """For caches: changes if the same files would yield other frames (step, resampling, gap rule)."""
        return value_hash(repr(self.reader))


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}{'' if n == 1 else 's'}"


def video_table(rows: list[tuple[str, str, float, int, str]]) -> pd.DataFrame:
    """The video table of rows `subject, video, fps, n_frames, path`."""
    table = pd.DataFrame(rows, columns=list(tables.VIDEO_COLUMNS))
    return table.astype({"subject": str, "video": str, "fps": float, "n_frames": "int64", "path": str})
