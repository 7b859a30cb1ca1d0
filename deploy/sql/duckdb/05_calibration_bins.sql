-- Reliability on clean images: 15 equal bins of confidence, 1.0 in the last.
SELECT run_id, method, LEAST(CAST(FLOOR(CAST(pred_prob AS DOUBLE) * 15) AS INTEGER), 14) AS bin, COUNT(*) AS n,
       AVG(CAST(pred_prob AS DOUBLE)) AS confidence, AVG(CASE WHEN correct THEN 1e0 ELSE 0e0 END) AS accuracy
FROM t3b_predictions
WHERE corruption = 'clean' AND correct IS NOT NULL
GROUP BY run_id, method, LEAST(CAST(FLOOR(CAST(pred_prob AS DOUBLE) * 15) AS INTEGER), 14)
ORDER BY run_id, method, bin;
