"""The shipped DAG in a real Airflow, its test mode, with a program in place of t3b that ends with a code: success, skipped, failed.

In a virtual environment of its own (`pip install apache-airflow==3.3.2 apache-airflow-providers-standard`):
    AIRFLOW_HOME=$(mktemp -d) python tests/support/airflow_dag.py
"""

import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp())
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ["T3B_PIPELINES"] = "/etc/t3b/blood.toml"
programs = pathlib.Path(tempfile.mkdtemp())
stub = programs / "t3b"
stub.write_text('#!/bin/sh\necho "$@" >> "$STUB_CALLS"\nexit "$STUB_EXIT"\n')
stub.chmod(0o755)
calls = programs / "calls"
os.environ["STUB_CALLS"] = str(calls)
os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
dags = pathlib.Path(__file__).parents[2] / "deploy/airflow"
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(dags)

subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)
spec = importlib.util.spec_from_file_location("t3b_nightly", dags / "t3b_nightly.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
dag = module.t3b_nightly_blood
dag.get_task("nightly").retry_delay = timedelta(0)

# The state and how often the program was called: what trying again mends is tried again.
expected = {0: ("success", 1), 99: ("skipped", 1), 3: ("failed", 1), 77: ("failed", 1), 74: ("failed", 4)}
wrong = []
for day, (code, (state, n_calls)) in enumerate(expected.items(), start=1):
    os.environ["STUB_EXIT"] = str(code)
    n_before = len(calls.read_text().splitlines()) if calls.exists() else 0
    run = dag.test(logical_date=datetime(2026, 1, day, tzinfo=timezone.utc))
    found = run.get_task_instances()[0].state
    found = (str(getattr(found, "value", found)), len(calls.read_text().splitlines()) - n_before)
    print(f"exit {code}: {found[0]} after {found[1]} calls")
    if found != (state, n_calls):
        wrong.append((code, found, state, n_calls))
commands = calls.read_text().splitlines()
assert commands[0].startswith("nightly /etc/t3b/blood.toml --date 2026-01-01 --exit-when-empty 99"), commands[0]
assert not wrong, wrong
