-- name: contents_tables
-- Every table of the people's schemas, with the columns of its primary key in order, and whether each one is text.
SELECT namespace.nspname, class.relname,
       COALESCE((
           SELECT json_agg(json_build_array(attribute.attname, CASE WHEN attribute.attcollation <> 0 THEN 'text' ELSE '' END)
                           ORDER BY array_position(pkey.indkey::smallint[], attribute.attnum))
           FROM pg_index AS pkey
           JOIN pg_attribute AS attribute ON attribute.attrelid = pkey.indrelid AND attribute.attnum = ANY (pkey.indkey)
           WHERE pkey.indrelid = class.oid AND pkey.indisprimary
       ), '[]') AS keys
FROM pg_class AS class
JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
WHERE class.relkind = 'r' AND namespace.nspname <> 'information_schema' AND namespace.nspname !~ '^pg_'
ORDER BY namespace.nspname COLLATE "C", class.relname COLLATE "C";

-- name: contents_sequences
-- Where each sequence stands.
SELECT schemaname || '.' || sequencename, COALESCE(last_value, 0)
FROM pg_sequences
ORDER BY (schemaname || '.' || sequencename) COLLATE "C";

-- name: contents_rights
-- Whose each relation and schema is, and who else may do what with it. Rights that a newer version added are left out.
WITH things AS (
    SELECT class.relkind::text || ' ' || namespace.nspname || '.' || class.relname AS thing, class.relowner AS owner, class.relacl AS acl
    FROM pg_class AS class
    JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
    WHERE class.relkind IN ('r', 'v', 'm', 'S', 'p') AND namespace.nspname <> 'information_schema' AND namespace.nspname !~ '^pg_'
    UNION ALL
    SELECT 'n ' || nspname, nspowner, nspacl
    FROM pg_namespace
    WHERE nspname <> 'information_schema' AND nspname !~ '^pg_'
    UNION ALL
    SELECT 'default ' || COALESCE(defaclnamespace::regnamespace::text, '') || ' ' || defaclobjtype::text, defaclrole, defaclacl
    FROM pg_default_acl
)
SELECT things.thing, pg_get_userbyid(things.owner),
       COALESCE((
           SELECT string_agg(COALESCE(pg_get_userbyid(NULLIF(given.grantee, 0)), 'public') || '=' || given.privilege_type, ','
                             ORDER BY given.grantee = 0, pg_get_userbyid(given.grantee) COLLATE "C", given.privilege_type COLLATE "C")
           FROM aclexplode(things.acl) AS given
           WHERE given.grantee <> things.owner AND given.privilege_type <> 'MAINTAIN'
       ), '-')
FROM things
ORDER BY things.thing COLLATE "C";
