-- name: ledger_tables
-- What one look keeps, in temporary tables, so that a million people need no memory of the program. ledger_fetches: the
-- records of fetches that this look is about, with where they are known from; ledger_waiting: who stands in a topic beyond
-- the place where a stage or a sink reads; ledger_present: who is in NocoDB; ledger_absent: who was written there and is
-- not there; ledger_strangers: who seems to be in a store and never fetched.
CREATE TEMPORARY TABLE ledger_fetches (
    source_topic smallint, source_partition integer, source_offset bigint, waits boolean, fetch_id text, kind text,
    source text, requested integer, received integer, rejected integer, failure text, arrived_at timestamptz,
    PRIMARY KEY (source_topic, source_partition, source_offset)
);
CREATE TEMPORARY TABLE ledger_fetched (source_topic smallint, source_partition integer, source_offset bigint, uuid uuid);
CREATE TEMPORARY TABLE ledger_waiting (uuid uuid, postgresql boolean, nocodb boolean);
CREATE TEMPORARY TABLE ledger_present (uuid uuid);
CREATE TEMPORARY TABLE ledger_absent (uuid uuid PRIMARY KEY);
CREATE TEMPORARY TABLE ledger_strangers (store text, uuid uuid);

-- name: ledger_note_strangers
-- People in the table whom no fetch brought, as far as is stored. Noted first: whose fetch still waits in Kafka is let off
-- afterwards.
INSERT INTO ledger_strangers (store, uuid)
SELECT 'postgresql', u.uuid
FROM pipeline.users u
WHERE NOT EXISTS (SELECT FROM pipeline.fetched_users f WHERE f.uuid = u.uuid)
  AND (%(fetch)s::text IS NULL OR u.fetch_id = %(fetch)s)
  AND (%(since)s::timestamptz IS NULL OR u.fetched_at >= %(since)s)

-- name: ledger_topic
-- The number of a topic in its present life, if a sink has ever seen it.
SELECT id FROM pipeline.topics WHERE cluster_id = %(cluster_id)s AND topic_id = %(topic_id)s

-- name: ledger_note_fetches
-- The stored fetches that were asked for. One that was just read from Kafka is known already.
INSERT INTO ledger_fetches
SELECT source_topic, source_partition, source_offset, false, fetch_id, kind, source, requested, received, rejected,
       failure, arrived_at
FROM pipeline.fetches
WHERE (%(fetch)s::text IS NULL OR fetch_id = %(fetch)s)
  AND (%(since)s::timestamptz IS NULL OR COALESCE(arrived_at, stored_at) >= %(since)s)
ON CONFLICT DO NOTHING

-- name: ledger_people
-- The runs by their ids, and whom each of them brought: one row a person and run, with how many records that was (a run
-- that was doubled brings the same people twice under one id).
CREATE TEMPORARY TABLE ledger_runs AS
SELECT (row_number() OVER (ORDER BY min(arrived_at) DESC NULLS LAST, fetch_id))::integer AS number, fetch_id,
       min(kind) AS kind, min(source) AS source, min(failure) AS failure, min(arrived_at) AS arrived_at,
       sum(requested) AS requested, sum(received) AS received, sum(rejected) AS refused
FROM ledger_fetches
GROUP BY fetch_id;
CREATE TEMPORARY TABLE ledger_people AS
SELECT r.number, brought.uuid, count(*)::integer AS records
FROM (
    SELECT f.fetch_id, p.uuid
    FROM ledger_fetches f
    JOIN pipeline.fetched_users p USING (source_topic, source_partition, source_offset)
    WHERE NOT f.waits
    UNION ALL
    SELECT f.fetch_id, p.uuid
    FROM ledger_fetches f
    JOIN ledger_fetched p USING (source_topic, source_partition, source_offset)
    WHERE f.waits
) AS brought
JOIN ledger_runs r USING (fetch_id)
GROUP BY r.number, brought.uuid;
ANALYZE ledger_runs;
ANALYZE ledger_people

