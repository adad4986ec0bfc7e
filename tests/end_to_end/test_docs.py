"""Every block of the documentation is used: run, written to a file, or shown to be what was printed.

What a block is for stands above it, in a comment that readers do not see:

    (nothing)               sh is run, python is imported; any other language is refused
    <!-- file NAME -->      the block is written to that file
    <!-- output -->         each of its lines is printed by the blocks above it; … stands for any text
    <!-- not run: why -->   left alone

The blocks of a page are one script in a folder of its own, in which the house's folders lie as in a clone. Port 8083
becomes a free one.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from running import BIN, held_port

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = Path(__file__).with_name("bin")
FOLDERS = ("api", "runtime", "plugins", "converters", "conformance", "examples")
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *(p for f in FOLDERS for p in ROOT.glob(f"{f}/**/README.md"))]
)
BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?) -->\n+)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
LEFT_ALONE = re.compile(r"not run: \S+ \S+")
LANGUAGES = ("sh", "python")
PATIENCE_S = 300.0


@dataclass(frozen=True)
class Block:
    mark: str
    language: str
    text: str

    @property
    def script(self) -> str:
        """What a shell does with it."""
        if self.mark.startswith("file "):
            name = shlex.quote(self.mark.removeprefix("file "))
            return f"mkdir -p \"$(dirname {name})\"\ncat > {name} <<'END OF FILE'\n{self.text}END OF FILE\n"
        if self.language == "python" and not self.mark:
            return f"python3 - <<'END OF PYTHON'\n{self.text}END OF PYTHON\n"
        return self.text if self.language == "sh" and not self.mark else ""


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    found = [Block(m["mark"] or "", m["language"], m["text"]) for m in BLOCK.finditer(text)]
    assert len(found) == len(re.findall(r"^```", text, re.MULTILINE)) / 2, f"{page}: a block is not closed"
    return found


def identity(page: Path) -> str:
    return str(page.relative_to(ROOT).with_suffix(""))


def complaint(block: Block) -> str:
    """Why a block is neither used nor left alone for a reason; empty if it is."""
    if block.mark.startswith("not run"):
        return "" if LEFT_ALONE.match(block.mark) else "why is it not run?"
    if not block.language:
        commands = re.search(r"^\s*(pip|millstream|curl|python3?|tox) ", block.text, re.MULTILINE)
        return "a drawing has no commands; call it sh" if commands else ""
    if block.mark == "output" or block.mark.startswith("file "):
        return ""
    if block.mark:
        return f"{block.mark!r} is none of: file NAME, output, not run: why"
    return "" if block.language in LANGUAGES else f"{block.language} is neither a file nor printed"


@pytest.mark.parametrize("page", PAGES, ids=identity)
def test_every_block_of_a_page_is_used_or_says_why_not(page: Path) -> None:
    wrong = [f"{why}:\n{block.text}" for block in blocks_of(page) if (why := complaint(block))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("mark", "language", "text", "why"),
    [
        ("", "json", "{}", "json is neither a file nor printed"),
        ("", "properties", "a=b", "properties is neither a file nor printed"),
        ("", "", "pip install millstream", "a drawing has no commands; call it sh"),
        ("not run", "sh", "true", "why is it not run?"),
        ("example", "sh", "true", "'example' is none of: file NAME, output, not run: why"),
        ("", "sh", "true", ""),
        ("", "python", "pass", ""),
        ("", "", "a ──▶ b", ""),
        ("output", "text", "a", ""),
        ("file a.json", "json", "{}", ""),
        ("not run: needs systemd", "ini", "[Unit]", ""),
    ],
)
def test_a_block_that_is_not_used_is_complained_of(mark: str, language: str, text: str, why: str) -> None:
    assert complaint(Block(mark, language, text)) == why


def test_what_stands_above_a_block_says_what_it_is_for(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- file a/b.json -->\n```json\n{}\n```\n\n```sh\ncat a/b.json\n```\n\n<!-- output -->\n```text\n{}\n```\n"
    )
    written, run, printed = blocks_of(page)
    script = "".join(block.script for block in (written, run, printed))
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("{}\n", "")
    page.write_text("```sh\ntrue\n")
    with pytest.raises(AssertionError, match="not closed"):
        blocks_of(page)


def needed(program: str) -> None:
    """A page's reader has it; a machine for the tests may not. Where all has to run, it fails."""
    if shutil.which(program) is None:
        lacking = f"needs {program}: install it"
        (pytest.fail if os.environ.get("MILLSTREAM_REQUIRE_SERVICES") else pytest.skip)(lacking)


def prepared(folder: Path) -> dict[str, str]:
    """The environment of a page's script."""
    site = folder.parent / f"{folder.name}-site"
    site.mkdir()
    for name in FOLDERS:
        (folder / name).symlink_to(ROOT / name)
    path = os.pathsep.join([str(STAND_IN), str(BIN), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(site), "DOCS_SITE": str(site)}


RUN = [page for page in PAGES if any(block.script for block in blocks_of(page))]


@pytest.mark.timeout(PATIENCE_S + 20)
@pytest.mark.parametrize("page", RUN, ids=identity)
def test_the_blocks_of_a_page_do_what_it_says(page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    blocks = blocks_of(page)
    if any(block.script.startswith("openssl") or "\nopenssl" in block.script for block in blocks):
        needed("openssl")
    script = "set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + "".join(block.script for block in blocks)
    with ExitStack() as held:
        for port in sorted(set(re.findall(r":(8\d\d\d)\b", script))):
            script = re.sub(rf":{port}\b", f":{held.enter_context(held_port())}", script)
        done = subprocess.run(
            ["bash", "-c", script], cwd=folder, env=prepared(folder), capture_output=True, text=True, timeout=PATIENCE_S
        )
    log = folder / "worker.log"
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{log.read_text() if log.exists() else ''}"
    for block in blocks:
        for line in block.text.splitlines() if block.mark == "output" else ():
            pattern = ".*".join(map(re.escape, line.strip().split("…")))
            assert re.search(pattern, done.stdout), f"{line!r} was not printed:\n{done.stdout}\n{done.stderr}"


@pytest.mark.timeout(240)
def test_the_example_of_the_readme_ends_with_identical_files(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "examples" / "file-to-file" / "run.py", tmp_path / "folder"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the two files are identical" in done.stdout
    assert "examples/file-to-file/run.py" in (ROOT / "README.md").read_text()


LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]+)(?:#([^)]*))?\)")


@pytest.mark.parametrize("page", PAGES, ids=identity)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text()):
        there = (page.parent / target).resolve()
        assert there.exists(), f"{identity(page)}: there is no {target}"
        if anchor:
            heads = re.findall(r"^#+ (.*)$", there.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads], anchor
