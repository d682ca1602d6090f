-- Four people and four activities. You can load this file again: a second run changes nothing.
--
-- The UUIDs are fixed, because they are part of keys in DynamoDB (GRP#<user uuid>). With new UUIDs, people
-- would lose their conversations.

-- An existing handle is not changed, because its UUID, e-mail address and Cognito id may be real.
-- ON CONFLICT is for seeded people who have another handle now, and for two runs at the same time.
INSERT INTO public.users (uuid, display_name, handle, email, cognito_user_id)
SELECT seed.uuid, seed.display_name, seed.handle, seed.email, 'MOCK'
FROM (
    VALUES
        ('8b1d22bf-cedf-4fbb-b137-63dc54b4770d'::uuid, 'Andrew Brown', 'andrewbrown', 'andrewbrown@example.com'),
        ('ae39bc99-6163-4521-bdb4-fd380e2751c3'::uuid, 'Andrew Bayko', 'bayko', 'bayko@example.com'),
        ('cfaad814-98c9-4b25-9fbb-20b167c79f7b'::uuid, 'Alt Brown', 'altbrown', 'altbrown@example.com'),
        ('af3efa75-db06-450e-8fd9-3f466fc0114b'::uuid, 'Londo Mollari', 'londo', 'londo@example.com')
) AS seed (uuid, display_name, handle, email)
WHERE NOT EXISTS (
    SELECT 1 FROM public.users AS existing WHERE existing.handle = seed.handle
)
ON CONFLICT (uuid) DO NOTHING;

-- The author is found by handle, not by UUID, because the person may have existed before this file was loaded.
-- If a handle exists twice, the oldest row is the author, so that every run finds the same author.
-- The times are in the past, so that new activities are newer than these.
INSERT INTO public.activities
    (uuid, user_uuid, message, replies_count, reply_to_activity_uuid, created_at, expires_at)
SELECT
    seed.uuid, author.uuid, seed.message, seed.replies_count, seed.reply_to_activity_uuid,
    current_timestamp - seed.age, current_timestamp + interval '30 days'
FROM (
    VALUES
        (
            '25155759-de8a-481b-8715-f923346cc175'::uuid, 'andrewbrown',
            'Welcome to Cruddur! Pull up a chair and say hello, the kettle is on. ☕',
            1, NULL::uuid, interval '3 days'
        ),
        (
            'ca3df620-4123-4f99-974f-d47008587b18'::uuid, 'bayko',
            'Hello! I brought éclairs. There were six when I left the bakery, there are four now.',
            0, '25155759-de8a-481b-8715-f923346cc175'::uuid, interval '2 days 22 hours'
        ),
        (
            '08f6b1d0-f020-41e9-b424-83f72efddcb3'::uuid, 'bayko',
            'A small observatory, a clear sky, and a queue of forty people for the water tower. Best evening of the year.',
            0, NULL::uuid, interval '1 day'
        ),
        (
            '7f12e529-3605-46e6-b34f-cb1a519ba6c7'::uuid, 'londo',
            'I was promised four éclairs. I have searched the whole house and found a plate.',
            0, NULL::uuid, interval '5 hours'
        )
) AS seed (uuid, handle, message, replies_count, reply_to_activity_uuid, age)
CROSS JOIN LATERAL (
    SELECT person.uuid
    FROM public.users AS person
    WHERE person.handle = seed.handle
    ORDER BY person.created_at, person.uuid
    LIMIT 1
) AS author
ON CONFLICT (uuid) DO NOTHING;
