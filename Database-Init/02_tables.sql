-- A Kafka topic in one of its lives: a topic that is deleted and made again has a new id, and its offsets begin anew.
CREATE TABLE pipeline.topics (
    id         smallint GENERATED ALWAYS AS IDENTITY,
    cluster_id text NOT NULL,
    topic_id   text NOT NULL,
    name       text NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT topics_pkey PRIMARY KEY (id),
    CONSTRAINT topics_kafka_identity UNIQUE (cluster_id, topic_id)
);
COMMENT ON TABLE pipeline.topics IS 'Kafka topics by cluster id and topic id, so that an offset always says of which topic''s life it is';

-- Where each sink goes on reading. Kafka's own group offsets are not used by the sinks.
CREATE TABLE pipeline.offsets (
    sink        text NOT NULL,
    topic       smallint NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint NOT NULL,
    processed   bigint NOT NULL DEFAULT 0,
    stored      bigint NOT NULL DEFAULT 0,
    repeats     bigint NOT NULL DEFAULT 0,
    rejected    bigint NOT NULL DEFAULT 0,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT offsets_pkey PRIMARY KEY (sink, topic, partition),
    CONSTRAINT offsets_topic_fkey FOREIGN KEY (topic) REFERENCES pipeline.topics (id),
    CONSTRAINT offsets_not_negative CHECK (next_offset >= 0)
);
COMMENT ON TABLE pipeline.offsets IS 'Per sink and partition: the next offset to read, written in the transaction of the rows, and how many records that were';

CREATE TABLE pipeline.users (
    uuid                 uuid NOT NULL,
    gender               text NOT NULL,
    title                text NOT NULL,
    first_name           text NOT NULL,
    last_name            text NOT NULL,
    street_number        integer NOT NULL,
    street_name          text NOT NULL,
    city                 text NOT NULL,
    state                text NOT NULL,
    country              text NOT NULL,
    postcode             text NOT NULL,
    latitude             double precision NOT NULL,
    longitude            double precision NOT NULL,
    timezone_offset      text NOT NULL,
    timezone_description text NOT NULL,
    email                text NOT NULL,
    username             text NOT NULL,
    date_of_birth        timestamptz NOT NULL,
    registered_at        timestamptz NOT NULL,
    phone                text NOT NULL,
    cell                 text NOT NULL,
    id_name              text NOT NULL,
    id_value             text,
    picture_large        text NOT NULL,
    picture_medium       text NOT NULL,
    picture_thumbnail    text NOT NULL,
    nationality          text NOT NULL,
    company              text NOT NULL,
    fetched_at           timestamptz NOT NULL,
    fetch_id             text NOT NULL,
    source               text NOT NULL,
    further              jsonb,
    source_topic         smallint NOT NULL,
    source_partition     integer NOT NULL,
    source_offset        bigint NOT NULL,
    created_at           timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_pkey PRIMARY KEY (uuid),
    CONSTRAINT users_source_place UNIQUE (source_topic, source_partition, source_offset),
    CONSTRAINT users_source_topic_fkey FOREIGN KEY (source_topic) REFERENCES pipeline.topics (id),
    CONSTRAINT users_gender_known CHECK (gender IN ('female', 'male')),
    CONSTRAINT users_nationality_code CHECK (nationality ~ '^[A-Z]{2}$'),
    CONSTRAINT users_latitude_range CHECK (latitude BETWEEN -90 AND 90),
    CONSTRAINT users_longitude_range CHECK (longitude BETWEEN -180 AND 180),
    CONSTRAINT users_company_given CHECK (company <> '')
);
COMMENT ON TABLE pipeline.users IS 'One row a person, by the uuid that the API gave. The first record of a uuid makes the row, later ones are repeats';
COMMENT ON COLUMN pipeline.users.postcode IS 'text, because some countries have letters and leading zeros';
COMMENT ON COLUMN pipeline.users.fetched_at IS 'when the response with this person arrived';
COMMENT ON COLUMN pipeline.users.further IS 'fields of the API that have no column here; normally none';
COMMENT ON COLUMN pipeline.users.source_offset IS 'the record''s place in users.labelled, with source_topic and source_partition';
COMMENT ON COLUMN pipeline.users.created_at IS 'when the row was written';
COMMENT ON CONSTRAINT users_source_place ON pipeline.users IS 'one record of Kafka makes at most one row';
-- The newest people, and people per hour, are asked for all the time.
CREATE INDEX users_fetched_at ON pipeline.users (fetched_at, uuid);
-- The account of one fetch.
CREATE INDEX users_fetch_id ON pipeline.users (fetch_id);

-- A record of somebody who was stored already. One row a source offset, so that a record read again is not a second repeat.
CREATE TABLE pipeline.repeats (
    sink             text NOT NULL,
    source_topic     smallint NOT NULL,
    source_partition integer NOT NULL,
    source_offset    bigint NOT NULL,
    uuid             uuid NOT NULL,
    fetch_id         text NOT NULL,
    seen_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT repeats_pkey PRIMARY KEY (sink, source_topic, source_partition, source_offset)
);
COMMENT ON TABLE pipeline.repeats IS 'Records whose person a store had already';
CREATE INDEX repeats_fetch_id ON pipeline.repeats (fetch_id);

