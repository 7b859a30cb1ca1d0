-- Views over the tables of an output root. Set the root first: SET VARIABLE t3b_root = 's3://bucket/out';
-- A run counts once its row in runs exists, so every view joins it.
CREATE OR REPLACE VIEW t3b_runs AS
SELECT * FROM read_parquet(getvariable('t3b_root') || '/tables/runs/run_date=*/run_id=*/run.parquet', hive_partitioning = true, hive_types = {'run_date': VARCHAR, 'run_id': VARCHAR}, union_by_name = true);

CREATE OR REPLACE VIEW t3b_predictions AS
SELECT t.* FROM read_parquet(getvariable('t3b_root') || '/tables/predictions/run_date=*/run_id=*/*.parquet', hive_partitioning = true, hive_types = {'run_date': VARCHAR, 'run_id': VARCHAR}, union_by_name = true) t
SEMI JOIN t3b_runs r ON r.run_id = t.run_id AND r.run_date = t.run_date;

CREATE OR REPLACE VIEW t3b_signals AS
SELECT t.* FROM read_parquet(getvariable('t3b_root') || '/tables/signals/run_date=*/run_id=*/*.parquet', hive_partitioning = true, hive_types = {'run_date': VARCHAR, 'run_id': VARCHAR}, union_by_name = true) t
SEMI JOIN t3b_runs r ON r.run_id = t.run_id AND r.run_date = t.run_date;

CREATE OR REPLACE VIEW t3b_batches AS
SELECT t.* FROM read_parquet(getvariable('t3b_root') || '/tables/batches/run_date=*/run_id=*/*.parquet', hive_partitioning = true, hive_types = {'run_date': VARCHAR, 'run_id': VARCHAR}, union_by_name = true) t
SEMI JOIN t3b_runs r ON r.run_id = t.run_id AND r.run_date = t.run_date;

CREATE OR REPLACE VIEW t3b_coefficients AS
SELECT t.* FROM read_parquet(getvariable('t3b_root') || '/tables/coefficients/run_date=*/run_id=*/*.parquet', hive_partitioning = true, hive_types = {'run_date': VARCHAR, 'run_id': VARCHAR}, union_by_name = true) t
SEMI JOIN t3b_runs r ON r.run_id = t.run_id AND r.run_date = t.run_date;

CREATE OR REPLACE VIEW t3b_quarantine AS
SELECT t.* FROM read_parquet(getvariable('t3b_root') || '/tables/quarantine/run_date=*/run_id=*/*.parquet', hive_partitioning = true, hive_types = {'run_date': VARCHAR, 'run_id': VARCHAR}, union_by_name = true) t
SEMI JOIN t3b_runs r ON r.run_id = t.run_id AND r.run_date = t.run_date;

CREATE OR REPLACE VIEW t3b_attempts AS
SELECT t.* FROM read_parquet(getvariable('t3b_root') || '/tables/attempts/run_date=*/run_id=*/*.parquet', hive_partitioning = true, hive_types = {'run_date': VARCHAR, 'run_id': VARCHAR}, union_by_name = true) t
SEMI JOIN t3b_runs r ON r.run_id = t.run_id AND r.run_date = t.run_date;
