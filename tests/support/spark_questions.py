"""Runs Spark's views and questions over an output root: python spark_questions.py ROOT SQL_FOLDER. Prints one JSON object of rows by
question, as sql_questions.py does for DuckDB. Needs pyspark and a JVM; setup.sh installs neither."""
import json
import pathlib
import sys

from pyspark.sql import SparkSession

root, folder = sys.argv[1], pathlib.Path(sys.argv[2])
spark = (
    SparkSession.builder.master("local[1]")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.sql.shuffle.partitions", "2")
    .config("spark.sql.session.timeZone", "UTC")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")
for statement in (folder / "views.sql").read_text().replace("${root}", root).split(";\n"):
    if any(line.strip() and not line.startswith("--") for line in statement.splitlines()):
        spark.sql(statement)
answers = {}
for question in sorted(folder.glob("0*.sql")):
    rows = spark.sql(question.read_text().strip().removesuffix(";")).collect()
    answers[question.stem] = [[str(value) for value in row] for row in rows]
    if not rows and "quarantine" not in question.stem:
        sys.exit(f"{question.name} has no rows")
print(json.dumps(answers))