-- name: ledger_analyze
-- What the planner must know of the temporary tables; nobody else tells it.
ANALYZE ledger_present;
ANALYZE ledger_waiting;
ANALYZE ledger_fetched

-- name: ledger_answers
-- Whether the database answers.
SELECT 1

-- name: ledger_none_absent
-- Every absence is explained.
DELETE FROM ledger_absent

-- name: ledger_no_strangers
-- Nothing is said about strangers.
DELETE FROM ledger_strangers

-- name: ledger_chosen
-- A piece of the people of the chosen fetches, in the order of their uuids.
SELECT DISTINCT uuid FROM ledger_people WHERE uuid > %(after)s ORDER BY uuid LIMIT %(limit)s

-- name: ledger_note_absent
-- Who was written to NocoDB, was not removed, and was not met there.
INSERT INTO ledger_absent (uuid)
SELECT w.uuid
FROM pipeline.nocodb_users w
WHERE NOT EXISTS (SELECT FROM ledger_present p WHERE p.uuid = w.uuid)
  AND NOT EXISTS (SELECT FROM pipeline.removed r WHERE r.uuid = w.uuid AND r.store = 'nocodb')

-- name: ledger_note_absent_of_chosen
-- The same, of the people of the chosen fetches.
INSERT INTO ledger_absent (uuid)
SELECT w.uuid
FROM pipeline.nocodb_users w
WHERE w.uuid IN (SELECT p.uuid FROM ledger_people p)
  AND NOT EXISTS (SELECT FROM ledger_present p WHERE p.uuid = w.uuid)
  AND NOT EXISTS (SELECT FROM pipeline.removed r WHERE r.uuid = w.uuid AND r.store = 'nocodb')

-- name: ledger_absent
-- A piece of those who were not met.
SELECT uuid FROM ledger_absent WHERE uuid > %(after)s ORDER BY uuid LIMIT %(limit)s

-- name: ledger_met
-- They are in NocoDB after all.
WITH met AS (DELETE FROM ledger_absent WHERE uuid = ANY (%(uuids)s) RETURNING uuid)
INSERT INTO ledger_present (uuid) SELECT uuid FROM met

-- name: ledger_absences
-- How many are not there; and of how many who should be, which is only asked for when they are many.
SELECT absent.people,
       CASE WHEN absent.people > %(many)s THEN (
           SELECT count(*) FROM pipeline.nocodb_users w
           WHERE NOT EXISTS (SELECT FROM pipeline.removed r WHERE r.uuid = w.uuid AND r.store = 'nocodb')
       ) ELSE 0 END
FROM (SELECT count(*) AS people FROM ledger_absent) AS absent

-- name: ledger_record_removed
-- Who was written and is not there was removed by a person: from now on that is on record.
INSERT INTO pipeline.removed (uuid, store, fetch_id, source, why)
SELECT uuid, 'nocodb', w.fetch_id, w.source, %(why)s
FROM ledger_absent
JOIN pipeline.nocodb_users w USING (uuid)
ON CONFLICT DO NOTHING

-- name: ledger_returned
-- A piece of those who are in NocoDB although a person had removed them there.
SELECT p.uuid
FROM ledger_present p
JOIN pipeline.removed r ON r.uuid = p.uuid AND r.store = 'nocodb' AND r.why = %(why)s
WHERE p.uuid > %(after)s
ORDER BY p.uuid
LIMIT %(limit)s

-- name: ledger_forget_removed
-- They were brought back, so they are not removed any more.
DELETE FROM pipeline.removed WHERE store = 'nocodb' AND why = %(why)s AND uuid = ANY (%(uuids)s)

