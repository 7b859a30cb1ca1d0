"""Opens every table folder of an output root as it lies, with four readers that share no code with the writer.

Usage: read_folders.py ROOT. Prints rows per table and reader; fails where two disagree.
"""
import sys
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds

root = Path(sys.argv[1])
for folder in sorted((root / "tables").iterdir()):
    rows = {
        "polars": pl.scan_parquet(folder).select(pl.len()).collect().item(),
        "pandas": len(pd.read_parquet(folder)),
        "pyarrow": ds.dataset(folder, format="parquet", partitioning="hive").count_rows(),
        "duckdb": duckdb.sql(f"select count(*) from read_parquet('{folder}/**/*.parquet')").fetchall()[0][0],
    }
    print(folder.name, rows)
    assert len(set(rows.values())) == 1, f"{folder.name}: {rows}"
