"""Runs DuckDB's views and questions over an output root: python sql_questions.py ROOT SQL_FOLDER. Prints one JSON object of
rows by question, and fails on any error or on a question without rows (quarantine may have none)."""
import json
import pathlib
import sys

import duckdb

root, folder = sys.argv[1], pathlib.Path(sys.argv[2])
connection = duckdb.connect()
connection.execute("SET VARIABLE t3b_root = '" + root.replace("'", "''") + "'")
for statement in (folder / "views.sql").read_text().split(";\n"):
    if statement.strip():
        connection.execute(statement)
answers = {}
for question in sorted(folder.glob("0*.sql")):
    rows = connection.execute(question.read_text()).fetchall()
    answers[question.stem] = [[str(value) for value in row] for row in rows]
    if not rows and "quarantine" not in question.stem:
        sys.exit(f"{question.name} has no rows")
print(json.dumps(answers))
