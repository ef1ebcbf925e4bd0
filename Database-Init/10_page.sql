-- The page's charts ask for the people stored in the last hour and day, of whom users_created_at (10_api_reading.sql) knows.
-- Rows are written in the order of these times, so that an index of a few pages finds them.
CREATE INDEX nocodb_users_written_at ON pipeline.nocodb_users
    USING brin (written_at) WITH (pages_per_range = 32, autosummarize = on);
