"""Files that are either whole or not there, locks, names that are safe, and the record of how a result came about."""

from pathlib import Path

from metst_core.files.locks import only_one
from metst_core.files.names import check_id, one_line, plain_name, printable, safe_name
from metst_core.files.records import (
    claim_folder,
    content_hash,
    plain,
    read_json,
    run_record,
    value_hash,
    write_between,
    write_json,
    write_text,
)
from metst_core.files.sealed import (
    UNREADABLE,
    check_seal,
    is_whole,
    read_sealed,
    sealed_path,
    sha256_of,
    understood,
    write_sealed,
)
from metst_core.files.writing import atomic_folder, atomic_path, check_no_input, check_output, sweep, visible

ASSETS = Path(__file__).parents[1] / "assets"
"""What comes with the package beside the code: weights, templates, scripts."""

__all__ = [
    "ASSETS",
    "UNREADABLE",
    "atomic_folder",
    "atomic_path",
    "check_id",
    "check_no_input",
    "check_output",
    "check_seal",
    "claim_folder",
    "content_hash",
    "is_whole",
    "one_line",
    "only_one",
    "plain",
    "plain_name",
    "printable",
    "read_json",
    "read_sealed",
    "run_record",
    "safe_name",
    "sealed_path",
    "sha256_of",
    "sweep",
    "understood",
    "value_hash",
    "visible",
    "write_between",
    "write_json",
    "write_sealed",
    "write_text",
]
