-- name: count_stores
-- What the database knows of both stores.
SELECT
    (SELECT count(*) FROM pipeline.fetched_users) AS fetched,
    (SELECT count(*) FROM pipeline.users) AS postgresql,
    (SELECT count(*) FROM pipeline.nocodb_users) AS nocodb_written,
    (SELECT count(*) FROM pipeline.rejected WHERE state = 'open') AS rejected,
    (SELECT count(*) FROM pipeline.repeats WHERE sink = %(postgresql)s) AS postgresql_repeats,
    (SELECT count(*) FROM pipeline.repeats WHERE sink = %(nocodb)s) AS nocodb_repeats,
    (SELECT count(*) FROM pipeline.removed WHERE store = 'postgresql') AS postgresql_removed,
    (SELECT count(*) FROM pipeline.removed WHERE store = 'nocodb') AS nocodb_removed

-- name: count_unaccounted
-- People whom a fetch brought and who are nowhere yet: not stored, not removed, not set aside. Compared by uuid.
WITH nowhere AS (
    SELECT f.uuid
    FROM pipeline.fetched_users f
    WHERE NOT EXISTS (SELECT FROM pipeline.rejected r WHERE r.uuid = f.uuid)
)
SELECT
    (SELECT count(DISTINCT uuid) FROM nowhere n
     WHERE NOT EXISTS (SELECT FROM pipeline.users u WHERE u.uuid = n.uuid)
       AND NOT EXISTS (SELECT FROM pipeline.removed r WHERE r.uuid = n.uuid AND r.store = 'postgresql')) AS postgresql,
    (SELECT count(DISTINCT uuid) FROM nowhere n
     WHERE NOT EXISTS (SELECT FROM pipeline.nocodb_users w WHERE w.uuid = n.uuid)
       AND NOT EXISTS (SELECT FROM pipeline.removed r WHERE r.uuid = n.uuid AND r.store = 'nocodb')) AS nocodb

-- name: read_progress
-- Where a sink goes on, and what it made of what it read, per partition of the topics as they are now.
SELECT t.name, o.partition, o.next_offset, o.processed, o.rejected
FROM pipeline.offsets o
JOIN pipeline.topics t ON t.id = o.topic
WHERE o.sink = %(sink)s AND t.cluster_id = %(cluster_id)s AND t.topic_id = ANY (%(topic_ids)s)

-- name: newest_fetch
-- The last run of the feed that brought somebody, and the last one that failed.
SELECT
    (SELECT max(arrived_at) FROM pipeline.fetches WHERE received > 0) AS received_at,
    (SELECT max(stored_at) FROM pipeline.fetches WHERE failure IS NOT NULL) AS failed_at,
    (SELECT failure FROM pipeline.fetches WHERE failure IS NOT NULL ORDER BY stored_at DESC LIMIT 1) AS failure

-- name: any_user
-- Whether anybody was ever stored.
SELECT EXISTS (SELECT FROM pipeline.users)

-- name: users_of_source
-- A piece of the people of one source, to remove.
SELECT uuid, fetch_id, source
FROM pipeline.users
WHERE source = %(source)s
ORDER BY uuid
LIMIT %(limit)s

-- name: written_of_source
-- A piece of the people of one source that are in NocoDB and not noted as removed.
SELECT uuid, fetch_id, source
FROM pipeline.nocodb_users w
WHERE source = %(source)s
  AND NOT EXISTS (SELECT FROM pipeline.removed r WHERE r.uuid = w.uuid AND r.store = 'nocodb')
ORDER BY uuid
LIMIT %(limit)s

-- name: note_removed
-- People who were removed from a store on purpose.
INSERT INTO pipeline.removed (uuid, store, fetch_id, source, why)
VALUES %s
ON CONFLICT DO NOTHING

-- name: delete_users
-- Remove people from the table.
DELETE FROM pipeline.users WHERE uuid = ANY (%(uuids)s)
