-- Lines of the file that its events hold; the others are held. Files captured before have none: of them only events were counted.
ALTER TABLE file ADD COLUMN taken INTEGER;
