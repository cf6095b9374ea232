CREATE TABLE site (
    site_id    TEXT PRIMARY KEY NOT NULL,
    name       TEXT NOT NULL,
    time_zone  TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE TABLE token (
    digest     BLOB PRIMARY KEY NOT NULL,
    site_id    TEXT NOT NULL REFERENCES site (site_id),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER,
    used_from  TEXT
) STRICT;
CREATE TABLE certificate (
    serial     BLOB PRIMARY KEY NOT NULL,
    site_id    TEXT NOT NULL REFERENCES site (site_id),
    public_key BLOB NOT NULL,
    not_before INTEGER NOT NULL,
    not_after  INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE INDEX certificate_site ON certificate (site_id);
CREATE TABLE approval (
    site_id     TEXT NOT NULL REFERENCES site (site_id),
    nonce       BLOB NOT NULL,
    approved_at INTEGER NOT NULL,
    approved_by TEXT NOT NULL,
    PRIMARY KEY (site_id, nonce)
) STRICT;
