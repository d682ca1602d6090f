"""The message store: one DynamoDB table."""
