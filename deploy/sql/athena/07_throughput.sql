-- Batches a second of every attempt.
SELECT a.run_date, a.run_id, a.attempt_id, a.n_batches, (to_unixtime(a.closed_at) - to_unixtime(a.opened_at)) AS seconds,
       a.n_batches / NULLIF((to_unixtime(a.closed_at) - to_unixtime(a.opened_at)), 0) AS batches_per_s, a.rss_peak_mib
FROM t3b_attempts a
ORDER BY a.run_date, a.run_id, a.opened_at;
