-- Estimated accuracy from confidence as it is, beside the truth where labels exist. Holds while confidence is calibrated.
SELECT run_date, run_id, method, COUNT(*) AS n, AVG(CAST(pred_prob AS DOUBLE)) AS estimated_accuracy,
       AVG(CASE WHEN correct IS NULL THEN NULL WHEN correct THEN 1e0 ELSE 0e0 END) AS accuracy
FROM t3b_predictions
WHERE corruption = 'clean'
GROUP BY run_date, run_id, method
ORDER BY run_date, run_id, method;
