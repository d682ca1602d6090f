"""Checks who could read, change or delete production's data, and whether it could be restored.

Every check names the control that it implements, and declares the requests that it needs with their permissions. It
decides from the answers alone. Only ``collect`` sends requests to AWS, with a client that refuses to write.
"""
