-- Trino, Hive connector: replace ${root} by the output root, then sync the partitions of every table:
-- CALL system.sync_partition_metadata('default', 't3b_predictions_files', 'FULL');
-- Read by this project's tests with a parser of this dialect (sqlglot), and not run by them.

CREATE TABLE IF NOT EXISTS t3b_runs_files (status varchar, format_version int, name varchar, modality varchar, dataset varchar, setting varchar, site varchar, spec_sha256 varchar, spec_json varchar, n_samples bigint, n_cells int, n_partitions int, batch_size int, n_scored bigint, n_quarantined bigint, primary_method varchar, gamma double, lambda_min double, lambda_max double, lambda_mean double, completed_at timestamp(6), run_date varchar, run_id varchar)
WITH (format = 'PARQUET', external_location = '${root}/tables/runs', partitioned_by = ARRAY['run_date', 'run_id']);

CREATE TABLE IF NOT EXISTS t3b_predictions_files (sample_id varchar, manifest_row bigint, sample_row bigint, corruption varchar, severity int, batch bigint, pos_in_batch smallint, method varchar, label_idx int, label varchar, pred_idx int, pred varchar, pred_prob real, margin real, entropy_nats real, correct boolean, run_date varchar, run_id varchar)
WITH (format = 'PARQUET', external_location = '${root}/tables/predictions', partitioned_by = ARRAY['run_date', 'run_id']);

CREATE TABLE IF NOT EXISTS t3b_signals_files (sample_id varchar, manifest_row bigint, sample_row bigint, corruption varchar, severity int, batch bigint, pos_in_batch smallint, js_nats double, lambda_sample double, pt_entropy_nats double, ft_entropy_nats double, agree boolean, run_date varchar, run_id varchar)
WITH (format = 'PARQUET', external_location = '${root}/tables/signals', partitioned_by = ARRAY['run_date', 'run_id']);

CREATE TABLE IF NOT EXISTS t3b_batches_files (batch bigint, corruption varchar, severity int, n_planned int, n_scored int, n_quarantined int, js_mean_nats double, agree_frac double, run_date varchar, run_id varchar)
WITH (format = 'PARQUET', external_location = '${root}/tables/batches', partitioned_by = ARRAY['run_date', 'run_id']);

CREATE TABLE IF NOT EXISTS t3b_coefficients_files (batch bigint, corruption varchar, severity int, method varchar, lambda_mean double, lambda_std double, lambda_min double, lambda_max double, guard_plus int, guard_minus int, run_date varchar, run_id varchar)
WITH (format = 'PARQUET', external_location = '${root}/tables/coefficients', partitioned_by = ARRAY['run_date', 'run_id']);

CREATE TABLE IF NOT EXISTS t3b_quarantine_files (sample_id varchar, manifest_row bigint, sample_row bigint, corruption varchar, severity int, stage varchar, reason_code varchar, detail varchar, run_date varchar, run_id varchar)
WITH (format = 'PARQUET', external_location = '${root}/tables/quarantine', partitioned_by = ARRAY['run_date', 'run_id']);

CREATE TABLE IF NOT EXISTS t3b_attempts_files (attempt_id varchar, opened_at timestamp(6), closed_at timestamp(6), outcome varchar, exit_code int, n_batches bigint, n_partitions bigint, rss_peak_mib bigint, n_fetched bigint, n_decoded bigint, n_corrupted bigint, source_busy_s double, decode_busy_s double, corrupt_busy_s double, batch_busy_s double, score_busy_s double, sink_busy_s double, parents_busy_s double, methods array(varchar), method_busy_s array(double), device varchar, worker varchar, n_lost bigint, wasted_s double, run_date varchar, run_id varchar)
WITH (format = 'PARQUET', external_location = '${root}/tables/attempts', partitioned_by = ARRAY['run_date', 'run_id']);

CREATE OR REPLACE VIEW t3b_runs AS SELECT * FROM t3b_runs_files;

CREATE OR REPLACE VIEW t3b_predictions AS
SELECT t.* FROM t3b_predictions_files t
WHERE EXISTS (SELECT 1 FROM t3b_runs_files r WHERE r.run_id = t.run_id AND r.run_date = t.run_date);

CREATE OR REPLACE VIEW t3b_signals AS
SELECT t.* FROM t3b_signals_files t
WHERE EXISTS (SELECT 1 FROM t3b_runs_files r WHERE r.run_id = t.run_id AND r.run_date = t.run_date);

CREATE OR REPLACE VIEW t3b_batches AS
SELECT t.* FROM t3b_batches_files t
WHERE EXISTS (SELECT 1 FROM t3b_runs_files r WHERE r.run_id = t.run_id AND r.run_date = t.run_date);

CREATE OR REPLACE VIEW t3b_coefficients AS
SELECT t.* FROM t3b_coefficients_files t
WHERE EXISTS (SELECT 1 FROM t3b_runs_files r WHERE r.run_id = t.run_id AND r.run_date = t.run_date);

CREATE OR REPLACE VIEW t3b_quarantine AS
SELECT t.* FROM t3b_quarantine_files t
WHERE EXISTS (SELECT 1 FROM t3b_runs_files r WHERE r.run_id = t.run_id AND r.run_date = t.run_date);

CREATE OR REPLACE VIEW t3b_attempts AS
SELECT t.* FROM t3b_attempts_files t
WHERE EXISTS (SELECT 1 FROM t3b_runs_files r WHERE r.run_id = t.run_id AND r.run_date = t.run_date);
