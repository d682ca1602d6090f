-- The tables of a fresh Cruddur, for PostgreSQL 13 and later.
--
-- Plain SQL, loaded in one transaction: either all of it is there afterwards, or nothing has changed.
-- It replaces what is there. Each DROP goes without CASCADE, so that a view or a foreign key that
-- somebody added stops the load instead of vanishing with the table.

DROP TABLE IF EXISTS public.activities;
DROP TABLE IF EXISTS public.users;
-- Dropped as well, because a new schema has no migration applied to it.
DROP TABLE IF EXISTS public.schema_information;

CREATE TABLE public.users (
    -- gen_random_uuid() is built in since PostgreSQL 13. The extension uuid-ossp is not installed everywhere.
    uuid uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    display_name text NOT NULL,
    -- Not UNIQUE: the application never promised it, and its existing databases hold duplicates.
    handle text NOT NULL,
    email text NOT NULL,
    -- MOCK until the real id is known from Cognito.
    cognito_user_id text NOT NULL,
    created_at timestamp NOT NULL DEFAULT current_timestamp
);

CREATE TABLE public.activities (
    uuid uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    -- No foreign keys, here and below: the application's data model declares none.
    user_uuid uuid NOT NULL,
    message text NOT NULL,
    replies_count integer DEFAULT 0,
    reposts_count integer DEFAULT 0,
    likes_count integer DEFAULT 0,
    -- NULL where the activity is not a reply.
    reply_to_activity_uuid uuid,
    expires_at timestamp,
    created_at timestamp NOT NULL DEFAULT current_timestamp
);

CREATE TABLE public.schema_information (
    -- Always 1: the table holds one row.
    id integer PRIMARY KEY,
    -- The number of the newest migration applied, 0 for none. Text, as in existing databases.
    last_successful_run text
);

INSERT INTO public.schema_information (id, last_successful_run)
VALUES (1, '0');
