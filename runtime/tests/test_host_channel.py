import socket
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.errors import ConfigError
from millstream.host.asking import Asking
from millstream.host.channel import (
    Answer,
    Ask,
    ChildEnd,
    Counted,
    Failure,
    Lines,
    PluginTarget,
    RunTask,
    StateChanged,
    Stop,
    Surroundings,
    Unknown,
    decode,
    encode,
)

texts = st.text()
settings = st.dictionaries(texts, st.none() | texts)
messages = st.one_of(
    st.builds(
        RunTask,
        texts,
        st.integers(0, 9),
        st.builds(PluginTarget, texts, texts),
        settings,
        settings,
        around=st.builds(Surroundings, settings, st.integers(0), st.dictionaries(texts, st.integers())),
    ),
    st.builds(StateChanged, texts, st.none() | st.builds(Failure, texts, texts, texts)),
    st.builds(Counted, st.dictionaries(texts, st.floats(allow_nan=False) | st.integers() | texts)),
    st.builds(Ask, st.integers(), texts, st.dictionaries(texts, texts)),
    st.builds(Stop),
)


@given(messages)
def test_a_message_is_read_back_as_it_was_and_is_one_line(message):
    line = encode(message)
    assert line.count(b"\n") == 1
    assert decode(line).__class__ is message.__class__
    assert encode(decode(line)) == line


@given(st.lists(st.binary().map(lambda data: data.replace(b"\n", b"")), min_size=1), st.integers(1, 7))
def test_lines_come_whole_whatever_pieces_they_arrive_in(lines, size):
    stream = b"".join(line + b"\n" for line in lines)
    cutter = Lines()
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert [line for piece in pieces for line in cutter.feed(piece)] == lines


def test_a_field_of_another_version_is_dropped_and_a_missing_one_has_its_default():
    assert decode(b'{"is":"StateChanged","state":"RUNNING","mood":"good"}') == StateChanged("RUNNING")


def test_a_message_of_another_version_is_unknown_and_no_error():
    assert decode(b'{"is":"Sing","song":"la"}') == Unknown("Sing", {"song": "la"})


@pytest.mark.parametrize(
    "line", [b"", b"null", b"[1]", b'{"state":"x"}', b"\xff", b'{"is":[]}', b'{"is":{}}', b"[" * 100_000]
)
def test_what_is_no_message_is_refused_with_its_beginning(line):
    with pytest.raises(ValueError, match="is no message of the channel: expected a JSON object with 'is'"):
        decode(line)


def test_a_message_that_lacks_a_field_is_refused_by_name():
    with pytest.raises(ValueError, match="the message StateChanged lacks 'state'"):
        decode(b'{"is":"StateChanged"}')


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"is":"StateChanged","state":5}', "StateChanged has state=5: expected str"),
        (b'{"is":"StateChanged","state":"FAILED","failure":"it"}', "failure='it': expected Failure or NoneType"),
        (b'{"is":"Hello","pid":"1"}', "Hello has pid='1': expected int"),
        (b'{"is":"Counted","values":[1]}', r"Counted has values=\[1\]: expected dict"),
        (b'{"is":"Progressed","done":1,"total":"x"}', "Progressed has total='x': expected NoneType or int"),
        (b'{"is":"Ended","rested":"yes"}', "Ended has rested='yes': expected bool"),
    ],
)
def test_a_field_of_the_wrong_kind_is_refused_with_what_it_holds(line, told):
    with pytest.raises(ValueError, match=told):
        decode(line)


def test_lines_before_one_without_end_are_not_lost_and_small_pieces_take_no_more_than_they_hold():
    cutter = Lines()
    assert cutter.feed(b"a\nb\nc") == [b"a", b"b"]
    for _ in range(100_000):
        assert cutter.feed(b"x") == []
    assert sys.getsizeof(cutter._begun) < 200_000
    assert cutter.feed(b"\n\n") == [b"c" + b"x" * 100_000, b""]


def test_a_line_without_end_is_refused():
    cutter = Lines()
    for _ in range(67):
        assert list(cutter.feed(b"x" * 1_000_000)) == []
    with pytest.raises(ValueError, match="a line of the channel is longer than 67108864 bytes"):
        list(cutter.feed(b"x" * 1_000_000))


def test_an_error_travels_as_type_message_and_trace():
    told = Failure.of(ConfigError({"topic": "topic is missing"}))
    error = told.error()
    assert (error.name, str(error)) == ("org.apache.kafka.common.config.ConfigException", "topic: topic is missing")
    assert error.trace.startswith("org.apache.kafka.common.config.ConfigException: topic: topic is missing")


def test_an_error_that_will_not_say_its_text_travels_all_the_same():
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert "its __str__ raised ValueError" in Failure.of(Mute()).message


def test_the_child_hears_until_the_worker_closes_and_tells_from_any_thread():
    near, far = socket.socketpair()
    end = ChildEnd(far)
    near.sendall(encode(Stop()) + encode(Ask(1, "task_configs")))
    heard = end.listen()
    assert [next(heard), next(heard)] == [Stop(), Ask(1, "task_configs")]
    threads = [threading.Thread(target=end.tell, args=(Answer(n, "x" * 5000),)) for n in range(8)]
    for thread in threads:
        thread.start()
    cutter, answers = Lines(), []
    while len(answers) < 8:
        answers += [decode(line) for line in cutter.feed(near.recv(65536))]
    for thread in threads:
        thread.join()
    assert sorted(answer.number for answer in answers) == list(range(8))
    near.close()
    assert list(heard) == []
    end.tell(Stop())  # a worker that is gone is no error
    end.close()


def test_a_question_that_cannot_be_said_is_not_waited_for():
    near, far = socket.socketpair()
    asking = Asking(ChildEnd(far))
    with pytest.raises(TypeError, match="not JSON serializable"):
        asking.put("offsets", {"partition": {1, 2}}, pytest.fail)
    asking.answered(Answer(1, "an answer that nobody waits for"))
    near.setblocking(False)
    with pytest.raises(BlockingIOError):
        near.recv(1)
    near.close()
    far.close()
