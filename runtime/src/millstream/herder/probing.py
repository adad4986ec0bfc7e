"""Questions to a plugin's class in a child of its own: what goes on meanwhile, and where it was when no answer came."""

from millstream.errors import NoAnswerError, WorkerError
from millstream.herder.crew import Crew
from millstream.herder.procedures import Procedure
from millstream.host.channel import RunProbe

#: less than the time that REST gives an answer, so that the answer can say where the plugin hangs
ANSWER_S = 85.0


def probe(crew: Crew, question: RunProbe, words: str) -> Procedure:
    """Ask, and give what the plugin answers.

    words: the stage meanwhile. WorkerError with the stage and the plugin's stack when it does not answer.
    """
    with crew.stages.of(words, question.connector or None) as stage:
        try:
            return (yield crew.worker.probe(question, ANSWER_S))
        except NoAnswerError as error:
            where = f". It was at\n{error.stack}" if error.stack else ""
            raise WorkerError(f"Request timed out. {stage.summary()} The {error}{where}") from error
