"""Looks after Cruddur's stores: PostgreSQL, one DynamoDB table and a Cognito user pool."""
