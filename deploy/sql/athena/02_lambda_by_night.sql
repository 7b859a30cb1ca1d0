-- T3's coefficient by night: mean, spread, extremes, on clean images.
SELECT run_date, run_id, COUNT(*) AS n, AVG(lambda_sample) AS lambda_mean, STDDEV_SAMP(lambda_sample) AS lambda_std,
       MIN(lambda_sample) AS lambda_min, MAX(lambda_sample) AS lambda_max, AVG(js_nats) AS js_mean_nats
FROM t3b_signals
WHERE corruption = 'clean'
GROUP BY run_date, run_id
ORDER BY run_date, run_id;
