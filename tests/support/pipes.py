"""Dagster Pipes by its own package.

variables PATH: the two variables of a process whose messages go to PATH, one a line.
messages PATH: does what a run does through the package, to PATH.
"""

import os
import sys

import dagster_pipes
from dagster_pipes import DAGSTER_PIPES_CONTEXT_ENV_VAR, DAGSTER_PIPES_MESSAGES_ENV_VAR, encode_param

CONTEXT = {
    "asset_keys": ["scores"],
    "code_version_by_asset_key": {"scores": None},
    "provenance_by_asset_key": {"scores": None},
    "partition_key": None,
    "partition_key_range": None,
    "partition_time_window": None,
    "run_id": "r",
    "job_name": "j",
    "retry_number": 0,
    "extras": {},
}
what, path = sys.argv[1:]
variables = {
    DAGSTER_PIPES_CONTEXT_ENV_VAR: encode_param({"data": CONTEXT}),
    DAGSTER_PIPES_MESSAGES_ENV_VAR: encode_param({"path": path}),
}
if what == "variables":
    for name, value in variables.items():
        print(f"{name}={value}")
else:
    os.environ.update(variables)
    with dagster_pipes.open_dagster_pipes() as pipes:
        pipes.log.info("t3b run r")
        pipes.report_asset_materialization(
            metadata={
                "run_id": {"type": "text", "raw_value": "r"},
                "n_scored": {"type": "int", "raw_value": 200},
            }
        )
