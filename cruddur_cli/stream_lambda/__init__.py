"""The stream processor as a Lambda function: its handler, its archive, and what it may do."""
