"""One night a day for each pipeline: exit code 99 (nothing new) is a skipped task, 74 and 75 are tried again, anything else fails.

The worker needs `t3b` on its path and `T3B_PSEUDONYM_KEY` in its environment. T3B_PIPELINES lists pipeline files, `:` between them.
"""

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

from airflow.exceptions import AirflowFailException, AirflowSkipException
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

# Codes that the same command mends: the store gave up, a signal came.
TRY_AGAIN = (74, 75)
NOTHING_NEW = 99


class Nightly(BashOperator):
    """`t3b nightly`, failed at once where trying again cannot help."""

    def execute(self, context):
        try:
            return super().execute(context)
        except (AirflowFailException, AirflowSkipException):
            raise
        except Exception as error:
            text = str(error)
            if any(f"code {code}" in text for code in TRY_AGAIN):
                raise
            if "exit code" in text:
                raise AirflowFailException(text) from error
            raise


def nightly(pipeline: str) -> DAG:
    """The DAG of one pipeline file; a past date scores that night and changes nothing that is published."""
    name = Path(pipeline).stem
    with DAG(
        dag_id=f"t3b_nightly_{name}",
        description=f"t3b nightly scoring of {name}",
        schedule="30 1 * * *",
        start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
        catchup=False,
        max_active_runs=1,
        tags=["t3b"],
    ) as dag:
        Nightly(
            task_id="nightly",
            bash_command=f"t3b nightly '{pipeline}' --date '{{{{ ds }}}}' --exit-when-empty {NOTHING_NEW}",
            append_env=True,
            skip_on_exit_code=NOTHING_NEW,
            retries=3,
            retry_delay=timedelta(minutes=5),
            execution_timeout=timedelta(hours=12),
        )
    return dag


for path in filter(None, os.environ.get("T3B_PIPELINES", "/etc/t3b/pipeline.toml").split(":")):
    globals()[f"t3b_nightly_{Path(path).stem}"] = nightly(path)
