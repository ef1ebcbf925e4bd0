-- What each constraint is for, where its name does not say all of it.
COMMENT ON CONSTRAINT topics_kafka_identity ON pipeline.topics IS 'one row a life of a topic: cluster and topic id together never come again';
COMMENT ON CONSTRAINT offsets_pkey ON pipeline.offsets IS 'one next offset a sink and partition, which only one process can move';
COMMENT ON CONSTRAINT offsets_not_negative ON pipeline.offsets IS 'Kafka counts from 0';
COMMENT ON CONSTRAINT users_pkey ON pipeline.users IS 'login.uuid; neither the user name nor the e-mail address is unique in the API';
COMMENT ON CONSTRAINT users_gender_known ON pipeline.users IS 'the two values that the API has';
COMMENT ON CONSTRAINT users_nationality_code ON pipeline.users IS 'two letters; which ones is the API''s to extend';
COMMENT ON CONSTRAINT users_latitude_range ON pipeline.users IS 'degrees';
COMMENT ON CONSTRAINT users_longitude_range ON pipeline.users IS 'degrees';
COMMENT ON CONSTRAINT users_company_given ON pipeline.users IS '2-Add_Label always names one';
COMMENT ON CONSTRAINT repeats_pkey ON pipeline.repeats IS 'a repeat counts once per source offset, however often the record is delivered';
COMMENT ON CONSTRAINT rejected_source_place ON pipeline.rejected IS 'a refused record is stored once, however often it is delivered';
COMMENT ON CONSTRAINT rejected_state_known ON pipeline.rejected IS 'open until somebody replays or discards it';
COMMENT ON CONSTRAINT fetches_pkey ON pipeline.fetches IS 'a run is stored once, however often its record is delivered';
COMMENT ON CONSTRAINT fetched_users_fetch_fkey ON pipeline.fetched_users IS 'who was fetched belongs to a run that is known';
COMMENT ON CONSTRAINT removed_pkey ON pipeline.removed IS 'a person is removed from a store once';
COMMENT ON CONSTRAINT removed_store_known ON pipeline.removed IS 'the two stores';
-- Reset.sh --source goes through these in the order of their uuids.
CREATE INDEX removed_source ON pipeline.removed (store, source, uuid);
