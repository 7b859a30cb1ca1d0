-- How often the parents disagree, by cell.
SELECT run_date, run_id, corruption, severity, COUNT(*) AS n,
       AVG(CASE WHEN agree THEN 0e0 ELSE 1e0 END) AS disagreement
FROM t3b_signals
GROUP BY run_date, run_id, corruption, severity
ORDER BY run_date, run_id, corruption, severity;
