"""The checks of the trail and of AWS Config: each is found alone, and tells the command that mends it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.audit.account import Account, client, record, select
from tests.audit.alone import Breaks, each_change, found_alone


def _stopped_trail(_: Account) -> None:
    client("cloudtrail").stop_logging(Name="all")


def _one_region(_: Account) -> None:
    client("cloudtrail").update_trail(Name="all", IsMultiRegionTrail=False)


def _stopped_recorder(_: Account) -> None:
    client("config").stop_configuration_recorder(ConfigurationRecorderName="default")


def _rule_gone(_: Account) -> None:
    client("config").delete_config_rule(ConfigRuleName="dynamodb_pitr_enabled")


BREAKS: Breaks = {
    "trail-logging": [_stopped_trail],
    "trail-multi-region": [_one_region, lambda _: select(with_rows=True, management=False)],
    "trail-data-events": [lambda _: select(with_rows=False, management=True)],
    "config-recorder": [_stopped_recorder, lambda _: record(all_supported=False)],
    "config-rules": [_rule_gone],
}


@pytest.mark.parametrize(("name", "change"), each_change(BREAKS))
def test_each_is_found_alone_with_a_command_that_mends_it(
    account: Account, name: str, change: Callable[[Account], None]
) -> None:
    found_alone(account, name, change)
