"""The application's own files, in the style of those who wrote it: its SQL, its migrations, its DynamoDB client."""

from __future__ import annotations

EXTENSION = 'CREATE EXTENSION IF NOT EXISTS "uuid-ossp";\n'

SCHEMA = """
DROP TABLE IF EXISTS public.users;
DROP TABLE IF EXISTS public.activities;

CREATE TABLE IF NOT EXISTS public.schema_information (
  id integer UNIQUE,
  last_successful_run text
);
INSERT INTO public.schema_information (id, last_successful_run)
VALUES(1, '0')
ON CONFLICT (id) DO NOTHING;

CREATE TABLE public.users (
  uuid UUID DEFAULT uuid_generate_v4() PRIMARY KEY,
  display_name text NOT NULL,
  handle text NOT NULL,
  email text NOT NULL,
  cognito_user_id text NOT NULL,
  created_at TIMESTAMP default current_timestamp NOT NULL
);

CREATE TABLE public.activities (
  uuid UUID DEFAULT uuid_generate_v4() PRIMARY KEY,
  user_uuid UUID NOT NULL,
  message text NOT NULL,
  replies_count integer DEFAULT 0,
  reposts_count integer DEFAULT 0,
  likes_count integer DEFAULT 0,
  reply_to_activity_uuid integer,
  expires_at TIMESTAMP,
  created_at TIMESTAMP default current_timestamp NOT NULL
);
"""


def seed(*handles: str, column: str = "cognito_user_id") -> str:
    """People with these handles, and an activity of the first one."""
    people = ",\n".join(
        f"  ('{handle.title()} Example', '{handle}@example.com', '{handle}', 'MOCK')" for handle in handles
    )
    return f"""-- this file was manually created
INSERT INTO public.users (display_name, email, handle, {column})
VALUES
{people};

INSERT INTO public.activities (user_uuid, message, expires_at)
VALUES
  (
    (SELECT uuid from public.users WHERE users.handle = '{handles[0]}' LIMIT 1),
    'This was imported as seed data!',
    current_timestamp + interval '10 day'
  )
"""


def migration(
    name: str,
    up: str,
    down: str,
    *,
    imports: str = "from lib.db import db",
    runner: str = "db.query_commit",
    values: str = ",{\n    }",
    last: str = "migration = {name}",
) -> str:
    """A migration as the application's generator writes it, with what people have changed in theirs."""
    return f'''{imports}

class {name}:
  def migrate_sql():
    data = """
    {up}
    """
    return data
  def rollback_sql():
    data = """
    {down}
    """
    return data

  def migrate():
    {runner}({name}.migrate_sql(){values})

  def rollback():
    {runner}({name}.rollback_sql(){values})

{last.format(name=name)}
'''


BIO = "16811528612904313_add_bio_column.py"
REPLIES = "16841528612904313_reply_to_activity_uuid_to_string.py"
BIO_UP, BIO_DOWN = "ALTER TABLE public.users ADD COLUMN bio text;", "ALTER TABLE public.users DROP COLUMN bio;"
REPLIES_UP = """ALTER TABLE activities DROP COLUMN reply_to_activity_uuid;
    ALTER TABLE activities ADD COLUMN reply_to_activity_uuid uuid;"""
REPLIES_DOWN = """ALTER TABLE activities DROP COLUMN reply_to_activity_uuid;
    ALTER TABLE activities ADD COLUMN reply_to_activity_uuid integer;"""

