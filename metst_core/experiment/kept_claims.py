"""The claims' tables that travel with the code: kept once with their record, read where a run has none of its own."""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from metst_core.errors import MissingError
from metst_core.files import read_json, visible, write_between

TABLES = ("claims.csv", "answers.csv", "record.json")
DECODER_TABLES = ("decoder.csv", "decoder_record.json")
MARKS = ("<!-- the claims, by `make figures` -->", "<!-- end of the claims -->")


@dataclass(frozen=True, eq=False)
class StoredClaims:
    """A claims table as it was written: its cells, the answers, and the record of how it came about.

    Both tables are empty where nothing has been computed.  own: of the run that was asked, not the kept one.
    """

    table: pd.DataFrame
    answers: pd.DataFrame
    record: dict[str, Any]
    own: bool

    def cells(self, claim: str) -> pd.DataFrame:
        """The rows of one claim."""
        return self.table[self.table["claim"] == claim] if len(self.table) else self.table

    @property
    def origin(self) -> str:
        """Of which run, commit, date and seeds this is, and what was cut, in words."""
        if self.answers.empty:
            return "Nothing has been computed."
        whose = "This run's own table" if self.own else "The table that came with the code"
        record, seeds = self.record, self.table["seeds"]
        many = "1 training seed" if seeds.max() == 1 else f"{seeds.max()} training seeds"
        many = many if seeds.min() == seeds.max() else f"{seeds.min()} to {many}"
        commit = str(record.get("commit") or "unknown")
        changed = " with changes" if commit.endswith("-dirty") else ""
        made = (
            f"commit {commit.removesuffix('-dirty')[:10]}{changed}, {record.get('date', 'date not recorded')}"
        )
        cut = record.get("cut") or []
        left = f"Cut for lack of time: {'; '.join(cut)}." if cut else "No cell was cut."
        rates = " or ".join(f"{rate:g}" for rate in record.get("rates") or [])
        chosen = (
            f" The rivals' learning rates, {rates}, were chosen by the other folds' persons." if rates else ""
        )
        return f"{whose} ({made}; {len(self.table)} cells with {many}, {self.table['folds'].iloc[0]}).{chosen} {left}"


def kept_folder() -> Path | None:
    """`data/claims` of the repository; None where there is no table in it."""
    for data in (Path("../data"), Path("data"), Path(__file__).parents[2] / "data"):
        if (data / "claims" / TABLES[0]).is_file():
            return data / "claims"
    return None


def read_claims(run_dir: str | Path | None = None, ideas: bool = False) -> StoredClaims:
    """The claims' table of a run's folder, else the one that came with the code, else an empty one.

    `ideas`: the table of the related papers' ideas instead.
    """
    kept = kept_folder()
    places = [(None if run_dir is None else Path(run_dir) / "claims", True), (kept, False)]
    for place, own in places:
        folder = place / "ideas" if place is not None and ideas else place
        if folder is not None and (folder / TABLES[0]).is_file():
            table, answers = (pd.read_csv(folder / name, dtype={"level": str}) for name in TABLES[:2])
            table["verdict"] = table["verdict"].fillna("")
            return StoredClaims(table.fillna({"variant": ""}), answers, read_json(folder / TABLES[2]), own)
    return StoredClaims(pd.DataFrame(), pd.DataFrame(), {}, False)


def keep(folder: str | Path, out_dir: str | Path) -> Path:
    """Copy a computed table, its record and its figures (not its networks) to `out_dir`; the path."""
    folder, out = Path(folder), Path(out_dir)
    there = [folder / name for name in (*TABLES, *DECODER_TABLES) if (folder / name).is_file()]
    if not there:
        raise MissingError(f"{folder / TABLES[0]}: no table to keep; compute it with `metst claims`")
    out.mkdir(parents=True, exist_ok=True)
    for file in [*there, *visible(folder, "*.png")]:
        shutil.copyfile(file, out / file.name)
    return out


def read_decoders(run_dir: str | Path | None = None) -> pd.DataFrame:
    """The table of `run_decoders` of a run's folder, else the one that came with the code, else an empty one."""
    for place in (None if run_dir is None else Path(run_dir) / "claims", kept_folder()):
        if place is not None and (place / DECODER_TABLES[0]).is_file():
            return pd.read_csv(place / DECODER_TABLES[0], keep_default_na=True).fillna(
                {"choices": "", "verdict": ""}
            )
    return pd.DataFrame(columns=["model", "decoder", "choices", "verdict"])


def claims_page(stored: StoredClaims) -> str:
    """The answers as a table in Markdown, with their origin; a sentence where nothing has been computed."""
    if stored.answers.empty:
        return "No table of the claims has been computed yet (`metst claims --run runs/default --keep data/claims`)."
    lines = ["| claim | source | difference in STRS [95%] | answer |", "|---|---|---|---|"]
    for row in stored.answers.to_dict("records"):
        gap = "-"
        if row["answer"] != "not computed":
            gap = f"{row['difference']:+.3f} [{row['difference_low']:+.3f}, {row['difference_high']:+.3f}]"
            if row["answer"] == "could not be told" and pd.notna(row["difference_could_see"]):
                gap += f", could have seen {row['difference_could_see']:.3f}"
        lines.append(f"| {row['sentence']} | {row['source']} | {gap} | {row['answer']} |")
    return "\n".join([*lines, "", stored.origin])


def write_claims(page: str | Path, run_dir: str | Path | None = None) -> Path:
    """Put the answers between the marks of a page (the README); its path."""
    return write_between(MARKS, claims_page(read_claims(run_dir)), page, "put them where the claims go")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=write_claims.__doc__)
    parser.add_argument("page", nargs="?", default="README.md")
    options = parser.parse_args()
    print(f"{write_claims(options.page)}: the claims")
