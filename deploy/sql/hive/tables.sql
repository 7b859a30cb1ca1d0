-- Hive and Athena: every table of an output root, every column. Replace ${root} by the root, run it, then MSCK REPAIR TABLE each table
-- whenever nights were added. A run counts once it has a row in t3b_runs_files: deploy/sql/athena/views.sql has the views that join it.

CREATE EXTERNAL TABLE IF NOT EXISTS t3b_predictions_files (
  sample_id STRING,
  manifest_row BIGINT,
  sample_row BIGINT,
  corruption STRING,
  severity INT,
  batch BIGINT,
  pos_in_batch SMALLINT,
  method STRING,
  label_idx INT,
  label STRING,
  pred_idx INT,
  pred STRING,
  pred_prob FLOAT,
  margin FLOAT,
  entropy_nats FLOAT,
  correct BOOLEAN,
  probs ARRAY<FLOAT>
)
PARTITIONED BY (run_date STRING, run_id STRING)
STORED AS PARQUET LOCATION '${root}/tables/predictions/';

CREATE EXTERNAL TABLE IF NOT EXISTS t3b_signals_files (
  sample_id STRING,
  manifest_row BIGINT,
  sample_row BIGINT,
  corruption STRING,
  severity INT,
  batch BIGINT,
  pos_in_batch SMALLINT,
  js_nats DOUBLE,
  lambda_sample DOUBLE,
  pt_entropy_nats DOUBLE,
  ft_entropy_nats DOUBLE,
  agree BOOLEAN,
  features ARRAY<FLOAT>
)
PARTITIONED BY (run_date STRING, run_id STRING)
STORED AS PARQUET LOCATION '${root}/tables/signals/';

CREATE EXTERNAL TABLE IF NOT EXISTS t3b_batches_files (
  batch BIGINT,
  corruption STRING,
  severity INT,
  first_sample_row BIGINT,
  last_sample_row BIGINT,
  n_planned INT,
  n_scored INT,
  n_quarantined INT,
  js_mean_nats DOUBLE,
  js_p50_nats DOUBLE,
  js_p95_nats DOUBLE,
  pt_entropy_mean_nats DOUBLE,
  ft_entropy_mean_nats DOUBLE,
  agree_frac DOUBLE,
  composition_sha256 STRING
)
PARTITIONED BY (run_date STRING, run_id STRING)
STORED AS PARQUET LOCATION '${root}/tables/batches/';

CREATE EXTERNAL TABLE IF NOT EXISTS t3b_coefficients_files (
  batch BIGINT,
  corruption STRING,
  severity INT,
  method STRING,
  lambda_mean DOUBLE,
  lambda_std DOUBLE,
  lambda_min DOUBLE,
  lambda_max DOUBLE,
  guard_plus INT,
  guard_minus INT,
  heterogeneous BOOLEAN,
  entropy_mean_nats DOUBLE
)
PARTITIONED BY (run_date STRING, run_id STRING)
STORED AS PARQUET LOCATION '${root}/tables/coefficients/';

CREATE EXTERNAL TABLE IF NOT EXISTS t3b_quarantine_files (
  sample_id STRING,
  manifest_row BIGINT,
  sample_row BIGINT,
  corruption STRING,
  severity INT,
  stage STRING,
  reason_code STRING,
  detail STRING,
  bytes BIGINT,
  format_sniffed STRING,
  declared_width_px INT,
  declared_height_px INT
)
PARTITIONED BY (run_date STRING, run_id STRING)
STORED AS PARQUET LOCATION '${root}/tables/quarantine/';

CREATE EXTERNAL TABLE IF NOT EXISTS t3b_runs_files (
  status STRING,
  format_version INT,
  name STRING,
  modality STRING,
  dataset STRING,
  setting STRING,
  site STRING,
  spec_sha256 STRING,
  spec_json STRING,
  manifest_hmac_sha256 STRING,
  pretrained_sha256 STRING,
  expert_sha256 STRING,
  n_samples BIGINT,
  n_cells INT,
  n_partitions INT,
  batch_size INT,
  n_scored BIGINT,
  n_quarantined BIGINT,
  classes ARRAY<STRING>,
  methods ARRAY<STRING>,
  n_truncated_prompts BIGINT,
  primary_method STRING,
  gamma DOUBLE,
  lambda_min DOUBLE,
  lambda_max DOUBLE,
  guard_delta DOUBLE,
  guard_tau DOUBLE,
  log_base STRING,
  seed BIGINT,
  lambda_mean DOUBLE,
  lambda_var_within DOUBLE,
  heterogeneous_share DOUBLE,
  guarded_share DOUBLE,
  js_max_nats DOUBLE,
  r_js_correct DOUBLE,
  r_entropy_gap_correct DOUBLE,
  pt_overconfidence DOUBLE,
  ft_overconfidence DOUBLE,
  device STRING,
  numerics_canary STRING,
  code_version STRING,
  predictions_sha256 STRING,
  signals_sha256 STRING,
  batches_sha256 STRING,
  coefficients_sha256 STRING,
  quarantine_sha256 STRING,
  planned_at TIMESTAMP,
  completed_at TIMESTAMP
)
PARTITIONED BY (run_date STRING, run_id STRING)
STORED AS PARQUET LOCATION '${root}/tables/runs/';

CREATE EXTERNAL TABLE IF NOT EXISTS t3b_attempts_files (
  attempt_id STRING,
  opened_at TIMESTAMP,
  closed_at TIMESTAMP,
  outcome STRING,
  exit_code INT,
  n_batches BIGINT,
  n_partitions BIGINT,
  rss_peak_mib BIGINT,
  n_fetched BIGINT,
  n_decoded BIGINT,
  n_corrupted BIGINT,
  source_busy_s DOUBLE,
  decode_busy_s DOUBLE,
  corrupt_busy_s DOUBLE,
  batch_busy_s DOUBLE,
  score_busy_s DOUBLE,
  sink_busy_s DOUBLE,
  parents_busy_s DOUBLE,
  methods ARRAY<STRING>,
  method_busy_s ARRAY<DOUBLE>,
  device STRING,
  canary STRING,
  worker STRING,
  n_lost BIGINT,
  wasted_s DOUBLE
)
PARTITIONED BY (run_date STRING, run_id STRING)
STORED AS PARQUET LOCATION '${root}/tables/attempts/';
