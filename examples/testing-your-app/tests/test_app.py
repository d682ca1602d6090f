"""Tests of the application against a real PostgreSQL and a DynamoDB, which cruddur's fixtures start."""

import psycopg
import pytest
from app import app

SEEDED = "5ae290ed-55d1-47a0-bc6d-fe2bc2700399"


@pytest.fixture
def http():
    return app.test_client()


def test_the_seeded_people_are_listed(http, cruddur_seeded):
    assert {"andrewbrown", "bayko"} <= set(http.get("/api/users").json)


def test_a_person_can_be_deleted(http, cruddur_seeded):
    assert http.delete("/api/users/bayko").json == {"deleted": 1}
    assert "bayko" not in http.get("/api/users").json


def test_the_next_test_has_everybody_again(http, cruddur_seeded):
    assert "bayko" in http.get("/api/users").json


def test_a_message_is_added_to_the_seeded_conversation(http, cruddur_seeded):
    before = http.get(f"/api/messages/{SEEDED}").json
    assert http.post(f"/api/messages/{SEEDED}", json={"message": "On my way"}).status_code == 201
    assert http.get(f"/api/messages/{SEEDED}").json == [*before, "On my way"]


def test_a_conversation_begins_empty(http, cruddur_table):
    assert http.get("/api/messages/new").json == []
    http.post("/api/messages/new", json={"message": "Hello?"})
    assert http.get("/api/messages/new").json == ["Hello?"]


@pytest.mark.parametrize("body", [None, {}, {"message": " "}])
def test_a_message_needs_a_text(http, cruddur_table, body):
    assert http.post("/api/messages/new", json=body).status_code == 422
    assert http.get("/api/messages/new").json == []


def test_a_handle_is_taken_once(cruddur_database):
    add = "INSERT INTO users (display_name, email, handle, cognito_user_id) VALUES ('A', 'a@example.com', 'a', 'MOCK')"
    with psycopg.connect(cruddur_database) as conn:
        conn.execute(add)
        assert conn.execute("SELECT count(*) FROM users").fetchone() == (1,)
