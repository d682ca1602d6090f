"""Ask the running application for the seeded people and messages; fail if one of them is missing."""

import json
import os
import sys
import time
from urllib.error import URLError
from urllib.request import urlopen

URL = os.environ.get("APPLICATION_URL", "http://127.0.0.1:4567")
CONVERSATION = "5ae290ed-55d1-47a0-bc6d-fe2bc2700399"
WAIT_S = float(os.environ.get("WAIT_S", "30"))


def get(path):
    """The application's answer; waits while it starts."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            with urlopen(URL + path, timeout=WAIT_S) as answer:
                return json.load(answer)
        except URLError as error:
            if hasattr(error, "code") or time.monotonic() > deadline:
                sys.exit(f"{URL}{path}: {error}")
            time.sleep(0.2)


people = get("/api/users")
messages = get(f"/api/messages/{CONVERSATION}")
print(f"{len(people)} users, {len(messages)} messages")
sys.exit(0 if "andrewbrown" in people and messages else "The stores are not seeded.")
