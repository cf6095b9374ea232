-- The ledger of every site. Times are milliseconds since 1970. `loc` is a batch number times 4096 plus the event's place in it.
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE site (
  site_no          INTEGER PRIMARY KEY,
  site             TEXT NOT NULL UNIQUE,
  events           INTEGER NOT NULL DEFAULT 0,
  fresh            INTEGER NOT NULL DEFAULT 0,
  duplicate        INTEGER NOT NULL DEFAULT 0,
  corrected        INTEGER NOT NULL DEFAULT 0,
  revised          INTEGER NOT NULL DEFAULT 0,
  parked           INTEGER NOT NULL DEFAULT 0,
  test             INTEGER NOT NULL DEFAULT 0,
  last_received_ms INTEGER NOT NULL DEFAULT 0,
  backed_up_epoch  INTEGER NOT NULL DEFAULT 0,
  backed_up        INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE link (
  site_no INTEGER PRIMARY KEY REFERENCES site,
  epoch   INTEGER NOT NULL,
  marked  INTEGER NOT NULL,
  state   BLOB NOT NULL
);

-- One row per batch, as it was received: numbers of batches rise in the order of commit.
CREATE TABLE batch (
  batch_no     INTEGER PRIMARY KEY,
  site_no      INTEGER NOT NULL REFERENCES site,
  epoch        INTEGER NOT NULL,
  first_seq    INTEGER NOT NULL,
  count        INTEGER NOT NULL,
  received_ms  INTEGER NOT NULL,
  chain_before BLOB NOT NULL,
  chain_after  BLOB NOT NULL,
  standings    BLOB NOT NULL,
  columns      BLOB NOT NULL
);
CREATE INDEX batch_of_site ON batch (site_no, batch_no);
CREATE UNIQUE INDEX batch_place ON batch (site_no, epoch, first_seq);

-- Decides duplicates for ever: content and place of the version in force.
CREATE TABLE event_key (id BLOB PRIMARY KEY, content INTEGER NOT NULL, loc INTEGER NOT NULL) WITHOUT ROWID;

-- Other versions of an id that were seen: those a correction replaced, and those that wait for a person.
CREATE TABLE version (
  id BLOB NOT NULL, content INTEGER NOT NULL, loc INTEGER NOT NULL, PRIMARY KEY (id, content)
) WITHOUT ROWID;

-- What a correction replaced.
CREATE TABLE correction (loc INTEGER PRIMARY KEY, prior INTEGER NOT NULL);

-- Which batch carries which text: sorted runs of (hash, batch) in chunks.
CREATE TABLE term_run (run_no INTEGER PRIMARY KEY, level INTEGER NOT NULL, entries INTEGER NOT NULL);
CREATE TABLE term_chunk (run_no INTEGER NOT NULL, first_hash INTEGER NOT NULL, entries BLOB NOT NULL);
CREATE INDEX term_of_run ON term_chunk (run_no, first_hash);

CREATE TABLE balance (
  site_no INTEGER NOT NULL, sku TEXT NOT NULL, lot TEXT NOT NULL, status TEXT NOT NULL, micros INTEGER NOT NULL,
  PRIMARY KEY (site_no, sku, lot, status)
) WITHOUT ROWID;

-- Events that were stored and not admitted. state: 1 open, 2 readmitted, 3 skipped, 4 superseded.
CREATE TABLE refusal (
  loc     INTEGER PRIMARY KEY,
  site_no INTEGER NOT NULL,
  code    TEXT NOT NULL,
  reason  TEXT NOT NULL,
  other   INTEGER,
  state   INTEGER NOT NULL,
  at_ms   INTEGER NOT NULL
);
CREATE INDEX refusal_open ON refusal (state, loc);

CREATE TABLE cursor (
  consumer TEXT NOT NULL, site_no INTEGER NOT NULL, loc INTEGER NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL,
  PRIMARY KEY (consumer, site_no)
) WITHOUT ROWID;

-- What a cursor cannot say. stage: 1 sending, 2 unknown, 3 parked, 4 held, 5 done above the cursor.
CREATE TABLE delivery (
  consumer TEXT NOT NULL,
  site_no  INTEGER NOT NULL,
  loc      INTEGER NOT NULL,
  lane     INTEGER NOT NULL,
  stage    INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  code     TEXT NOT NULL,
  reason   TEXT NOT NULL,
  at_ms    INTEGER NOT NULL,
  PRIMARY KEY (consumer, site_no, loc)
) WITHOUT ROWID;
CREATE INDEX delivery_stage ON delivery (stage, consumer);

-- Numbers that destinations gave.
CREATE TABLE applied (
  consumer TEXT NOT NULL, loc INTEGER NOT NULL, document TEXT NOT NULL, at_ms INTEGER NOT NULL,
  PRIMARY KEY (consumer, loc)
) WITHOUT ROWID;

-- Requests of operators. state: 1 waiting, 2 done, 3 refused.
CREATE TABLE op (
  op_id        INTEGER PRIMARY KEY,
  target       TEXT NOT NULL,
  kind         TEXT NOT NULL,
  loc          INTEGER NOT NULL,
  reason       TEXT NOT NULL,
  requested_by TEXT NOT NULL,
  at_ms        INTEGER NOT NULL,
  state        INTEGER NOT NULL DEFAULT 1,
  result       TEXT NOT NULL DEFAULT ''
);
CREATE INDEX op_waiting ON op (state, target);

CREATE TABLE audit (
  audit_no INTEGER PRIMARY KEY,
  at_ms    INTEGER NOT NULL,
  who      TEXT NOT NULL,
  act      TEXT NOT NULL,
  subject  TEXT NOT NULL,
  detail   TEXT NOT NULL,
  hash     BLOB NOT NULL
);
CREATE TRIGGER audit_keeps_rows BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_keeps_all BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
