-- Batches a second of every attempt.
SELECT a.run_date, a.run_id, a.attempt_id, a.n_batches, (EPOCH_US(a.closed_at) - EPOCH_US(a.opened_at)) / 1e6 AS seconds,
       a.n_batches / NULLIF((EPOCH_US(a.closed_at) - EPOCH_US(a.opened_at)) / 1e6, 0) AS batches_per_s, a.rss_peak_mib
FROM t3b_attempts a
ORDER BY a.run_date, a.run_id, a.opened_at;
