-- A refused record can be sent again, as it was or corrected. What became of it stands on its row.
ALTER TABLE pipeline.rejected
    ADD COLUMN replay_of bigint,
    ADD COLUMN tries integer NOT NULL DEFAULT 0,
    ADD COLUMN tried_at timestamptz,
    ADD COLUMN corrected bytea,
    ADD COLUMN in_postgresql text,
    ADD COLUMN in_nocodb text,
    DROP CONSTRAINT rejected_state_known,
    ADD CONSTRAINT rejected_state_known CHECK (state IN ('open', 'sent', 'replayed', 'discarded'));
COMMENT ON COLUMN pipeline.rejected.state IS 'open; sent (again, and not arrived everywhere yet); replayed (it arrived: see in_postgresql and in_nocodb); discarded (see state_note)';
COMMENT ON COLUMN pipeline.rejected.replay_of IS 'the row whose record was sent again and refused again as this one';
COMMENT ON COLUMN pipeline.rejected.tries IS 'how often it was sent again, or was about to be';
COMMENT ON COLUMN pipeline.rejected.corrected IS 'the value that was sent last, where it is another than the one refused';
COMMENT ON COLUMN pipeline.rejected.in_postgresql IS 'what became of it: stored, repeat (the person was there already), removed (and not brought back), refused again as another row';
COMMENT ON COLUMN pipeline.rejected.in_nocodb IS 'the same for NocoDB';
COMMENT ON CONSTRAINT rejected_state_known ON pipeline.rejected IS 'open until somebody replays or discards it';
-- A replay that was refused again leads to its next row.
CREATE INDEX rejected_replay_of ON pipeline.rejected (replay_of) WHERE replay_of IS NOT NULL;
-- What waits for a decision is asked for all the time, and is little beside what was settled.
CREATE INDEX rejected_unsettled ON pipeline.rejected (id) WHERE state IN ('open', 'sent');
