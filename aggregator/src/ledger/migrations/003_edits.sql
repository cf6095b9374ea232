-- What a consumer is sent in place of the event as it was received, by a person's decision; the batch keeps the original.
CREATE TABLE edit (
  consumer TEXT NOT NULL, loc INTEGER NOT NULL, event TEXT NOT NULL, who TEXT NOT NULL, at_ms INTEGER NOT NULL,
  PRIMARY KEY (consumer, loc)
) WITHOUT ROWID;
