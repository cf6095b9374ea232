-- What reconciliation keeps. Quantities are millionths; times milliseconds since 1970; `at` is the place of the ledger from which on
-- something counts, `loc` the event that made it.
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

-- The stock book: sums of movements, one account for each item, lot, unit and status of a site. `opening` is what was there before the
-- first movement, known since place `opened_at`; without a value nobody has told yet.
CREATE TABLE account (
  account_no INTEGER PRIMARY KEY,
  site TEXT NOT NULL, sku TEXT NOT NULL, lot TEXT NOT NULL, uom TEXT NOT NULL, status TEXT NOT NULL,
  micros INTEGER NOT NULL DEFAULT 0, last_at INTEGER NOT NULL DEFAULT 0,
  opening INTEGER, opened_at INTEGER, opened_by TEXT NOT NULL DEFAULT '',
  UNIQUE (site, sku, lot, uom, status)
);
CREATE TABLE movement (
  account_no INTEGER NOT NULL, at INTEGER NOT NULL, loc INTEGER NOT NULL, micros INTEGER NOT NULL,
  kind INTEGER NOT NULL, happened_ms INTEGER NOT NULL, is_exact INTEGER NOT NULL,
  PRIMARY KEY (account_no, at, loc)
) WITHOUT ROWID;
CREATE INDEX movement_of_event ON movement (loc);

-- Effects of events that were not admitted, until somebody decides.
CREATE TABLE waiting (
  loc INTEGER NOT NULL, account_no INTEGER NOT NULL, at INTEGER NOT NULL, micros INTEGER NOT NULL,
  decided_at INTEGER, PRIMARY KEY (loc, account_no)
) WITHOUT ROWID;

-- Stock as a warehouse system states it.
CREATE TABLE statement (
  statement_no INTEGER PRIMARY KEY,
  site TEXT NOT NULL, report TEXT NOT NULL, as_of_ms INTEGER NOT NULL, is_exact INTEGER NOT NULL, is_partial INTEGER NOT NULL,
  first_at INTEGER NOT NULL, last_loc INTEGER NOT NULL, sha TEXT NOT NULL, file TEXT NOT NULL,
  is_whole INTEGER NOT NULL DEFAULT 0,
  UNIQUE (site, report, as_of_ms)
);
CREATE TABLE told (
  statement_no INTEGER NOT NULL, sku TEXT NOT NULL, lot TEXT NOT NULL, uom TEXT NOT NULL, status TEXT NOT NULL,
  micros INTEGER NOT NULL, loc INTEGER NOT NULL,
  PRIMARY KEY (statement_no, sku, lot, uom, status, loc)
) WITHOUT ROWID;

-- What left one site for another, and what arrived.
CREATE TABLE transfer (
  transfer TEXT NOT NULL, loc INTEGER NOT NULL, is_receipt INTEGER NOT NULL, site TEXT NOT NULL, to_site TEXT NOT NULL,
  sku TEXT NOT NULL, lot TEXT NOT NULL, uom TEXT NOT NULL, micros INTEGER NOT NULL, happened_ms INTEGER NOT NULL,
  PRIMARY KEY (transfer, loc, sku, lot, uom)
) WITHOUT ROWID;

-- Transfers that matched and were let go of: what a book that begins again reads of them once more is over.
CREATE TABLE transfer_over (transfer TEXT PRIMARY KEY, last_ms INTEGER NOT NULL) WITHOUT ROWID;

-- Events as they were captured, by day of capture (UTC), feed and type.
CREATE TABLE captured (
  site TEXT NOT NULL, day INTEGER NOT NULL, feed TEXT NOT NULL, kind INTEGER NOT NULL, events INTEGER NOT NULL, micros INTEGER NOT NULL,
  PRIMARY KEY (site, day, feed, kind)
) WITHOUT ROWID;

-- Batches that did not read back as they were sent.
CREATE TABLE suspect (site TEXT NOT NULL, batch_no INTEGER PRIMARY KEY);

