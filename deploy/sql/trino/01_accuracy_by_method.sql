-- Accuracy by method and cell with its Wilson interval (95 %).
WITH counts AS (
    SELECT run_id, run_date, method, corruption, severity,
           CAST(COUNT(*) AS DOUBLE) AS n,
           CAST(SUM(CASE WHEN correct THEN 1 ELSE 0 END) AS DOUBLE) AS k
    FROM t3b_predictions
    WHERE correct IS NOT NULL
    GROUP BY run_id, run_date, method, corruption, severity
)
SELECT run_id, run_date, method, corruption, severity, n, k / n AS accuracy,
       GREATEST(0.0, (k / n + 1.9207294103 / n - 1.959963985 * SQRT(k / n * (1 - k / n) / n + 0.9603647052 / (n * n))) / (1 + 3.8414588207 / n)) AS low,
       LEAST(1.0, (k / n + 1.9207294103 / n + 1.959963985 * SQRT(k / n * (1 - k / n) / n + 0.9603647052 / (n * n))) / (1 + 3.8414588207 / n)) AS high
FROM counts
ORDER BY run_date, run_id, corruption, severity, method;
