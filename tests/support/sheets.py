"""Label sheets of CAS(ME)^3 and SAMM-LV with made-up rows, in the layouts of the real ones."""

import openpyxl

CASME3_HEADER = ["Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"]
LONG_HEADER = [
    "Subject", "Filename", "Inducement Code", "Onset", "Apex", "Offset", "Duration", "Type", "Action Units",
    "Notes",
]  # fmt: skip
FACS_HEADER = [
    "Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration",
    "Micro", "Action Units", "Estimated Emotion", "Objective Classes", "Notes",
]  # fmt: skip


def workbook(path, rows, merged=()):
    """Write rows of cells as a workbook; `merged` are cell ranges."""
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for cells in merged:
        book.active.merge_cells(cells)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)


def row(onset, apex, offset, emotion="happy", subject="spNO.1", video="a"):
    return [subject, video, onset, apex, offset, "AU4", "I", emotion]


def long_row(sample, onset, apex, offset, kind="Micro - 1/2"):
    return [int(sample.split("_")[0]), sample, "A", onset, apex, offset, 1, kind, "AU4", None]


def facs_row(sample, emotion, kind="Micro - 1/2"):
    return [int(sample.split("_")[0]), sample, "A", 1, 2, 3, 1, kind, "AU4", emotion, "I", None]


def sammlv_sheets(root, long_rows, facs_rows, header=True):
    leading = [["SAMM Long Videos", *[None] * 9], *[[None] * 10 for _ in range(8)]]
    workbook(root / "long.xlsx", [*leading, LONG_HEADER if header else [None] * 10, *long_rows])
    workbook(root / "codes.xlsx", [["SAMM codes", *[None] * 11], [None] * 12, FACS_HEADER, *facs_rows])