-- name: ledger_note_written
-- People who are in NocoDB, but of whom it is not noted that they were written, and of whom no record is on the way.
INSERT INTO pipeline.nocodb_users (uuid, fetch_id, source)
SELECT u.uuid, u.fetch_id, u.source
FROM ledger_present p
JOIN pipeline.users u USING (uuid)
WHERE NOT EXISTS (SELECT FROM pipeline.nocodb_users w WHERE w.uuid = p.uuid)
  AND NOT EXISTS (SELECT FROM ledger_waiting t WHERE t.uuid = p.uuid AND t.nocodb)
  AND NOT EXISTS (SELECT FROM pipeline.removed r WHERE r.uuid = p.uuid AND r.store = 'nocodb')
ON CONFLICT DO NOTHING

-- name: ledger_strangers_left
-- Who is in a store and was not fetched: neither by a stored fetch nor by one that waits in Kafka.
INSERT INTO ledger_strangers (store, uuid)
SELECT 'nocodb', p.uuid
FROM ledger_present p
WHERE %(all)s AND NOT EXISTS (SELECT FROM pipeline.fetched_users f WHERE f.uuid = p.uuid);
DELETE FROM ledger_strangers s
WHERE EXISTS (SELECT FROM pipeline.fetched_users f WHERE f.uuid = s.uuid)
   OR EXISTS (SELECT FROM ledger_fetched f WHERE f.uuid = s.uuid)
   OR (s.store = 'postgresql' AND NOT EXISTS (SELECT FROM pipeline.users u WHERE u.uuid = s.uuid))

-- name: ledger_strangers_of
-- A piece of the strangers in NocoDB.
SELECT uuid FROM ledger_strangers WHERE store = 'nocodb' AND uuid > %(after)s ORDER BY uuid LIMIT %(limit)s

-- name: ledger_strangers_gone
-- These are not there any more.
DELETE FROM ledger_strangers WHERE store = 'nocodb' AND uuid = ANY (%(uuids)s)

-- name: ledger_classified
-- Each person of each run, in exactly one place per record: the row that this run's record made; removed, where this run
-- had made the row; as many repeats as were noted; and what is left, all in the first of these that is true: removed,
-- rejected, on the way, known by another run's record; or nowhere, which is missing.
SELECT number, uuid, records, stored,
       repeats + CASE WHEN rest = 'known' THEN remaining ELSE 0 END AS repeats,
       made_and_removed + CASE WHEN rest = 'removed' THEN remaining ELSE 0 END AS removed,
       CASE WHEN rest = 'rejected' THEN remaining ELSE 0 END AS rejected,
       CASE WHEN rest = 'on the way' THEN remaining ELSE 0 END AS on_the_way,
       CASE WHEN rest = 'missing' THEN remaining ELSE 0 END AS missing
