"""What holds of the settings of every plugin, and how the suites ask."""

import logging
import random
from collections.abc import Mapping
from typing import Any

import pytest

from millstream_api import ConfigError
from millstream_api.config.soundness import faults, sample
from millstream_conformance.calling import Timed, called
from millstream_conformance.kinds import KINDS
from millstream_conformance.suite import Conformance, does_not_apply

#: a text that is no value of these types
NOT_A_VALUE = {"INT": "x", "LONG": "x", "SHORT": "x", "DOUBLE": "x", "BOOLEAN": "x"}
CANARY = "canary-9f2c-secret"
#: how many settings are made up for the property
SEEDS = 20


class SettingsConformance(Conformance):
    """The tests that every suite has of its plugin's `config_class`.

    config:  settings it runs with, text by dotted name; none by default.
    """

    @classmethod
    def settings(cls) -> Mapping[str, str]:
        """Settings it runs with: `config`. Override it where they depend on a fixture; a test may ask again."""
        return getattr(cls, "config", {})

    def made(self) -> Any:
        """The plugin, of these settings. Raises ConfigError for settings that will not do."""
        cls = self.plugin_class()
        return cls(cls.config_class.parse(self.settings()))

    def _timed(self) -> Any:
        """The plugin as `made` gives it, each method of which has to return in time."""
        word = KINDS[self.hook].word
        with called(f"making the {word}"):
            made = self.made()
        return Timed(made, word)

    def test_the_settings_given_are_accepted(self) -> None:
        self.plugin_class().config_class.parse(self.settings())

    def test_all_wrong_settings_are_reported_at_once(self) -> None:
        config_class = self.plugin_class().config_class
        wrong = {each.name: NOT_A_VALUE[each.type] for each in config_class.definitions() if each.type in NOT_A_VALUE}
        missing = {each.name for each in config_class.definitions() if each.required and each.name not in wrong}
        if not wrong and not missing:
            does_not_apply("the plugin has no setting that a text could be wrong for")
        with pytest.raises(ConfigError) as caught:
            config_class.parse(wrong)
        assert set(caught.value.problems) >= set(wrong) | missing

    @pytest.mark.parametrize("seed", range(SEEDS))
    def test_parsing_and_validation_agree_whatever_is_given(self, seed: int) -> None:
        config_class = self.plugin_class().config_class
        given = sample(config_class, random.Random(seed))
        assert list(faults(config_class, given)) == []

    def test_every_setting_is_documented(self) -> None:
        bare = [each.name for each in self.plugin_class().config_class.definitions() if not each.documentation.strip()]
        assert not bare, f"settings without documentation: {bare}"

    def test_secrets_are_never_shown(self, caplog: pytest.LogCaptureFixture) -> None:
        config_class = self.plugin_class().config_class
        secrets = [each.name for each in config_class.definitions() if each.type == "PASSWORD"]
        if not secrets:
            does_not_apply("the plugin has no secret setting")
        with caplog.at_level(logging.DEBUG):
            config = config_class.parse({**self.settings(), **dict.fromkeys(secrets, CANARY)})
        assert CANARY not in repr(config)
        assert CANARY not in str(vars(config) if hasattr(config, "__dict__") else "")
        assert CANARY not in caplog.text
