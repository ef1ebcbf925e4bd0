-- What a person looks at. NocoDB shows these beside the tables.
CREATE VIEW pipeline.newest_users AS
SELECT fetched_at, first_name || ' ' || last_name AS name, company, nationality, city, country, email, source, uuid
FROM pipeline.users
ORDER BY fetched_at DESC, uuid
LIMIT 1000;
COMMENT ON VIEW pipeline.newest_users IS 'The thousand people fetched last';

CREATE VIEW pipeline.users_per_hour AS
SELECT date_trunc('hour', fetched_at) AS hour, source, count(*) AS users
FROM pipeline.users
GROUP BY 1, 2
ORDER BY 1 DESC, 2;
COMMENT ON VIEW pipeline.users_per_hour IS 'How many people each hour brought, by source';

CREATE VIEW pipeline.users_per_nationality AS
SELECT nationality, count(*) AS users, round(100.0 * count(*) / sum(count(*)) OVER (), 1) AS percent
FROM pipeline.users
GROUP BY nationality
ORDER BY users DESC, nationality;
COMMENT ON VIEW pipeline.users_per_nationality IS 'People by nationality';

CREATE VIEW pipeline.users_per_company AS
SELECT company, count(*) AS users, array_to_string(array_agg(DISTINCT nationality), ', ') AS nationalities
FROM pipeline.users
GROUP BY company
ORDER BY users DESC, company;
COMMENT ON VIEW pipeline.users_per_company IS 'People by company';

CREATE VIEW pipeline.open_rejected AS
SELECT id, rejected_at, stage, reason, message, topic, partition, "offset", fetch_id, source, left(value_text, 2000) AS value
FROM pipeline.rejected
WHERE state = 'open'
ORDER BY id DESC;
COMMENT ON VIEW pipeline.open_rejected IS 'Refused records that nobody has replayed or discarded yet';
