"""One's own video, in one call: from a file to named intervals with a confidence, and what speaks against them.

    result = analyse("clip.mp4")
    result.table, result.score, result.quality, result.plot(), result.to_csv("clip.csv")

What this is not: it does not detect lies, intentions or illnesses.  The bundled weights were trained on
synthetic faces.  Use it to learn and to look closer, never for decisions about people.  Nothing leaves the
machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from tqdm import tqdm

from metst_core.files import check_no_input, run_record, write_json
from metst_core.inference import Analysis, FaceChoice, FaceFinder, Findings, TrainedModel
from metst_core.landmarks import Landmarker
from metst_core.models import Network
from metst_core.pipeline.exports import as_dict, headline, printed, summary_text, write_frames, write_megc
from metst_core.pipeline.page import result_html, write_page
from metst_core.pipeline.reel import write_annotated_video
from metst_core.tables import write_table
from metst_core.video import files_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class AnalysisResult(Findings):
    """What was found in one video (see `Findings` for its parts), and how to show and write it."""

    @classmethod
    def of(cls, analysis: Analysis) -> AnalysisResult:
        """What is known so far, while the analysis still runs or once it has ended."""
        return cls(**vars(analysis.result()))

    def __repr__(self) -> str:
        return f"AnalysisResult({str(self.path)!r}: {headline(self)})"

    def _repr_html_(self) -> str:
        return result_html(self)

    def plot(self, annotations: pd.DataFrame | None = None) -> Figure:
        """Score, intervals and quality over time; with `annotations` (this video's), the truth beside them."""
        from metst_core.plots import ScoreLine, score_timeline

        line = ScoreLine(self.score, self.fps, self.smoothed, self.threshold, self.times)
        return score_timeline(
            line, annotations, self.table, self.quality, self.path.name, self.model.confidence_holds_on
        )

    def to_csv(self, path: str | Path | None = None) -> str | Path:
        """Write the table as CSV, or return it as text without a path."""
        if path is None:
            return printed(self.table).to_csv(index=False, lineterminator="\n")
        return write_table(printed(self.table), self._output(path))

    def to_megc(self, path: str | Path) -> Path:
        """Write the intervals as the grand challenges want them: `subject,video,onset,offset,emotion`, first frame 1."""
        return write_megc([self], self._output(path))

    def to_dict(self) -> dict[str, Any]:
        """Everything but the ROI motion, as plain values (NaN becomes null when written as JSON)."""
        return as_dict(self)

    def to_json(self, path: str | Path) -> Path:
        """Write `to_dict` and how it came about as JSON."""
        return write_json({"record": run_record(), **self.to_dict()}, self._output(path))

    def to_frames(self, path: str | Path) -> Path:
        """Write `frames`, one row per frame of the video, as CSV (or Parquet, by the name's end)."""
        return write_frames([self], self._output(path))

    def to_html(self, path: str | Path, progress: bool = False) -> Path:
        """Write one self-contained page that opens offline: time line, apex frames with ROIs and flow, traces."""
        return write_page(self, self._output(path), progress)

    def to_video(self, path: str | Path, progress: bool = False) -> Path:
        """Write the video, with its sound, over its score and with its intervals named; `.mp4` plays in a browser."""
        return write_annotated_video(self, self._output(path), progress)

    def _output(self, path: str | Path) -> Path:
        """`path`, unless it is the video itself or one of its images (`InputError`)."""
        check_no_input(path, files_of([self.path]))
        return Path(path)

    def summary(self) -> str:
        """What was found, in a few lines of text."""
        return summary_text(self)


def analyse(
    video_path: str | Path,
    model: str | Path | Network | TrainedModel = "bundled",
    landmarker: Landmarker | None = None,
    image_fps: float = 30.0,
    progress: bool | Callable[[int, int], None] = True,
    face_finder: FaceFinder | None = None,
    face: str | int | FaceChoice = "largest",
    phases: int | None = None,
) -> AnalysisResult:
    """Find the micro-expressions in a video file or a folder of images.

    model: see `load_model`.  landmarker: instead of MediaPipe (see `metst_core.landmarks`); with one's own, a second
    face in the picture goes unnoticed, unless a `face_finder` (see `metst_core.inference`) looks for it.  image_fps:
    frames per second of a folder of images.  face: which of several faces, followed from its first look on: `largest`,
    `left`, `right`, a number from the left (1 is the leftmost), or a box `left,top,width,height` in pixels.  phases: how
    many window phases are averaged; 1 is fastest, and what it says hangs on where the video begins (None: the model's own
    number).  progress: a bar, or a function that is called with the frames that are done and those in all.

    Memory does not grow with the length of the video but for a few numbers per frame.  Ctrl-C, and a video that
    breaks on the way, give the result so far (`complete` is False, `trouble` says why); if nothing is done yet, they
    raise.  Raises a `MetstError` that names the file.

    A synthetic person, two seconds at 30 frames per second:

    >>> import tempfile
    >>> from metst_core.synthetic import generate
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     person = generate(folder, n_subjects=1, n_videos=1, seconds=2.0, progress=False)
    ...     result = analyse(person.videos["path"].iloc[0], progress=False)
    >>> result.complete, result.score.shape
    (True, (60,))
    """
    analysis: Analysis
    with _Progress(Path(video_path), progress) as report:
        analysis = Analysis(video_path, model, landmarker, image_fps, face_finder, face, phases)
        report.begin(analysis)
        try:
            for done in analysis:
                report.move(done)
        except KeyboardInterrupt:
            if not analysis.stop():
                raise
    return AnalysisResult.of(analysis)


class _Progress:
    """A bar of one video, or a function that is called with the frames that are done and those in all."""

    def __init__(self, path: Path, how: bool | Callable[[int, int], None]) -> None:
        self._call = how if callable(how) else None
        # A long video takes minutes before its frames are counted (`video.probe`).
        counting = f"{path.name[:30]}: counting its frames"
        hidden = callable(how) or not how
        self._bar = tqdm(desc=counting, bar_format="{desc}", unit="frame", leave=False, disable=hidden)
        self._total = 0

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def begin(self, analysis: Analysis) -> None:
        self._total = analysis.n_model_frames
        self._bar.bar_format, self._bar.leave = None, True
        self._bar.set_description(analysis.video[:30], refresh=False)
        self._bar.reset(total=self._total)
        if self._call is not None:
            self._call(0, self._total)

    def move(self, n_done: int) -> None:
        self._bar.update(n_done - self._bar.n)
        if self._call is not None:
            self._call(n_done, self._total)
