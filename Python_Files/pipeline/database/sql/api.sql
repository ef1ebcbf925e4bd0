-- name: ledger_of
-- The account of these runs of the feed.
SELECT arrived_at, fetch_id, kind, source, requested, received, refused_by_feed, fetched, postgresql_stored, postgresql_known,
    postgresql_removed, postgresql_rejected, postgresql_open, nocodb_stored, nocodb_known, nocodb_removed, nocodb_rejected,
    nocodb_open, failure
FROM pipeline.ledger
WHERE fetch_id = ANY (%(fetch_ids)s)

-- name: fetches_of_run
-- What an ordered fetch got, whoever gave it.
SELECT fetch_id, requested, received
FROM pipeline.fetches
WHERE fetch_id = ANY (%(fetch_ids)s)
ORDER BY source_topic, source_partition, source_offset
LIMIT 1
