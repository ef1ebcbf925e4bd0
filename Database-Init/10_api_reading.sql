-- What the read API needs to answer quickly among a million people, also far behind the first page, and to show a reader who
-- goes from page to page one and the same moment, whoever arrives meanwhile.

-- Whoever committed later than a moment that was shown must not seem to have been there. A row bears the time at which its
-- transaction began, so only a moment before which every transaction of the sinks has ended is settled.
CREATE FUNCTION pipeline.settled_moment() RETURNS timestamptz
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT least(now(), min(xact_start) - interval '1 microsecond')
    FROM pg_stat_activity
    WHERE usename = 'pipeline' AND application_name LIKE '3-Add_Database-%' AND xact_start IS NOT NULL
$$;
COMMENT ON FUNCTION pipeline.settled_moment() IS 'The newest moment to which no row can be added any more';
REVOKE EXECUTE ON FUNCTION pipeline.settled_moment() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pipeline.settled_moment() TO pipeline, pipeline_reader, pipeline_api;

-- Newest first, from the index alone, however deep the page: when a row was written and the filter that half of all rows pass
-- are in it.
DROP INDEX pipeline.users_fetched_at;
CREATE INDEX users_fetched_at ON pipeline.users (fetched_at, uuid) INCLUDE (created_at, gender);
CREATE INDEX users_nationality ON pipeline.users (nationality, fetched_at, uuid) INCLUDE (created_at, gender);
CREATE INDEX users_company ON pipeline.users (company, fetched_at, uuid) INCLUDE (created_at, gender);
CREATE INDEX users_last_name ON pipeline.users (last_name, uuid) INCLUDE (created_at, gender);
-- How many came since the last count.
CREATE INDEX users_created_at ON pipeline.users (created_at);

-- Any part of a name, an e-mail address, a user name, a city or a company, in whatever case.
CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;
CREATE INDEX users_text ON pipeline.users USING gin (
    (first_name || ' ' || last_name || ' ' || email || ' ' || username || ' ' || city || ' ' || company) public.gin_trgm_ops
);

-- The refused, too, are read as of a moment: rejected_at is when the stage refused.
ALTER TABLE pipeline.rejected ADD COLUMN stored_at timestamptz NOT NULL DEFAULT now();
COMMENT ON COLUMN pipeline.rejected.stored_at IS 'when the row was written; of rows before this column, when it was added';
CREATE INDEX rejected_rejected_at ON pipeline.rejected (rejected_at);
-- The runs of the feed, newest first.
CREATE INDEX fetches_stored_at ON pipeline.fetches (stored_at, source_topic, source_partition, source_offset);
CREATE INDEX restore_points_taken_at ON pipeline.restore_points (taken_at);