FROM (
    SELECT *, records - stored - made_and_removed - repeats AS remaining
    FROM (
        SELECT *, least(records - stored - made_and_removed, noted_repeats) AS repeats
        FROM (
            SELECT p.number, p.uuid, p.records,
                   COALESCE((s.fetch_id = r.fetch_id)::integer, 0) AS stored,
                   COALESCE((s.uuid IS NULL AND gone.fetch_id = r.fetch_id)::integer, 0) AS made_and_removed,
                   COALESCE(again.records, 0)::integer AS noted_repeats,
                   CASE
                       WHEN s.uuid IS NULL AND gone.uuid IS NOT NULL THEN 'removed'
                       WHEN s.uuid IS NULL AND EXISTS (
                           SELECT FROM pipeline.rejected x
                           WHERE x.uuid = p.uuid AND x.stage NOT IN (%(feed)s, %(other)s) AND x.topic <> 'pipeline.fetches'
                             -- Another run's record about the same person is no excuse for this one's.
                             AND (x.fetch_id = r.fetch_id OR r.kind = 'replay')
                             -- Nor is one that was sent again and stored, unless it was as somebody else.
                             AND NOT (
                                 COALESCE(CASE %(store)s WHEN 'postgresql' THEN x.in_postgresql ELSE x.in_nocodb END, '')
                                     IN ('stored', 'repeat')
                                 AND NOT EXISTS (SELECT FROM pipeline.fetches y WHERE y.fetch_id = 'replay-' || x.id)
                             )
                       ) THEN 'rejected'
                       WHEN waiting.uuid IS NOT NULL OR %(blind)s AND s.uuid IS NULL THEN 'on the way'
                       WHEN s.uuid IS NOT NULL THEN 'known'
                       ELSE 'missing'
                   END AS rest
            FROM ledger_people p
            JOIN ledger_runs r USING (number)
            LEFT JOIN (
                -- By the people asked for, so that one fetch of a million people is not looked for among all of them.
                SELECT uuid, fetch_id FROM pipeline.users
                WHERE %(store)s = 'postgresql' AND uuid IN (SELECT uuid FROM ledger_people)
                UNION ALL
                SELECT uuid, fetch_id FROM pipeline.nocodb_users w
                WHERE %(store)s = 'nocodb' AND uuid IN (SELECT uuid FROM ledger_people)
                  AND NOT EXISTS (SELECT FROM ledger_absent a WHERE a.uuid = w.uuid)
                  AND NOT EXISTS (SELECT FROM pipeline.removed x WHERE x.uuid = w.uuid AND x.store = 'nocodb')
            ) AS s ON s.uuid = p.uuid
            LEFT JOIN pipeline.removed gone ON gone.uuid = p.uuid AND gone.store = %(store)s
            LEFT JOIN (
                SELECT fetch_id, uuid, count(*) AS records FROM pipeline.repeats
                WHERE sink = %(sink)s AND fetch_id IN (SELECT fetch_id FROM ledger_runs)
                GROUP BY 1, 2
            ) AS again ON again.fetch_id = r.fetch_id AND again.uuid = p.uuid
            LEFT JOIN (
                SELECT DISTINCT uuid FROM ledger_waiting
                WHERE CASE %(store)s WHEN 'postgresql' THEN postgresql ELSE nocodb END
            ) AS waiting ON waiting.uuid = p.uuid
        ) AS found
    ) AS with_repeats
) AS with_rest

-- name: ledger_counts
-- The account of each run in one store.
SELECT %(store)s AS store, number, sum(records) AS fetched, sum(stored) AS stored, sum(repeats) AS repeats,
       sum(removed) AS removed, sum(rejected) AS rejected, sum(on_the_way) AS on_the_way, sum(missing) AS missing
FROM ({classified}) AS classified
GROUP BY number

-- name: ledger_missing
-- Who is missing in one store, with the run that brought them.
SELECT %(store)s AS store, number, uuid FROM ({classified}) AS classified WHERE missing > 0

-- name: ledger_totals
-- The whole account of one store.
SELECT COALESCE(sum(fetched), 0)::bigint AS fetched, COALESCE(sum(stored), 0)::bigint AS stored,
       COALESCE(sum(repeats), 0)::bigint AS repeats, COALESCE(sum(removed), 0)::bigint AS removed,
       COALESCE(sum(rejected), 0)::bigint AS rejected, COALESCE(sum(on_the_way), 0)::bigint AS on_the_way,
       COALESCE(sum(missing), 0)::bigint AS missing
FROM ledger_counts
WHERE store = %(store)s

-- name: ledger_read_runs
-- The runs, newest first, with the account of each in both stores.
SELECT r.fetch_id, r.kind, r.source, r.arrived_at, r.requested::bigint, r.received::bigint, r.refused::bigint, r.failure,
       COALESCE(p.fetched, 0)::bigint,
       COALESCE(p.stored, 0)::bigint, COALESCE(p.repeats, 0)::bigint, COALESCE(p.removed, 0)::bigint,
       COALESCE(p.rejected, 0)::bigint, COALESCE(p.on_the_way, 0)::bigint, COALESCE(p.missing, 0)::bigint,
       COALESCE(n.stored, 0)::bigint, COALESCE(n.repeats, 0)::bigint, COALESCE(n.removed, 0)::bigint,
       COALESCE(n.rejected, 0)::bigint, COALESCE(n.on_the_way, 0)::bigint, COALESCE(n.missing, 0)::bigint
