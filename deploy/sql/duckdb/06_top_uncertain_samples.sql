-- The most uncertain clean samples of each run's primary method.
SELECT p.run_id, p.sample_id, p.pred, p.pred_prob, p.entropy_nats, p.margin
FROM t3b_predictions p
JOIN t3b_runs r ON r.run_id = p.run_id AND r.run_date = p.run_date AND r.primary_method = p.method
WHERE p.corruption = 'clean'
ORDER BY p.entropy_nats DESC, p.sample_id
LIMIT 100;
