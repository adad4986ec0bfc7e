"""The suite of config providers."""

import logging
from collections.abc import Mapping

import pytest

from millstream_api import ConfigError, Provided
from millstream_conformance.leftovers import nothing_left_behind
from millstream_conformance.settings import SettingsConformance
from millstream_conformance.suite import does_not_apply

ABSENT = "no.such.key.is.here"


class ConfigProviderConformance(SettingsConformance):
    """Certifies a config provider.

    provider:    `module:Class`.
    config:      settings it runs with, without prefix.
    path:        what stands between the colons.
    unreadable:  a path that cannot be read; None: there is none.

    The author overrides `known`: what can be found under `path`.
    """

    hook = "register_config_providers"
    provider: str
    config: Mapping[str, str] = {}
    path: str = ""
    unreadable: str | None = None

    def known(self) -> Mapping[str, str]:
        """Keys and texts under `path`, at least one; texts of four characters and more are looked for in logs.

        Raises NotImplementedError unless it is overridden.
        """
        raise NotImplementedError(f"{type(self).__name__} must override known: what the provider finds under `path`")

    def got(self, *keys: str) -> Provided:
        """What a new provider gives for keys under `path`; it is closed then.

        Raises what its `get` raises; fails the test for an answer that is no Provided.
        """
        made = self.made()
        try:
            found = made.get(self.path, frozenset(keys))
        finally:
            made.close()
        assert isinstance(found, Provided)
        return found

    def test_what_is_there_is_given_as_text(self) -> None:
        known = dict(self.known())
        assert known, "`known` names nothing"
        assert dict(self.got(*known).data) == known

    def test_one_key_gives_that_one_alone(self) -> None:
        name, text = next(iter(self.known().items()))
        assert dict(self.got(name).data) == {name: text}

    def test_a_key_that_is_not_there_is_left_out(self) -> None:
        """Then the worker names it, with the setting that asks for it."""
        name, text = next(iter(self.known().items()))
        assert dict(self.got(name, ABSENT).data) == {name: text}
        assert dict(self.got(ABSENT).data) == {}

    def test_a_place_that_cannot_be_read_is_a_config_error_that_names_it(self) -> None:
        if self.unreadable is None:
            does_not_apply("the suite names no place that cannot be read: set `unreadable`")
        made = self.made()
        try:
            with pytest.raises(ConfigError) as caught:
                made.get(self.unreadable, frozenset(self.known()))
        finally:
            made.close()
        assert self.unreadable in str(caught.value)

    def test_it_answers_the_same_again(self) -> None:
        made = self.made()
        try:
            keys = frozenset(self.known())
            assert dict(made.get(self.path, keys).data) == dict(made.get(self.path, keys).data)
        finally:
            made.close()

    def test_how_long_it_holds_is_a_length_of_time(self) -> None:
        ttl = self.got(*self.known()).ttl_ms
        assert ttl is None or (isinstance(ttl, int) and ttl >= 0)

    def test_what_it_finds_is_in_no_log_or_output(
        self, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        known = self.known()
        with caplog.at_level(logging.DEBUG):
            found = self.got(*known, ABSENT)
        printed = capfd.readouterr()
        shown = caplog.text + printed.out + printed.err + repr(found)
        leaked = sorted(name for name, text in known.items() if len(text.strip()) >= 4 and text.strip() in shown)
        assert not leaked, f"the texts of {leaked} are shown"

    def test_nothing_is_left_behind_after_close(self) -> None:
        self.got(*self.known())
        with nothing_left_behind():
            self.got(*self.known())
