import logging

import pytest

from millstream.builtin.providers import DirectoryConfigProvider, EnvVarConfigProvider, FileConfigProvider
from millstream.errors import ConfigError
from millstream.settings.substitution import resolve


def make(provider, **settings):
    return provider(provider.config_class.parse({k.replace("_", "."): v for k, v in settings.items()}))


@pytest.fixture
def secrets(tmp_path):
    file = tmp_path / "allowed" / "secrets.properties"
    file.parent.mkdir()
    file.write_bytes("user=ada\npassword = höchst geheim  \n".encode())
    return file


def test_a_file_gives_its_properties_untrimmed_in_utf_8(secrets):
    provider = make(FileConfigProvider)
    found = provider.get(str(secrets), frozenset({"user", "password", "missing"}))
    assert dict(found.data) == {"user": "ada", "password": "höchst geheim  "}
    assert found.ttl_ms is None
    settings = {"url": f"jdbc://${{file:{secrets}:user}}@host"}
    assert resolve(settings, {"file": provider}).settings == {"url": "jdbc://ada@host"}


def test_without_a_path_there_is_nothing(secrets):
    assert not make(FileConfigProvider).get("", frozenset({"user"})).data
    assert not make(DirectoryConfigProvider).get("", frozenset({"user"})).data


def test_a_file_that_cannot_be_read_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ConfigError) as caught:
        make(FileConfigProvider).get(str(tmp_path / "gone"), frozenset({"k"}))
    assert str(caught.value) == f"Could not read properties from file {tmp_path / 'gone'}: No such file or directory"


def test_a_secret_that_is_no_utf_8_is_refused_and_not_told(tmp_path):
    file = tmp_path / "secrets"
    file.write_bytes(b"password=h\xf6chst")
    with pytest.raises(ConfigError) as caught:
        make(FileConfigProvider).get(str(file), frozenset({"password"}))
    said = f"Could not read properties from file {file}: it is not UTF-8 at byte 10; store it as UTF-8"
    assert (str(caught.value), caught.value.__cause__, caught.value.__suppress_context__) == (said, None, True)
    with pytest.raises(ConfigError) as caught:
        make(DirectoryConfigProvider).get(str(tmp_path), frozenset({"secrets"}))
    said = f"Could not read file {file} for property secrets: it is not UTF-8 at byte 10; store it as UTF-8"
    assert (str(caught.value), caught.value.__cause__, caught.value.__suppress_context__) == (said, None, True)


@pytest.mark.parametrize("provider", [FileConfigProvider, DirectoryConfigProvider])
def test_what_is_outside_of_the_allowed_paths_is_not_read(provider, secrets, caplog):
    made = make(provider, allowed_paths=f"{secrets.parent}/sub/..,/etc")
    for path in (f"{secrets.parent}/../secrets.properties", str(secrets.parent) + "x", "relative"):
        with caplog.at_level(logging.WARNING):
            assert not made.get(path, frozenset({"user"})).data
        assert "is not in allowed.paths" in caplog.text
        caplog.clear()


def test_what_is_at_or_below_an_allowed_path_is_read(secrets):
    for allowed in (secrets.parent, secrets, f"/,{secrets}"):
        provider = make(FileConfigProvider, allowed_paths=str(allowed))
        path = f"{secrets.parent}/x/../secrets.properties"
        assert provider.get(path, frozenset({"user"})).data == {"user": "ada"}


@pytest.mark.parametrize(
    ("allowed", "sentence"),
    [("relative/path", "Path relative/path is not absolute"), ("/not/there", "Path /not/there does not exist")],
)
def test_allowed_paths_are_absolute_and_exist(allowed, sentence):
    with pytest.raises(ConfigError) as caught:
        make(FileConfigProvider, allowed_paths=f"/,{allowed}")
    assert caught.value.problems == {"allowed.paths": sentence}


def test_a_directory_gives_whole_files_with_their_last_newline(tmp_path):
    (tmp_path / "password").write_bytes("höchst\n".encode())
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "password")
    provider = make(DirectoryConfigProvider)
    found = provider.get(str(tmp_path), frozenset({"password", "link", "folder", "missing", "../password"}))
    assert found.data == {"password": "höchst\n", "link": "höchst\n"}


def test_what_is_no_directory_gives_nothing_and_a_warning(secrets, caplog):
    with caplog.at_level(logging.WARNING):
        assert not make(DirectoryConfigProvider).get(str(secrets), frozenset({"user"})).data
    assert f"The path {secrets} is not a directory" in caplog.text


def test_a_directory_or_file_that_cannot_be_read_is_an_error_that_names_it(tmp_path, monkeypatch):
    (tmp_path / "k").write_text("v")

    def denied(*_):
        raise PermissionError(13, "Permission denied")

    provider = make(DirectoryConfigProvider)
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.read_bytes", denied)
        with pytest.raises(ConfigError) as caught:
            provider.get(str(tmp_path), frozenset({"k"}))
    assert str(caught.value) == f"Could not read file {tmp_path / 'k'} for property k: Permission denied"
    monkeypatch.setattr("os.scandir", denied)
    with pytest.raises(ConfigError) as caught:
        provider.get(str(tmp_path), frozenset({"k"}))
    assert str(caught.value) == f"Could not list directory {tmp_path}: Permission denied"


def test_the_environment_is_as_it_was_when_the_provider_was_made(monkeypatch):
    monkeypatch.setenv("MILL_USER", "ada")
    provider = make(EnvVarConfigProvider)
    monkeypatch.setenv("MILL_USER", "later")
    assert provider.get("", frozenset({"MILL_USER", "MILL_MISSING"})).data == {"MILL_USER": "ada"}
    settings = {"a": "${env:MILL_USER}", "b": "${env::MILL_USER}", "c": "${env:MILL_MISSING}"}
    assert resolve(settings, {"env": provider}).settings == {"a": "ada", "b": "ada", "c": "${env:MILL_MISSING}"}


def test_variables_that_do_not_match_the_pattern_look_missing(monkeypatch):
    monkeypatch.setenv("MILL_USER", "ada")
    monkeypatch.setenv("XMILL_USER", "eve")
    monkeypatch.setenv("MILL_USERX", "eve")
    provider = make(EnvVarConfigProvider, allowlist_pattern="MILL_.*R")
    assert provider.get("", frozenset({"MILL_USER", "XMILL_USER", "MILL_USERX"})).data == {"MILL_USER": "ada"}


def test_the_environment_takes_no_path_and_a_pattern_that_can_be_read():
    with pytest.raises(ConfigError) as caught:
        make(EnvVarConfigProvider).get("p", frozenset({"X"}))
    assert str(caught.value) == "Path is not supported for EnvVarConfigProvider, invalid value 'p'"
    with pytest.raises(ConfigError) as caught:
        make(EnvVarConfigProvider, allowlist_pattern="(")
    assert caught.value.problems["allowlist.pattern"].startswith("'(' is not a regular expression: ")
