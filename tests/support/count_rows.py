"""Reads a published run with DuckDB, an engine that shares no code with the writer, and prints its counts as JSON."""
import json
import sys

import duckdb

root = sys.argv[1]


def table(name):
    return f"read_parquet('{root}/tables/{name}/**/*.parquet', hive_partitioning = true)"


db = duckdb.connect()
one = lambda query: db.execute(query).fetchone()[0]
rows = lambda query: db.execute(query).fetchall()
print(
    json.dumps(
        {
            "runs": one(f"select count(*) from {table('runs')} where status like 'complete%'"),
            "predictions": one(f"select count(*) from {table('predictions')} join {table('runs')} using (run_id)"),
            "distinct": one(
                f"select count(*) from (select distinct sample_id, corruption, severity, method from {table('predictions')})"
            ),
            "samples": one(f"select count(distinct sample_id) from {table('predictions')}"),
            "cells": one(f"select count(*) from (select distinct corruption, severity from {table('predictions')})"),
            "signals": one(f"select count(*) from {table('signals')}"),
            "batches": one(f"select count(*) from {table('batches')}"),
            "quarantine": one(f"select count(*) from {table('quarantine')}"),
            "not_finite": one(f"select count(*) from {table('signals')} where isnan(js_nats) or isnan(lambda_sample)"),
            "probs_off": one(f"select count(*) from {table('predictions')} where abs(list_sum(probs) - 1) > 1e-4"),
            "accuracy": {
                f"{method} {corruption} {severity}": share
                for method, corruption, severity, share in rows(
                    f"select method, corruption, severity, avg(correct::int) from {table('predictions')} group by all"
                )
            },
        }
    )
)
