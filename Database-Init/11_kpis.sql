-- Key figures of the feed. Each is a function of a window, "since" within and "until" without, and a view of all there is.
-- The window is that of fetched_at: when people were fetched.

CREATE FUNCTION pipeline.people_per(unit text, since timestamptz, until timestamptz)
RETURNS TABLE (at timestamptz, users bigint)
LANGUAGE sql STABLE
AS $$
    -- Also the minutes in which nobody came, from the first person ever on.
    WITH counted AS (
        SELECT date_trunc(unit, u.fetched_at, 'UTC') AS at, count(*) AS users
        FROM pipeline.users u
        WHERE u.fetched_at >= since AND u.fetched_at < until
        GROUP BY 1
    )
    SELECT series.at, COALESCE(counted.users, 0)
    FROM (SELECT min(fetched_at) AS fetched_at FROM pipeline.users) AS first
    CROSS JOIN LATERAL generate_series(
        date_trunc(unit, CASE WHEN first.fetched_at > since THEN first.fetched_at WHEN isfinite(first.fetched_at) THEN since END, 'UTC'),
        least(until, now()) - interval '1 microsecond',
        ('1 ' || unit)::interval
    ) AS series (at)
    LEFT JOIN counted ON counted.at = series.at
$$;
COMMENT ON FUNCTION pipeline.people_per(text, timestamptz, timestamptz) IS 'How many people each minute, hour or day brought';

CREATE FUNCTION pipeline.people_per_nationality(since timestamptz, until timestamptz)
RETURNS TABLE (nationality text, users bigint, percent numeric)
LANGUAGE sql STABLE
AS $$
    SELECT u.nationality, count(*), round(100.0 * count(*) / sum(count(*)) OVER (), 2)
    FROM pipeline.users u
    WHERE u.fetched_at >= since AND u.fetched_at < until
    GROUP BY u.nationality
$$;
COMMENT ON FUNCTION pipeline.people_per_nationality(timestamptz, timestamptz) IS 'People by nationality';

CREATE FUNCTION pipeline.people_per_company(since timestamptz, until timestamptz)
RETURNS TABLE (company text, users bigint)
LANGUAGE sql STABLE
AS $$
    SELECT u.company, count(*)
    FROM pipeline.users u
    WHERE u.fetched_at >= since AND u.fetched_at < until
    GROUP BY u.company
$$;
COMMENT ON FUNCTION pipeline.people_per_company(timestamptz, timestamptz) IS 'People by company';

CREATE FUNCTION pipeline.age_pyramid(since timestamptz, until timestamptz)
RETURNS TABLE (age_from integer, age_to integer, female bigint, male bigint)
LANGUAGE sql STABLE
AS $$
    -- The birthdays of today that divide the bands, oldest first; whoever is older than all of them is 120 and more.
    WITH limits AS (
        SELECT array_agg(now() - make_interval(years => age) ORDER BY age DESC) AS days FROM generate_series(0, 120, 5) AS age
    )
    SELECT band.age_from, NULLIF(band.age_from + 4, 124), sum(counted.female)::bigint, sum(counted.male)::bigint
    FROM (
        SELECT width_bucket(u.date_of_birth, limits.days) AS passed,
               count(*) FILTER (WHERE u.gender = 'female') AS female,
               count(*) FILTER (WHERE u.gender = 'male') AS male
        FROM pipeline.users u, limits
        WHERE u.fetched_at >= since AND u.fetched_at < until
        GROUP BY 1
    ) AS counted
    CROSS JOIN LATERAL (SELECT greatest(0, 120 - 5 * counted.passed) AS age_from) AS band
    GROUP BY band.age_from
$$;
COMMENT ON FUNCTION pipeline.age_pyramid(timestamptz, timestamptz) IS 'People by age today, in bands of five years, and gender; age_to is null for 120 and more';

CREATE FUNCTION pipeline.latency(since timestamptz, until timestamptz)
RETURNS TABLE (users bigint, p50_seconds double precision, p95_seconds double precision, p99_seconds double precision, max_seconds double precision)
LANGUAGE sql STABLE
AS $$
    SELECT counted.users, counted.points[1], counted.points[2], counted.points[3], counted.most
    FROM (
        SELECT count(*) AS users,
               percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM u.created_at - u.fetched_at)::double precision) AS points,
               max(extract(epoch FROM u.created_at - u.fetched_at)::double precision) AS most
        FROM pipeline.users u
        WHERE u.fetched_at >= since AND u.fetched_at < until
    ) AS counted
$$;
COMMENT ON FUNCTION pipeline.latency(timestamptz, timestamptz) IS 'Seconds from the arrival of the response to the row in PostgreSQL: half of the people, 95 and 99 of a hundred took no longer';

CREATE FUNCTION pipeline.latency_per(unit text, since timestamptz, until timestamptz)
RETURNS TABLE (at timestamptz, users bigint, p50_seconds double precision, p95_seconds double precision, p99_seconds double precision, max_seconds double precision)
LANGUAGE sql STABLE
AS $$
    SELECT counted.at, counted.users, counted.points[1], counted.points[2], counted.points[3], counted.most
    FROM (
        SELECT date_trunc(unit, u.fetched_at, 'UTC') AS at,
               count(*) AS users,
               percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM u.created_at - u.fetched_at)::double precision) AS points,
               max(extract(epoch FROM u.created_at - u.fetched_at)::double precision) AS most
        FROM pipeline.users u
        WHERE u.fetched_at >= since AND u.fetched_at < until
        GROUP BY 1
    ) AS counted
