"""The stream processor as a Lambda function: its handler, its archive, its policy and its template."""