# What the application runs, with the values of a signed-in person.
QUERIES = {
    "users/show.sql": """SELECT
  (SELECT COALESCE(row_to_json(object_row),'{}'::json) FROM (
    SELECT
      users.uuid,
      users.cognito_user_id as cognito_user_uuid,
      users.handle,
      users.display_name,
      users.bio,
      (SELECT count(true) FROM public.activities WHERE activities.user_uuid = users.uuid) as cruds_count
  ) object_row) as profile,
  (SELECT COALESCE(array_to_json(array_agg(row_to_json(array_row))),'[]'::json) FROM (
    SELECT
      activities.uuid,
      users.display_name,
      users.handle,
      activities.message,
      activities.replies_count,
      activities.created_at,
      activities.expires_at
    FROM public.activities
    WHERE activities.user_uuid = users.uuid
    ORDER BY activities.created_at DESC
    LIMIT 40
  ) array_row) as activities
FROM public.users
WHERE users.handle = %(handle)s
""",
    "users/update.sql": """UPDATE public.users
SET
  bio = %(bio)s,
  display_name = %(display_name)s
WHERE users.cognito_user_id = %(cognito_user_id)s
RETURNING handle;
""",
    "users/create_message_users.sql": """SELECT users.uuid, users.display_name, users.handle,
  CASE users.cognito_user_id = %(cognito_user_id)s WHEN TRUE THEN 'sender' ELSE 'recv' END as kind
FROM public.users
WHERE users.cognito_user_id = %(cognito_user_id)s OR users.handle = %(handle)s
""",
    "activities/home.sql": """SELECT activities.uuid, users.display_name, users.handle, activities.message,
  activities.replies_count, activities.reposts_count, activities.likes_count, activities.reply_to_activity_uuid,
  activities.expires_at, activities.created_at
FROM public.activities
LEFT JOIN public.users ON users.uuid = activities.user_uuid
ORDER BY activities.created_at DESC
""",
    "activities/create.sql": """INSERT INTO public.activities (user_uuid, message, expires_at)
VALUES (
  (SELECT uuid FROM public.users WHERE users.cognito_user_id = %(cognito_user_id)s LIMIT 1),
  %(message)s,
  %(expires_at)s
) RETURNING uuid;
""",
    "activities/reply.sql": """INSERT INTO public.activities (user_uuid, message, reply_to_activity_uuid)
VALUES (
  (SELECT uuid FROM public.users WHERE users.cognito_user_id = %(cognito_user_id)s LIMIT 1),
  %(message)s,
  %(reply_to_activity_uuid)s
) RETURNING uuid;
""",
    "activities/show.sql": """SELECT
  (SELECT COALESCE(row_to_json(object_row),'{}'::json) FROM (
    SELECT activities.uuid, users.display_name, users.handle, users.bio, activities.message
  ) object_row) as activity,
  (SELECT COALESCE(array_to_json(array_agg(row_to_json(array_row))),'[]'::json) FROM (
    SELECT replies.uuid, reply_users.handle, replies.message, replies.created_at
    FROM public.activities replies
    LEFT JOIN public.users reply_users ON reply_users.uuid = replies.user_uuid
    WHERE replies.reply_to_activity_uuid = activities.uuid
    ORDER BY replies.created_at ASC
  ) array_row) as replies
FROM public.activities
LEFT JOIN public.users ON users.uuid = activities.user_uuid
WHERE activities.uuid = %(uuid)s
""",
}

DDB = """import os
from datetime import datetime, timezone

import boto3


def now():
    return datetime.now(timezone.utc).astimezone()


class Ddb:
    @staticmethod
    def client():
        return boto3.client("dynamodb", endpoint_url=os.getenv("AWS_ENDPOINT_URL"))

    @staticmethod
    def list_message_groups(client, my_user_uuid):
        response = client.query(
            TableName=os.getenv("DDB_MESSAGE_TABLE"),
            KeyConditionExpression="pk = :pk AND begins_with(sk,:year)",
            ScanIndexForward=False,
            Limit=20,
            ExpressionAttributeValues={
                ":year": {"S": str(now().year)},
                ":pk": {"S": f"GRP#{my_user_uuid}"},
            },
        )
        return [
            {
                "uuid": item["message_group_uuid"]["S"],
                "display_name": item["user_display_name"]["S"],
                "handle": item["user_handle"]["S"],
                "message": item["message"]["S"],
                "created_at": item["sk"]["S"],
            }
            for item in response["Items"]
        ]

    @staticmethod
    def list_messages(client, message_group_uuid):
        response = client.query(
            TableName=os.getenv("DDB_MESSAGE_TABLE"),
            KeyConditionExpression="pk = :pk AND begins_with(sk,:year)",
            ScanIndexForward=False,
            Limit=20,
            ExpressionAttributeValues={
                ":year": {"S": str(now().year)},
                ":pk": {"S": f"MSG#{message_group_uuid}"},
            },
        )
        items = response["Items"]
        items.reverse()
        return [
            {
                "uuid": item["message_uuid"]["S"],
                "handle": item["user_handle"]["S"],
                "message": item["message"]["S"],
                "created_at": item["sk"]["S"],
            }
            for item in items
        ]
"""
