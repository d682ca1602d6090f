"""The message store: one DynamoDB table with the messages and the message groups."""
