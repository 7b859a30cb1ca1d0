"""Writes dictionary.parquet: 300 000 rows of one value of 8 MiB, in a file of some kilobytes.

Run with pyarrow 26: python dictionary.py
"""

import os

import pyarrow as pa
import pyarrow.parquet as pq

values = pa.array([bytes(8 << 20)], pa.binary())
keys = pa.array([0] * 300_000, pa.int32())
table = pa.table({"image": pa.DictionaryArray.from_arrays(keys, values)})
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dictionary.parquet")
pq.write_table(
    table,
    path,
    compression="zstd",
    compression_level=19,
    use_dictionary=True,
    dictionary_pagesize_limit=64 << 20,
    write_statistics=False,
    row_group_size=300_000,
    store_schema=False,
)
print(os.path.getsize(path), pq.ParquetFile(path).metadata.row_group(0).column(0))
