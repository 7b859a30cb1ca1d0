-- Quarantine by night and reason.
SELECT run_date, run_id, stage, reason_code, COUNT(*) AS n
FROM t3b_quarantine
GROUP BY run_date, run_id, stage, reason_code
ORDER BY run_date, run_id, n DESC, reason_code;
