"""After everything, tox's last lines here: how many tests ran, how many were skipped, and what to install for those."""

import atexit
import os
import shutil
import sys
from pathlib import Path

from tox.config.cli.parser import ToxParser
from tox.plugin import impl

sys.path.insert(0, str(Path(__file__).parent / "tools"))

from closing_lines import closing_lines

RESULTS = Path(__file__).parent / ".tox" / "results"


@impl
def tox_add_option(parser: ToxParser) -> None:
    """Called once, early: the results of an earlier run do not count, and the closing lines are printed at exit."""
    if os.environ.get("TOX_ENV_NAME") is None:  # not inside an environment
        shutil.rmtree(RESULTS, ignore_errors=True)
        atexit.register(closing_lines, RESULTS)
