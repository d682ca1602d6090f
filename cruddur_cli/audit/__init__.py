"""Who could read, change or destroy production, and whether it could be brought back.

Every check names the control that it implements, declares the requests it needs with the permission of each, and
decides from the answers alone. Only ``collect`` talks to AWS, and only with a client that refuses to write.
"""
