-- How often the parents disagree, by cell.
SELECT run_date, run_id, corruption, severity, COUNT(*) AS n,
       AVG(CASE WHEN agree THEN 0.0 ELSE 1.0 END) AS disagreement
FROM t3b_signals
GROUP BY run_date, run_id, corruption, severity
ORDER BY run_date, run_id, corruption, severity;
