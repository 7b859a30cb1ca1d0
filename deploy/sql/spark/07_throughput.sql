-- Batches a second of every attempt.
SELECT a.run_date, a.run_id, a.attempt_id, a.n_batches, (CAST(a.closed_at AS DOUBLE) - CAST(a.opened_at AS DOUBLE)) AS seconds,
       a.n_batches / NULLIF((CAST(a.closed_at AS DOUBLE) - CAST(a.opened_at AS DOUBLE)), 0) AS batches_per_s, a.rss_peak_mib
FROM t3b_attempts a
ORDER BY a.run_date, a.run_id, a.opened_at;
