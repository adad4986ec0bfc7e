"""A setting of something that is not there yet is refused with a sentence, never taken and ignored."""

from running import WorkerProcess

DEAD_LETTERS = "errors.deadletterqueue.topic.name"


def test_a_sink_with_a_dead_letter_queue_is_refused_with_what_to_do_instead(worker: WorkerProcess) -> None:
    worker.start()
    sink = {"name": "copy", "connector.class": "FileStreamSink", "topics": "lines", "file": "out.txt"}
    config = {**sink, "errors.tolerance": "all", DEAD_LETTERS: "dead"}
    answer = worker.call("PUT", "/connector-plugins/FileStreamSink/config/validate", config)
    assert (answer.status, answer.json["error_count"]) == (200, 1)
    (sentence,) = next(e["value"]["errors"] for e in answer.json["configs"] if e["value"]["name"] == DEAD_LETTERS)
    assert sentence.startswith(f"{DEAD_LETTERS} asks for a dead letter queue, which is not built yet: records would be")
    assert "errors.log.enable=true" in sentence
    refused = worker.call("POST", "/connectors", {"name": "copy", "config": config})
    assert refused.status == 400
    assert sentence in refused.json["message"]
    blank = worker.call("POST", "/connectors", {"name": "copy", "config": {**sink, DEAD_LETTERS: " "}})
    assert blank.status == 201