CREATE TABLE pipeline.rejected (
    id               bigint GENERATED ALWAYS AS IDENTITY,
    stage            text NOT NULL,
    reason           text NOT NULL,
    message          text NOT NULL,
    topic            text NOT NULL,
    partition        integer,
    "offset"         bigint,
    fetch_id         text NOT NULL,
    source           text NOT NULL,
    uuid             uuid,
    value_text       text,
    value            bytea,
    key              bytea,
    headers          jsonb NOT NULL DEFAULT '[]',
    fetched_at       timestamptz,
    rejected_at      timestamptz NOT NULL,
    state            text NOT NULL DEFAULT 'open',
    state_note       text NOT NULL DEFAULT '',
    state_at         timestamptz,
    source_topic     smallint NOT NULL,
    source_partition integer NOT NULL,
    source_offset    bigint NOT NULL,
    CONSTRAINT rejected_pkey PRIMARY KEY (id),
    CONSTRAINT rejected_source_place UNIQUE (source_topic, source_partition, source_offset, stage),
    CONSTRAINT rejected_state_known CHECK (state IN ('open', 'replayed', 'discarded'))
);
COMMENT ON TABLE pipeline.rejected IS 'Records that can never succeed as they are: who refused them, why, and where they stood';
COMMENT ON COLUMN pipeline.rejected.value IS 'the bytes as they stood in the topic';
COMMENT ON COLUMN pipeline.rejected.value_text IS 'the beginning of the bytes as text, to read';
COMMENT ON COLUMN pipeline.rejected.uuid IS 'whom it was about, where the record''s key says it';
CREATE INDEX rejected_fetch_id ON pipeline.rejected (fetch_id);
-- The account asks for each person who is not stored whether a record about them was set aside.
CREATE INDEX rejected_uuid ON pipeline.rejected (uuid);

CREATE TABLE pipeline.fetches (
    source_topic     smallint NOT NULL,
    source_partition integer NOT NULL,
    source_offset    bigint NOT NULL,
    fetch_id         text NOT NULL,
    kind             text NOT NULL,
    source           text NOT NULL,
    seed             text,
    page             integer,
    due_at           timestamptz,
    requested        integer NOT NULL,
    received         integer NOT NULL,
    rejected         integer NOT NULL DEFAULT 0,
    nationalities    text NOT NULL DEFAULT '',
    failure          text,
    arrived_at       timestamptz,
    stored_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT fetches_pkey PRIMARY KEY (source_topic, source_partition, source_offset)
);
COMMENT ON TABLE pipeline.fetches IS 'Every run of the feed: what it asked for and what it got';
CREATE INDEX fetches_fetch_id ON pipeline.fetches (fetch_id);
CREATE INDEX fetches_arrived_at ON pipeline.fetches (arrived_at);

CREATE TABLE pipeline.fetched_users (
    source_topic     smallint NOT NULL,
    source_partition integer NOT NULL,
    source_offset    bigint NOT NULL,
    ordinal          integer NOT NULL,
    uuid             uuid NOT NULL,
    CONSTRAINT fetched_users_pkey PRIMARY KEY (source_topic, source_partition, source_offset, ordinal),
    CONSTRAINT fetched_users_fetch_fkey FOREIGN KEY (source_topic, source_partition, source_offset)
        REFERENCES pipeline.fetches (source_topic, source_partition, source_offset)
);
COMMENT ON TABLE pipeline.fetched_users IS 'Whom each run of the feed put into users.fetched';
CREATE INDEX fetched_users_uuid ON pipeline.fetched_users (uuid);

CREATE TABLE pipeline.nocodb_users (
    uuid       uuid NOT NULL,
    fetch_id   text NOT NULL,
    source     text NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT nocodb_users_pkey PRIMARY KEY (uuid)
);
COMMENT ON TABLE pipeline.nocodb_users IS 'Whom the sink has written to NocoDB: a person in here who is not in NocoDB was removed there by somebody';
CREATE INDEX nocodb_users_fetch_id ON pipeline.nocodb_users (fetch_id);

CREATE TABLE pipeline.removed (
    uuid       uuid NOT NULL,
    store      text NOT NULL,
    fetch_id   text NOT NULL,
    source     text NOT NULL,
    why        text NOT NULL,
    removed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT removed_pkey PRIMARY KEY (uuid, store),
    CONSTRAINT removed_store_known CHECK (store IN ('postgresql', 'nocodb'))
);
COMMENT ON TABLE pipeline.removed IS 'People who were removed from a store on purpose; they are not brought back';
CREATE INDEX removed_fetch_id ON pipeline.removed (fetch_id);

CREATE TABLE pipeline.portraits (
    kind       text NOT NULL,
    number     integer NOT NULL,
    origin     text NOT NULL,
    attachment jsonb NOT NULL,
    stored_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT portraits_pkey PRIMARY KEY (kind, number)
);
COMMENT ON TABLE pipeline.portraits IS 'The 200 portraits as they lie in NocoDB''s own storage';
