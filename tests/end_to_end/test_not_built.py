"""A setting of something that is not there yet is refused with a sentence, never taken and ignored."""

from running import WorkerProcess, until


def test_a_sink_with_a_dead_letter_queue_fails_with_what_to_do_instead(worker: WorkerProcess) -> None:
    worker.start()
    more = {"errors.tolerance": "all", "errors.deadletterqueue.topic.name": "dead"}
    worker.create("copy", **{"connector.class": "FileStreamSink", "topics": "lines", "file": "out.txt", **more})
    until(lambda: "FAILED" in worker.states("copy"), "the task to fail")
    trace = worker.trace("copy")
    assert "errors.deadletterqueue.topic.name asks for a dead letter queue, which is not built yet" in trace
    assert "errors.log.enable=true" in trace
