"""What every task does first, done once in a child that waits for its request.

After a fork a page is the template's until it is written to, and a reference count is a write: the start of a task
meets some 1,800 of them, which is most of its time. A rehearsal of all of it, on a log in memory, took half as long
again off a start and left each task 0.8 MB more; this leaves nothing.
"""

from collections.abc import Sequence

from millstream.host.channel import PluginTarget, RunTask, Surroundings, decode, encode
from millstream.host.composition import Composer
from millstream.host.installed import Places
from millstream.lifecycle import StopToken, SystemClock, spawn
from millstream.pipeline.poll import SourcePipeline
from millstream.pipeline.reporting import Counters, Reporting
from millstream.pipeline.tolerance import Handling, Tolerance

STRINGS = "org.apache.kafka.connect.storage.StringConverter"
WORKER = {"key.converter": STRINGS, "value.converter": STRINGS}


def rehearse(disabled: Sequence[str]) -> None:
    """Read a request, begin a thread, and compose a pipeline of plugins of our own."""
    request = decode(encode(RunTask("rehearsal", 0, PluginTarget(""), around=Surroundings(WORKER))))
    assert isinstance(request, RunTask)
    listener = spawn("rehearsal", lambda _: None)
    composer = Composer(Places(request.around), request.connector_settings, tuple(disabled))
    handling = Handling(Tolerance(False, 0, 0), SystemClock(), StopToken().wait)
    SourcePipeline(composer.chain(), composer.converters(), handling, Reporting([], Counters()))
    listener.join(None)
