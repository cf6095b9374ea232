-- The run of identities that was stored with a batch: forgotten with it where the disk has damaged the batch.
ALTER TABLE batch ADD COLUMN run INTEGER;
