-- Link: one row, the engine's state. What must survive a crash of the agent.
CREATE TABLE link (id INTEGER PRIMARY KEY CHECK (id = 1), incarnation BLOB NOT NULL, machine TEXT NOT NULL, state TEXT NOT NULL) STRICT;

-- Files: one row for each export that was claimed. state: 1 claimed, 2 captured, 3 refused, 4 duplicate.
CREATE TABLE file (
    id INTEGER PRIMARY KEY,
    feed TEXT NOT NULL,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ms INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    state INTEGER NOT NULL,
    is_moved INTEGER NOT NULL DEFAULT 0,
    found_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    records_done INTEGER NOT NULL DEFAULT 0,
    lines INTEGER NOT NULL DEFAULT 0,
    accepted INTEGER NOT NULL DEFAULT 0,
    duplicate INTEGER NOT NULL DEFAULT 0,
    revised INTEGER NOT NULL DEFAULT 0,
    held INTEGER NOT NULL DEFAULT 0,
    resolved_ms INTEGER,
    resolved_why TEXT,
    earlier TEXT,
    first_seq INTEGER,
    last_seq INTEGER
) STRICT;
CREATE INDEX file_content ON file (sha256, feed);
CREATE INDEX file_place ON file (path);
CREATE INDEX file_open ON file (id) WHERE is_moved = 0;
CREATE INDEX file_needs ON file (id) WHERE (state = 3 OR held > 0) AND resolved_ms IS NULL;

-- Held lines, and the reasons of refused files.
CREATE TABLE held (
    file INTEGER NOT NULL REFERENCES file (id) ON DELETE CASCADE,
    line_no INTEGER NOT NULL,
    col INTEGER NOT NULL,
    n INTEGER NOT NULL,
    field TEXT NOT NULL,
    code TEXT NOT NULL,
    found TEXT NOT NULL,
    expected TEXT NOT NULL,
    owner TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (file, line_no, col, n)
) STRICT, WITHOUT ROWID;

-- Batches: encoded once at capture, sent as they are. crc: CRC-32C of body, for SQLite's pages carry no checksum.
CREATE TABLE batch (
    first INTEGER PRIMARY KEY,
    count INTEGER NOT NULL,
    file INTEGER NOT NULL,
    captured_ms INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    chain_before BLOB NOT NULL,
    chain_after BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;

-- Identities captured here: runs of 16 bytes (8 of the id, 8 of the content hash), sorted; and a filter for each group of runs.
CREATE TABLE known_run (id INTEGER PRIMARY KEY, ids BLOB NOT NULL) STRICT;
CREATE TABLE known_group (last_run INTEGER PRIMARY KEY, made_ms INTEGER NOT NULL, filter BLOB NOT NULL) STRICT;

-- Control totals by day of capture.
CREATE TABLE day_total (
    day INTEGER NOT NULL, feed TEXT NOT NULL, event_type INTEGER NOT NULL, count INTEGER NOT NULL, qty_micros INTEGER NOT NULL,
    PRIMARY KEY (day, feed, event_type)
) STRICT, WITHOUT ROWID;

-- First event of each day of the site, for what the page says of today.
CREATE TABLE day_start (day INTEGER PRIMARY KEY, first_seq INTEGER NOT NULL) STRICT;

-- Since when a condition holds: survives a restart.
CREATE TABLE since (name TEXT PRIMARY KEY, from_ms INTEGER NOT NULL, text TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- What happened, for the page's history: at most some thousand rows.
CREATE TABLE history (id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, what TEXT NOT NULL) STRICT;
