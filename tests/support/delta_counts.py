"""Reads every Delta table below an output root: python delta_counts.py ROOT. Prints one JSON object: by table the rows that the log
promises, the rows that DuckDB finds in the files the log names, and how many runs they are of. Checks the schema against the files."""
import json
import os
import pathlib
import sys

import duckdb
import pyarrow.parquet
from deltalake import DeltaTable

found = {}
for folder in sorted(pathlib.Path(sys.argv[1], "tables").iterdir()):
    if not (folder / "_delta_log").is_dir():
        continue
    table = DeltaTable(str(folder))
    files = table.file_uris()
    adds = table.get_add_actions(flatten=True)
    promised = sum(adds.column("num_records").to_pylist())
    counted, runs = duckdb.execute(
        "select count(*), count(distinct run_id) from read_parquet(?, hive_partitioning = true)", [files]
    ).fetchone()
    runs = runs or len(set(adds.column("partition.run_id").to_pylist()))
    # deltalake's own reading of the rows, with the types that the log says.
    read = table.to_pyarrow_table() if hasattr(table, "to_pyarrow_table") else table.to_pandas()
    assert len(read) == counted, (folder.name, len(read), counted)
    named = [field.name for field in table.schema().fields]
    stored = pyarrow.parquet.read_schema(files[0]).names
    assert named == stored + ["run_date", "run_id"], (folder.name, named, stored)
    found[folder.name] = [promised, counted, runs]
print(json.dumps(found), flush=True)
# The libraries' threads, taken down in their own order at an interpreter's end, now and then end in an abort.
os._exit(0)
