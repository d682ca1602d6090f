"""The changes that make one check fail and no other, from the tests of each module of checks."""

from __future__ import annotations

from tests.integrity.checks import test_between, test_cognito, test_dynamodb, test_postgres
from tests.integrity.doctored import Breaks

BREAKS: Breaks = test_postgres.BREAKS | test_dynamodb.BREAKS | test_cognito.BREAKS | test_between.BREAKS
