"""Parses the views and questions of every engine with sqlglot, and checks that each column they name is one that hive/tables.sql
declares (which another test compares with the program): python sql_dialects.py SQL_FOLDER. Prints one line an engine."""
import pathlib
import sys

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.qualify import qualify

ROOT = pathlib.Path(sys.argv[1])
KINDS = {"STRING": "VARCHAR", "TEXT": "VARCHAR", "REAL": "FLOAT"}


def kind(column: exp.ColumnDef) -> str:
    name = column.kind.sql("hive").upper()
    inner = name.replace("ARRAY<", "").rstrip(">")
    inner = inner.split("(")[0]
    return ("ARRAY " if name.startswith("ARRAY") else "") + KINDS.get(inner, inner)


def parse(path: pathlib.Path, dialect: str) -> list[exp.Expression]:
    return [one for one in sqlglot.parse(path.read_text(), dialect=dialect, error_level=sqlglot.ErrorLevel.RAISE) if one]


def tables(statements: list[exp.Expression]) -> dict[str, dict[str, str]]:
    """Columns of every table that is declared, those it is partitioned by among them."""
    found = {}
    for create in statements:
        if isinstance(create, exp.Create) and create.kind == "TABLE":
            columns = {column.name: kind(column) for column in create.find_all(exp.ColumnDef)}
            found[create.find(exp.Table).name] = columns
    return found


declared = tables(parse(ROOT / "hive" / "tables.sql", "hive"))
assert len(declared) == 7 and all({"run_date", "run_id"} <= set(columns) for columns in declared.values()), declared
schema = {name.removesuffix("_files"): columns for name, columns in declared.items()} | declared
for engine in ["duckdb", "trino", "athena", "spark"]:
    views = parse(ROOT / engine / "views.sql", engine)
    assert not any(isinstance(one, exp.Command) for one in views if engine != "duckdb"), f"{engine}: views.sql is not understood"
    for table, columns in tables(views).items():
        wrong = {name: of for name, of in columns.items() if declared[table].get(name) != of}
        assert not wrong, f"{engine}: {table} declares {wrong}"
    made = {one.find(exp.Table).name for one in views if isinstance(one, exp.Create) and one.kind == "VIEW"}
    questions = sorted((ROOT / engine).glob("0*.sql"))
    assert len(questions) == 8, engine
    for path in questions:
        (question,) = parse(path, engine)
        common = {one.alias for one in question.find_all(exp.CTE)}
        asked = {table.name for table in question.find_all(exp.Table)} - common
        assert asked <= made, f"{engine}/{path.name} asks {asked - made}, which views.sql does not make"
        # Trino's average of a decimal is a decimal of as many digits: 0.9 of 0.94.
        for average in question.find_all(exp.Avg):
            decimals = [one.this for one in average.find_all(exp.Literal) if one.is_number and "." in one.this]
            assert not decimals, f"{engine}/{path.name}: the average of decimals {decimals}"
        qualify(question, schema=schema, dialect=engine, validate_qualify_columns=True)
    print(f"{engine}: {len(views)} statements, {len(questions)} questions")
