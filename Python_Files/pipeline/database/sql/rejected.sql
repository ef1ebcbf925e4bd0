-- name: store_rejected
-- A record set aside. Reading its place again adds nothing.
INSERT INTO pipeline.rejected (stage, reason, message, topic, partition, "offset", fetch_id, source, uuid,
    value_text, value, key, headers, fetched_at, rejected_at, replay_of, source_topic, source_partition, source_offset)
VALUES (%(stage)s, %(reason)s, %(message)s, %(topic)s, %(partition)s, %(offset)s, %(fetch_id)s, %(source)s, %(uuid)s,
    %(value_text)s, %(value)s, %(key)s, %(headers)s, %(fetched_at)s, %(rejected_at)s, %(replay_of)s,
    %(source_topic)s, %(source_partition)s, %(source_offset)s)
ON CONFLICT DO NOTHING
RETURNING id

-- name: note_arrival
-- A record that was sent again has come to a sink: what became of it, on its row, and on the one that the same sink made
-- when it refused the same record too. A row is settled when every store that was without the person has told.
UPDATE pipeline.rejected AS r
SET in_postgresql = CASE
        WHEN %(sink)s = %(postgresql)s AND r.in_postgresql IS DISTINCT FROM 'stored' THEN told.outcome
        ELSE r.in_postgresql
    END,
    in_nocodb = CASE
        WHEN %(sink)s = %(nocodb)s AND r.in_nocodb IS DISTINCT FROM 'stored' THEN told.outcome
        ELSE r.in_nocodb
    END,
    state = CASE
        WHEN (%(sink)s = %(postgresql)s OR r.in_postgresql IS NOT NULL OR r.stage = %(nocodb)s)
            AND (%(sink)s = %(nocodb)s OR r.in_nocodb IS NOT NULL OR r.stage = %(postgresql)s)
        THEN 'replayed'
        ELSE 'sent'
    END,
    state_at = now()
FROM (
    SELECT id, source_topic, source_partition, source_offset,
        CASE
            WHEN %(outcome)s = 'repeat' AND EXISTS (
                SELECT FROM pipeline.removed x WHERE x.uuid = %(uuid)s AND x.store = %(store)s
            ) THEN 'removed'
            ELSE %(outcome)s
        END AS outcome
    FROM pipeline.rejected
    WHERE id = %(id)s AND tries > 0
) AS told
WHERE (r.source_topic, r.source_partition, r.source_offset) = (told.source_topic, told.source_partition, told.source_offset)
  AND (r.id = told.id OR r.stage = %(sink)s AND r.state IN ('open', 'sent'))

-- name: note_refused_again
-- A record that was sent again was refused before it came to any store. Its new row is the open one.
UPDATE pipeline.rejected
SET in_postgresql = CASE WHEN in_postgresql = 'stored' THEN in_postgresql ELSE %(outcome)s END,
    in_nocodb = CASE WHEN in_nocodb = 'stored' THEN in_nocodb ELSE %(outcome)s END,
    state = 'replayed',
    state_at = now()
WHERE id = %(id)s AND tries > 0

-- name: list_rejected
-- Refused records, newest first.
SELECT id, stage, reason, message, topic, partition, "offset", fetch_id, source, uuid, fetched_at, rejected_at, state,
    state_note, state_at, replay_of, tries, tried_at, in_postgresql, in_nocodb
FROM pipeline.rejected
WHERE (%(every)s OR state IN ('open', 'sent'))
  AND (%(stage)s IS NULL OR stage = %(stage)s)
  AND (%(reason)s IS NULL OR reason = %(reason)s)
ORDER BY id DESC
LIMIT %(limit)s

-- name: count_rejected
-- How many such records there are.
SELECT count(*)
FROM pipeline.rejected
WHERE (%(every)s OR state IN ('open', 'sent'))
  AND (%(stage)s IS NULL OR stage = %(stage)s)
  AND (%(reason)s IS NULL OR reason = %(reason)s)

-- name: read_rejected
-- Some of them, whole.
SELECT id, stage, reason, message, topic, partition, "offset", fetch_id, source, uuid, fetched_at, rejected_at, state,
    state_note, state_at, replay_of, tries, tried_at, in_postgresql, in_nocodb, value, key, headers, corrected
FROM pipeline.rejected
WHERE id = ANY (%(ids)s)

-- name: newer_rejected
-- As what a record was refused again.
SELECT id FROM pipeline.rejected WHERE replay_of = %(id)s ORDER BY id

-- name: is_fetched
-- Whether this person belongs to this run of the feed.
SELECT EXISTS (
    SELECT FROM pipeline.fetched_users u
    JOIN pipeline.fetches f USING (source_topic, source_partition, source_offset)
    WHERE u.uuid = %(uuid)s AND f.fetch_id = %(fetch_id)s
)

-- name: try_replay
-- A record is about to be sent again. Noted first, so that whatever arrives afterwards is known to be ours.
UPDATE pipeline.rejected
SET tries = tries + 1, tried_at = clock_timestamp(), corrected = %(corrected)s
WHERE id = %(id)s AND state IN ('open', 'sent')

-- name: note_sent
-- It was sent. What has arrived meanwhile says more, and stays.
UPDATE pipeline.rejected
SET state = 'sent', state_at = clock_timestamp()
WHERE id = ANY (%(ids)s) AND state = 'open'

-- name: discard_rejected
-- Nobody will send it again.
UPDATE pipeline.rejected
SET state = 'discarded', state_note = %(why)s, state_at = clock_timestamp()
WHERE id = ANY (%(ids)s) AND state IN ('open', 'sent')