$$;
COMMENT ON FUNCTION pipeline.latency_per(text, timestamptz, timestamptz) IS 'The same by minute, hour or day of the fetch';

CREATE FUNCTION pipeline.share_rejected(since timestamptz, until timestamptz)
RETURNS TABLE (received bigint, rejected bigint, percent numeric)
LANGUAGE sql STABLE
AS $$
    SELECT got.received, refused.rejected, round(100.0 * refused.rejected / NULLIF(got.received, 0), 4)
    FROM (
        SELECT COALESCE(sum(f.received), 0)::bigint AS received
        FROM pipeline.fetches f
        WHERE f.arrived_at >= since AND f.arrived_at < until
    ) AS got
    CROSS JOIN (
        SELECT count(*) AS rejected
        FROM pipeline.rejected r
        WHERE r.rejected_at >= since AND r.rejected_at < until AND r.topic <> 'pipeline.fetches'
    ) AS refused
$$;
COMMENT ON FUNCTION pipeline.share_rejected(timestamptz, timestamptz) IS 'How many records were received and refused in the window; percent is null when none was received';

CREATE FUNCTION pipeline.rejected_per_reason(since timestamptz, until timestamptz)
RETURNS TABLE (stage text, reason text, rejected bigint)
LANGUAGE sql STABLE
AS $$
    SELECT r.stage, r.reason, count(*)
    FROM pipeline.rejected r
    WHERE r.rejected_at >= since AND r.rejected_at < until
    GROUP BY r.stage, r.reason
$$;
COMMENT ON FUNCTION pipeline.rejected_per_reason(timestamptz, timestamptz) IS 'Refused records by who refused them and why';

CREATE VIEW pipeline.kpi_people_per_minute AS
SELECT * FROM pipeline.people_per('minute', '-infinity', 'infinity') ORDER BY at DESC;
CREATE VIEW pipeline.kpi_people_per_hour AS
SELECT * FROM pipeline.people_per('hour', '-infinity', 'infinity') ORDER BY at DESC;
CREATE VIEW pipeline.kpi_people_per_day AS
SELECT * FROM pipeline.people_per('day', '-infinity', 'infinity') ORDER BY at DESC;
CREATE VIEW pipeline.kpi_people_per_nationality AS
SELECT * FROM pipeline.people_per_nationality('-infinity', 'infinity') ORDER BY users DESC, nationality;
CREATE VIEW pipeline.kpi_people_per_company AS
SELECT * FROM pipeline.people_per_company('-infinity', 'infinity') ORDER BY users DESC, company;
CREATE VIEW pipeline.kpi_age_pyramid AS
SELECT * FROM pipeline.age_pyramid('-infinity', 'infinity') ORDER BY age_from DESC;
CREATE VIEW pipeline.kpi_latency AS
SELECT * FROM pipeline.latency('-infinity', 'infinity');
CREATE VIEW pipeline.kpi_latency_per_minute AS
SELECT * FROM pipeline.latency_per('minute', '-infinity', 'infinity') ORDER BY at DESC;
CREATE VIEW pipeline.kpi_latency_per_hour AS
SELECT * FROM pipeline.latency_per('hour', '-infinity', 'infinity') ORDER BY at DESC;
CREATE VIEW pipeline.kpi_share_rejected AS
SELECT * FROM pipeline.share_rejected('-infinity', 'infinity');
CREATE VIEW pipeline.kpi_rejected_per_reason AS
SELECT * FROM pipeline.rejected_per_reason('-infinity', 'infinity') ORDER BY rejected DESC, stage, reason;
COMMENT ON VIEW pipeline.kpi_people_per_minute IS 'How many people each minute brought, since the first';
COMMENT ON VIEW pipeline.kpi_people_per_hour IS 'How many people each hour brought, since the first';
COMMENT ON VIEW pipeline.kpi_people_per_day IS 'How many people each day brought, since the first';
COMMENT ON VIEW pipeline.kpi_people_per_nationality IS 'People by nationality, most first';
COMMENT ON VIEW pipeline.kpi_people_per_company IS 'People by company, most first';
COMMENT ON VIEW pipeline.kpi_age_pyramid IS 'People by age today, in bands of five years, and gender';
COMMENT ON VIEW pipeline.kpi_latency IS 'Seconds from fetched to stored, of everybody';
COMMENT ON VIEW pipeline.kpi_latency_per_minute IS 'Seconds from fetched to stored, by minute';
COMMENT ON VIEW pipeline.kpi_latency_per_hour IS 'Seconds from fetched to stored, by hour';
COMMENT ON VIEW pipeline.kpi_share_rejected IS 'How many records were received and refused, ever';
COMMENT ON VIEW pipeline.kpi_rejected_per_reason IS 'Refused records by who refused them and why';
