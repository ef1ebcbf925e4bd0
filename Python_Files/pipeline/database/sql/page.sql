-- name: page_people
-- The newest people, as the page shows them.
SELECT uuid::text, first_name, last_name, nationality, company, city, country, source, picture_large,
    extract(epoch FROM fetched_at)::double precision
FROM pipeline.users
ORDER BY fetched_at DESC, uuid DESC
LIMIT %(limit)s

-- name: page_rejected
-- What waits for a decision, newest first, and how many of it there are.
SELECT id, stage, reason, message, state, tries, uuid::text, extract(epoch FROM rejected_at)::double precision,
    count(*) OVER ()
FROM pipeline.rejected
WHERE state IN ('open', 'sent')
ORDER BY id DESC
LIMIT %(limit)s

-- name: page_fetch
-- The last run of the feed that told something.
SELECT fetch_id, source, received, failure, extract(epoch FROM coalesce(arrived_at, stored_at))::double precision
FROM pipeline.fetches
ORDER BY source_topic DESC, source_partition DESC, source_offset DESC
LIMIT 1

-- name: page_ledger_before
-- The account of all fetches that arrived before a moment, added up.
SELECT sum(fetched)::bigint,
    sum(postgresql_stored)::bigint, sum(postgresql_known)::bigint, sum(postgresql_removed)::bigint,
    sum(postgresql_rejected)::bigint, sum(postgresql_open)::bigint,
    sum(nocodb_stored)::bigint, sum(nocodb_known)::bigint, sum(nocodb_removed)::bigint,
    sum(nocodb_rejected)::bigint, sum(nocodb_open)::bigint
FROM pipeline.ledger
WHERE arrived_at < to_timestamp(%(moment)s)

-- name: page_ledger_since
-- The account of all others.
SELECT sum(fetched)::bigint,
    sum(postgresql_stored)::bigint, sum(postgresql_known)::bigint, sum(postgresql_removed)::bigint,
    sum(postgresql_rejected)::bigint, sum(postgresql_open)::bigint,
    sum(nocodb_stored)::bigint, sum(nocodb_known)::bigint, sum(nocodb_removed)::bigint,
    sum(nocodb_rejected)::bigint, sum(nocodb_open)::bigint
FROM pipeline.ledger
WHERE arrived_at >= to_timestamp(%(moment)s) OR arrived_at IS NULL

-- name: page_stored
-- People stored since a moment, in pieces of so many seconds: how many, and the median and the 95th percentile of the
-- seconds from fetched to stored.
SELECT floor(extract(epoch FROM created_at) / %(seconds)s)::bigint * %(seconds)s AS piece, count(*),
    percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM created_at - fetched_at))
FROM pipeline.users
WHERE created_at >= to_timestamp(%(since)s)
GROUP BY piece
ORDER BY piece

-- name: page_written
-- People written to NocoDB since a moment, in the same pieces.
SELECT floor(extract(epoch FROM written_at) / %(seconds)s)::bigint * %(seconds)s AS piece, count(*)
FROM pipeline.nocodb_users
WHERE written_at >= to_timestamp(%(since)s)
GROUP BY piece
ORDER BY piece

-- name: page_portrait
-- Where a portrait lies in NocoDB's storage.
SELECT attachment FROM pipeline.portraits WHERE kind = %(kind)s AND number = %(number)s

-- name: page_archiver
-- What PostgreSQL's archiver has done since its figures began.
SELECT archived_count, failed_count FROM pg_stat_archiver
