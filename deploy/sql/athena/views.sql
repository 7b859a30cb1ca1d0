-- Athena (engine 3): replace ${root} by the output root, then MSCK REPAIR TABLE every table.
-- Read by this project's tests with a parser of this dialect (sqlglot), and not run by them.

CREATE EXTERNAL TABLE IF NOT EXISTS t3b_runs_files (status string, format_version int, name string, modality string, dataset string, setting string, site string, spec_sha256 string, spec_json string, n_samples bigint, n_cells int, n_partitions int, batch_size int, n_scored bigint, n_quarantined bigint, primary_method string, gamma double, lambda_min double, lambda_max double, lambda_mean double, completed_at timestamp)
PARTITIONED BY (run_date string, run_id string)
STORED AS PARQUET LOCATION '${root}/tables/runs/';

CREATE EXTERNAL TABLE IF NOT EXISTS t3b_predictions_files (sample_id string, manifest_row bigint, sample_row bigint, corruption string, severity int, batch bigint, pos_in_batch smallint, method string, label_idx int, label string, pred_idx int, pred string, pred_prob float, margin float, entropy_nats float, correct boolean)
PARTITIONED BY (run_date string, run_id string)
STORED AS PARQUET LOCATION '${root}/tables/predictions/';

CREATE EXTERNAL TABLE IF NOT EXISTS t3b_signals_files (sample_id string, manifest_row bigint, sample_row bigint, corruption string, severity int, batch bigint, pos_in_batch smallint, js_nats double, lambda_sample double, pt_entropy_nats double, ft_entropy_nats double, agree boolean)
PARTITIONED BY (run_date string, run_id string)
STORED AS PARQUET LOCATION '${root}/tables/signals/';

CREATE EXTERNAL TABLE IF NOT EXISTS t3b_batches_files (batch bigint, corruption string, severity int, n_planned int, n_scored int, n_quarantined int, js_mean_nats double, agree_frac double)
PARTITIONED BY (run_date string, run_id string)
STORED AS PARQUET LOCATION '${root}/tables/batches/';

CREATE EXTERNAL TABLE IF NOT EXISTS t3b_coefficients_files (batch bigint, corruption string, severity int, method string, lambda_mean double, lambda_std double, lambda_min double, lambda_max double, guard_plus int, guard_minus int)
PARTITIONED BY (run_date string, run_id string)
STORED AS PARQUET LOCATION '${root}/tables/coefficients/';

CREATE EXTERNAL TABLE IF NOT EXISTS t3b_quarantine_files (sample_id string, manifest_row bigint, sample_row bigint, corruption string, severity int, stage string, reason_code string, detail string)
PARTITIONED BY (run_date string, run_id string)
STORED AS PARQUET LOCATION '${root}/tables/quarantine/';

CREATE EXTERNAL TABLE IF NOT EXISTS t3b_attempts_files (attempt_id string, opened_at timestamp, closed_at timestamp, outcome string, exit_code int, n_batches bigint, n_partitions bigint, rss_peak_mib bigint, n_fetched bigint, n_decoded bigint, n_corrupted bigint, source_busy_s double, decode_busy_s double, corrupt_busy_s double, batch_busy_s double, score_busy_s double, sink_busy_s double, parents_busy_s double, methods array<string>, method_busy_s array<double>, device string, worker string, n_lost bigint, wasted_s double)
PARTITIONED BY (run_date string, run_id string)
STORED AS PARQUET LOCATION '${root}/tables/attempts/';

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
