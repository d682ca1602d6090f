-- The tables of a new Cruddur database, for PostgreSQL 13 and later.
--
-- This file is loaded in one transaction: it is loaded completely or not at all.
-- The file drops and creates the tables. No DROP has CASCADE. So if a view or a foreign key that is not in
-- this file depends on a table, the load fails, and the view or foreign key is not dropped.

DROP TABLE IF EXISTS public.activities;
DROP TABLE IF EXISTS public.users;
-- No migration is applied to the new tables, so the record of applied migrations is dropped too.
DROP TABLE IF EXISTS public.schema_information;

CREATE TABLE public.users (
    -- PostgreSQL has gen_random_uuid() since version 13. Some servers do not have the extension uuid-ossp.
    uuid uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    display_name text NOT NULL,
    -- Not UNIQUE, because existing databases of the application contain duplicate handles.
    handle text NOT NULL,
    email text NOT NULL,
    -- MOCK until `cruddur db update-cognito-user-ids` writes the id from Cognito.
    cognito_user_id text NOT NULL,
    created_at timestamp NOT NULL DEFAULT current_timestamp
);

CREATE TABLE public.activities (
    uuid uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    -- This file declares no foreign keys, because the application's data model has none.
    user_uuid uuid NOT NULL,
    message text NOT NULL,
    replies_count integer DEFAULT 0,
    reposts_count integer DEFAULT 0,
    likes_count integer DEFAULT 0,
    -- NULL if the activity is not a reply.
    reply_to_activity_uuid uuid,
    expires_at timestamp,
    created_at timestamp NOT NULL DEFAULT current_timestamp
);

CREATE TABLE public.schema_information (
    -- Always 1, because the table has one row.
    id integer PRIMARY KEY,
    -- The number of the newest applied migration, or 0. The type is text, as in existing databases.
    last_successful_run text
);

INSERT INTO public.schema_information (id, last_successful_run)
VALUES (1, '0');
