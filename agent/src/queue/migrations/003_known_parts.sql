-- Identities of a closed group, sorted, in 64 rows by their highest bits: group * 64 + part. Groups closed before have none.
CREATE TABLE known_part (id INTEGER PRIMARY KEY, ids BLOB NOT NULL) STRICT;
