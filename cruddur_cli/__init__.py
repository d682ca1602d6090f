"""The library ``cruddur_cli``: opens and manages PostgreSQL, one DynamoDB table and a Cognito user pool of Cruddur.

The names in ``__all__`` are public; docs/library.md shows how to use them. Everything else may change in any version.
A store is opened with ``with``. A noun is a module; its functions are verbs and take the opened store first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .lazy_names import lazily

__version__ = "0.2.0"

if TYPE_CHECKING:
    from .aws import user_pool
    from .aws.user_pool import Cognito, Identity
    from .aws.user_pool import opened as open_user_pool
    from .dynamodb import backups, conversations, scanning, stats, tables
    from .dynamodb.backups import Backup
    from .dynamodb.client import DynamoDB
    from .dynamodb.client import opened as open_dynamodb
    from .dynamodb.conversations.send import Sent
    from .dynamodb.schema import Message, MessageGroup, Person
    from .dynamodb.tables import Table, TableName
    from .errors import (
        BadInput,
        CannotConnect,
        CruddurError,
        Incomplete,
        NotConfigured,
        NotFound,
        Protected,
        Refused,
    )
    from .postgres import database, migrations, sessions, sql_files, users
    from .postgres.connection import Server
    from .postgres.connection import opened as open_postgres
    from .postgres.connection import opened_maintenance as open_maintenance
    from .postgres.sessions import Session
    from .postgres.users import Profile, User
else:
    __getattr__ = lazily(
        __name__,
        {
            # Stores.
            "open_dynamodb": "dynamodb.client:opened",
            "open_postgres": "postgres.connection:opened",
            "open_maintenance": "postgres.connection:opened_maintenance",
            "open_user_pool": "aws.user_pool:opened",
            "DynamoDB": "dynamodb.client:DynamoDB",
            "Server": "postgres.connection:Server",
            "Cognito": "aws.user_pool:Cognito",
            # Nouns.
            "backups": "dynamodb.backups",
            "conversations": "dynamodb.conversations",
            "scanning": "dynamodb.scanning",
            "stats": "dynamodb.stats",
            "tables": "dynamodb.tables",
            "database": "postgres.database",
            "migrations": "postgres.migrations",
            "sessions": "postgres.sessions",
            "sql_files": "postgres.sql_files",
            "users": "postgres.users",
            "user_pool": "aws.user_pool",
            # Records.
            "Backup": "dynamodb.backups:Backup",
            "Identity": "aws.user_pool:Identity",
            "Message": "dynamodb.schema:Message",
            "MessageGroup": "dynamodb.schema:MessageGroup",
            "Person": "dynamodb.schema:Person",
            "Profile": "postgres.users:Profile",
            "Sent": "dynamodb.conversations.send:Sent",
            "Session": "postgres.sessions:Session",
            "Table": "dynamodb.tables:Table",
            "TableName": "dynamodb.tables:TableName",
            "User": "postgres.users:User",
            # Errors.
            "BadInput": "errors:BadInput",
            "CannotConnect": "errors:CannotConnect",
            "CruddurError": "errors:CruddurError",
            "Incomplete": "errors:Incomplete",
            "NotConfigured": "errors:NotConfigured",
            "NotFound": "errors:NotFound",
            "Protected": "errors:Protected",
            "Refused": "errors:Refused",
        },
    )

__all__ = [
    "Backup",
    "BadInput",
    "CannotConnect",
    "Cognito",
    "CruddurError",
    "DynamoDB",
    "Identity",
    "Incomplete",
    "Message",
    "MessageGroup",
    "NotConfigured",
    "NotFound",
    "Person",
    "Profile",
    "Protected",
    "Refused",
    "Sent",
    "Server",
    "Session",
    "Table",
    "TableName",
    "User",
    "backups",
    "conversations",
    "database",
    "migrations",
    "open_dynamodb",
    "open_maintenance",
    "open_postgres",
    "open_user_pool",
    "scanning",
    "sessions",
    "sql_files",
    "stats",
    "tables",
    "user_pool",
    "users",
]
