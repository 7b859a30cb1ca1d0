-- Spark SQL: replace ${root} by the output root.
-- Run by tests/support/spark_questions.py where there is Spark; this project's tests read it with a parser of this dialect (sqlglot).

CREATE OR REPLACE TEMPORARY VIEW t3b_runs_files USING parquet OPTIONS (path '${root}/tables/runs', mergeSchema 'true');

CREATE OR REPLACE TEMPORARY VIEW t3b_predictions_files USING parquet OPTIONS (path '${root}/tables/predictions', mergeSchema 'true');

CREATE OR REPLACE TEMPORARY VIEW t3b_signals_files USING parquet OPTIONS (path '${root}/tables/signals', mergeSchema 'true');

CREATE OR REPLACE TEMPORARY VIEW t3b_batches_files USING parquet OPTIONS (path '${root}/tables/batches', mergeSchema 'true');

CREATE OR REPLACE TEMPORARY VIEW t3b_coefficients_files USING parquet OPTIONS (path '${root}/tables/coefficients', mergeSchema 'true');

CREATE OR REPLACE TEMPORARY VIEW t3b_quarantine_files USING parquet OPTIONS (path '${root}/tables/quarantine', mergeSchema 'true');

CREATE OR REPLACE TEMPORARY VIEW t3b_attempts_files USING parquet OPTIONS (path '${root}/tables/attempts', mergeSchema 'true');

CREATE OR REPLACE TEMPORARY VIEW t3b_runs AS SELECT * FROM t3b_runs_files;

CREATE OR REPLACE TEMPORARY VIEW t3b_predictions AS
SELECT t.* FROM t3b_predictions_files t
WHERE EXISTS (SELECT 1 FROM t3b_runs_files r WHERE r.run_id = t.run_id AND r.run_date = t.run_date);

CREATE OR REPLACE TEMPORARY VIEW t3b_signals AS
SELECT t.* FROM t3b_signals_files t
WHERE EXISTS (SELECT 1 FROM t3b_runs_files r WHERE r.run_id = t.run_id AND r.run_date = t.run_date);

CREATE OR REPLACE TEMPORARY VIEW t3b_batches AS
SELECT t.* FROM t3b_batches_files t
WHERE EXISTS (SELECT 1 FROM t3b_runs_files r WHERE r.run_id = t.run_id AND r.run_date = t.run_date);

CREATE OR REPLACE TEMPORARY VIEW t3b_coefficients AS
SELECT t.* FROM t3b_coefficients_files t
WHERE EXISTS (SELECT 1 FROM t3b_runs_files r WHERE r.run_id = t.run_id AND r.run_date = t.run_date);

CREATE OR REPLACE TEMPORARY VIEW t3b_quarantine AS
SELECT t.* FROM t3b_quarantine_files t
WHERE EXISTS (SELECT 1 FROM t3b_runs_files r WHERE r.run_id = t.run_id AND r.run_date = t.run_date);

CREATE OR REPLACE TEMPORARY VIEW t3b_attempts AS
SELECT t.* FROM t3b_attempts_files t
WHERE EXISTS (SELECT 1 FROM t3b_runs_files r WHERE r.run_id = t.run_id AND r.run_date = t.run_date);
