-- Times during which a destination took nothing; open while until_ms is null.
CREATE TABLE incident (
  incident_no INTEGER PRIMARY KEY,
  consumer    TEXT NOT NULL,
  class       TEXT NOT NULL,
  reason      TEXT NOT NULL,
  since_ms    INTEGER NOT NULL,
  failures    INTEGER NOT NULL,
  until_ms    INTEGER
);
CREATE INDEX incident_of ON incident (consumer, incident_no);
CREATE UNIQUE INDEX incident_open ON incident (consumer) WHERE until_ms IS NULL;