FROM ledger_runs r
LEFT JOIN ledger_counts p ON p.number = r.number AND p.store = 'postgresql'
LEFT JOIN ledger_counts n ON n.number = r.number AND n.store = 'nocodb'
WHERE %(newest)s::bigint IS NULL OR r.number <= %(newest)s
   OR p.missing > 0 OR n.missing > 0 OR p.on_the_way > 0 OR n.on_the_way > 0
ORDER BY r.number

-- name: ledger_read_missing
-- Who is missing, with the run that brought them, by run and store.
SELECT m.uuid, m.store, r.fetch_id
FROM ledger_missing m
JOIN ledger_runs r USING (number)
ORDER BY r.number, m.uuid, m.store DESC

-- name: ledger_count_strangers
-- How many are in a store and were never fetched.
SELECT count(*) FROM ledger_strangers

-- name: ledger_any_run
-- Whether what was chosen is anything.
SELECT EXISTS (SELECT FROM ledger_runs)

-- name: ledger_read_strangers
-- Who is in a store and was never fetched.
SELECT uuid, store FROM ledger_strangers ORDER BY uuid, store

-- name: reconcile_note_to_write
-- The people whom the look knows as fetched, who are in PostgreSQL and not in NocoDB, and for whom nothing explains that: not
-- removed, not refused by NocoDB, not on the way. Who was fetched since the look began is left to the sink.
CREATE TEMPORARY TABLE IF NOT EXISTS reconcile_writing (uuid uuid PRIMARY KEY);
INSERT INTO reconcile_writing (uuid)
SELECT u.uuid
FROM pipeline.users u
WHERE EXISTS (SELECT FROM ledger_people p WHERE p.uuid = u.uuid)
  AND NOT EXISTS (SELECT FROM pipeline.nocodb_users w WHERE w.uuid = u.uuid)
  AND NOT EXISTS (SELECT FROM ledger_present p WHERE p.uuid = u.uuid)
  AND NOT EXISTS (SELECT FROM pipeline.removed r WHERE r.uuid = u.uuid AND r.store = 'nocodb')
  AND NOT EXISTS (SELECT FROM pipeline.rejected r WHERE r.uuid = u.uuid AND r.stage = %(sink)s)
  AND NOT EXISTS (SELECT FROM ledger_waiting t WHERE t.uuid = u.uuid AND t.nocodb)

-- name: reconcile_note_to_bring_back
-- The people who were removed in NocoDB by a person, and those who are absent there without explanation.
INSERT INTO reconcile_writing (uuid)
SELECT uuid FROM pipeline.removed WHERE store = 'nocodb' AND why = %(why)s
UNION
SELECT uuid FROM ledger_absent
ON CONFLICT DO NOTHING

-- name: reconcile_to_write
-- A piece of those who are to be written, with their rows. Whom Reset.sh has removed meanwhile is not.
SELECT u.*
FROM reconcile_writing c
JOIN pipeline.users u USING (uuid)
WHERE c.uuid > %(after)s
  AND NOT EXISTS (SELECT FROM pipeline.removed r WHERE r.uuid = c.uuid AND r.store = 'nocodb' AND r.why <> %(why)s)
ORDER BY c.uuid
LIMIT %(limit)s

-- name: reconcile_note_written
-- People that were written to NocoDB from their rows.
INSERT INTO pipeline.nocodb_users (uuid, fetch_id, source)
SELECT uuid, fetch_id, source FROM pipeline.users WHERE uuid = ANY (%(uuids)s)
ON CONFLICT DO NOTHING

-- name: reconcile_to_delete
-- A piece of the people who are in NocoDB although they were removed from PostgreSQL on purpose.
SELECT p.uuid
FROM ledger_present p
JOIN pipeline.removed r ON r.uuid = p.uuid AND r.store = 'postgresql'
WHERE p.uuid > %(after)s
  AND NOT EXISTS (SELECT FROM pipeline.users u WHERE u.uuid = p.uuid)
ORDER BY p.uuid
LIMIT %(limit)s
