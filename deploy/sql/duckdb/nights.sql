-- Views over the folder that t3b dashboard writes. Set it first: SET VARIABLE t3b_page = 'nights';
CREATE OR REPLACE VIEW t3b_nights AS
SELECT * FROM read_json(getvariable('t3b_page') || '/nights.json');

CREATE OR REPLACE VIEW t3b_night_runs AS
SELECT * FROM read_parquet(getvariable('t3b_page') || '/data/runs.parquet');

CREATE OR REPLACE VIEW t3b_night_summary AS
SELECT * FROM read_parquet(getvariable('t3b_page') || '/data/summary.parquet');

CREATE OR REPLACE VIEW t3b_night_drift AS
SELECT * FROM read_parquet(getvariable('t3b_page') || '/data/drift.parquet');

CREATE OR REPLACE VIEW t3b_night_quarantine AS
SELECT * FROM read_parquet(getvariable('t3b_page') || '/data/quarantine.parquet');
