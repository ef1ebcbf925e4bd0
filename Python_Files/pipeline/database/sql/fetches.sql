-- name: read_fetch
-- A run of the feed by its id. One that was doubled asked for the same both times.
SELECT fetch_id, kind, source, seed, page, requested, received, rejected,
       COALESCE(to_char(arrived_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), '') AS arrived_at, nationalities
FROM pipeline.fetches
WHERE fetch_id = %(fetch_id)s
ORDER BY source_topic, source_partition, source_offset
LIMIT 1