-- Effects of the centre's own corrections that are in their accounts already: its stream is read again whenever a book begins again.
CREATE TABLE centre_effect (loc INTEGER NOT NULL, account_no INTEGER NOT NULL, PRIMARY KEY (loc, account_no)) WITHOUT ROWID;

-- state: 1 asked, 2 running, 3 done, 4 failed.
CREATE TABLE run (
  run_no INTEGER PRIMARY KEY, asked_ms INTEGER NOT NULL, asked_by TEXT NOT NULL, sites TEXT NOT NULL, again INTEGER, is_full INTEGER NOT NULL DEFAULT 0,
  state INTEGER NOT NULL DEFAULT 1, step TEXT NOT NULL DEFAULT '', started_ms INTEGER, ended_ms INTEGER,
  report TEXT NOT NULL DEFAULT ''
);
-- What a run compared, so that it can be repeated: the point of the ledger, and the statement or the cursor. `side` is `wms` or a destination.
CREATE TABLE input (
  run_no INTEGER NOT NULL, side TEXT NOT NULL, site TEXT NOT NULL, at INTEGER NOT NULL, statement_no INTEGER, read_ms INTEGER NOT NULL,
  PRIMARY KEY (run_no, side, site)
) WITHOUT ROWID;
CREATE TABLE other_balance (
  run_no INTEGER NOT NULL, side TEXT NOT NULL, site TEXT NOT NULL, item TEXT NOT NULL, lot TEXT NOT NULL, place TEXT NOT NULL,
  micros INTEGER NOT NULL, PRIMARY KEY (run_no, side, site, item, lot, place)
) WITHOUT ROWID;
-- What a destination had not had when its balances were read. class: 1 on its way, 2 outcome unknown, 3 parked, 4 parked for a mapping.
CREATE TABLE unsettled (
  run_no INTEGER NOT NULL, side TEXT NOT NULL, site TEXT NOT NULL, account_no INTEGER NOT NULL, loc INTEGER NOT NULL,
  class INTEGER NOT NULL, micros INTEGER NOT NULL, PRIMARY KEY (run_no, side, site, account_no, loc)
) WITHOUT ROWID;
-- Balances that are not exact.
CREATE TABLE line (
  run_no INTEGER NOT NULL, side TEXT NOT NULL, site TEXT NOT NULL, item TEXT NOT NULL, lot TEXT NOT NULL, place TEXT NOT NULL,
  uom TEXT NOT NULL, body TEXT NOT NULL, unexplained INTEGER NOT NULL,
  PRIMARY KEY (run_no, side, site, item, lot, place, uom)
) WITHOUT ROWID;

-- A difference that nothing explains, until it is gone. state: 1 open, 2 recount asked, 3 proposed, 4 approved, 5 posted, 6 ignored, 7 closed.
CREATE TABLE drift (
  drift_no INTEGER PRIMARY KEY,
  side TEXT NOT NULL, site TEXT NOT NULL, item TEXT NOT NULL, lot TEXT NOT NULL, place TEXT NOT NULL, uom TEXT NOT NULL,
  state INTEGER NOT NULL, micros INTEGER NOT NULL, cause TEXT NOT NULL, since_ms INTEGER NOT NULL, first_run INTEGER NOT NULL,
  last_run INTEGER NOT NULL, proposed INTEGER, proposed_by TEXT NOT NULL DEFAULT '', approvals TEXT NOT NULL DEFAULT '',
  ignored_until_ms INTEGER, posted_loc INTEGER
);
CREATE INDEX drift_of ON drift (side, site, item, lot, place, uom, drift_no);
-- The centre's own corrections, by event.
CREATE TABLE posted (loc INTEGER PRIMARY KEY, drift_no INTEGER NOT NULL);
CREATE TABLE drift_step (
  drift_no INTEGER NOT NULL, step_no INTEGER NOT NULL, at_ms INTEGER NOT NULL, who TEXT NOT NULL, act TEXT NOT NULL, reason TEXT NOT NULL,
  PRIMARY KEY (drift_no, step_no)
) WITHOUT ROWID;
