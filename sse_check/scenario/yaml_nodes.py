"""YAML text into nodes that know their place, within bounds.

PyYAML's composer is used alone, without its constructor: nothing is built from tags, and every node keeps its line and
column. Aliases stay what they are, references; whoever walks the nodes counts what it visits (load.py).
"""

import re
from typing import Any, Final

import yaml
from yaml.nodes import Node

MAX_SCENARIO_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32
_MAX_NODES: Final = 100_000
_LINE_END: Final = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # YAML 1.1, section 4.1.4


class YamlProblem(Exception):
    """The text is no YAML that a scenario can be read from. `line` and `column` count from 1."""

    def __init__(self, line: int, column: int, wrong: str, right: str) -> None:
        super().__init__(wrong)
        self.line, self.column, self.wrong, self.right = line, column, wrong, right


class _BoundedLoader(yaml.SafeLoader):
    """A loader that stops at a depth and a number of nodes instead of at the interpreter's own limits."""

    depth = 0
    nodes = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        self.nodes += 1
        self.depth += 1
        if self.depth > MAX_DEPTH or self.nodes > _MAX_NODES:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # the stubs leave it untyped
            what = f"nested deeper than {MAX_DEPTH} levels" if self.depth > MAX_DEPTH else f"more than {_MAX_NODES:,} values"
            raise YamlProblem(mark.line + 1, mark.column + 1, f"{what}.", "Write a flatter, shorter scenario.")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def compose(raw: bytes) -> Node:
    """The root node of a YAML document.

    Raises YamlProblem where the bytes are too many, not UTF-8, not YAML, empty, or several documents.
    """
    if len(raw) > MAX_SCENARIO_BYTES:
        raise YamlProblem(1, 1, f"the scenario has {len(raw):,} bytes.", "At most 1 MiB (1,048,576 bytes) is read.")
    raw = raw.removeprefix(b"\xef\xbb\xbf")  # a byte order mark, which some editors write, is none of its text
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = _behind(raw[: error.start].decode("utf-8"))
        raise YamlProblem(line, column, f"byte 0x{raw[error.start]:02x} is not UTF-8.", "Save the file as UTF-8.") from None
    loader = None
    try:
        loader = _BoundedLoader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        problem = error.problem or error.context or "unreadable"
        if "single document" in (error.context or ""):
            raise YamlProblem(
                line, column, "a second YAML document begins.", "Keep one scenario in a file, without a --- line in it."
            ) from None
        raise YamlProblem(line, column, f"not YAML: {problem}.", _yaml_cure(problem)) from None
    except yaml.reader.ReaderError as error:
        line, column = _behind(text[: error.position])
        raise YamlProblem(line, column, f"the character U+{ord(text[error.position]):04X} is not allowed in YAML.", "Remove it.") from None
    except (ValueError, OverflowError):
        # PyYAML's scanner takes some numbers as they come: the code of an escape, the version of %YAML.
        line, column = (loader.line + 1, loader.column + 1) if loader else (1, 1)
        raise YamlProblem(
            line, column, "a number here is too large to be read.", "Write the character itself instead of its escape."
        ) from None
    finally:
        if loader is not None:
            loader.dispose()
    if node is None:
        raise YamlProblem(1, 1, "the scenario is empty.", "Begin with version: 1 and probes:, as in examples/quickstart.yml.")
    return node


def _behind(text: str) -> tuple[int, int]:
    """The line and the column of what follows a text, as PyYAML counts them."""
    lines = _LINE_END.split(text)
    return len(lines), len(lines[-1]) + 1


def _yaml_cure(problem: str) -> str:
    """The likeliest mend for a message of PyYAML's scanner or parser."""
    if "\\t" in problem:
        return "Indent with spaces; YAML allows no tabs."
    if "mapping values are not allowed" in problem:
        return 'Put a value that contains ": " in quotes, and check the indentation.'
    if "undefined alias" in problem:
        return "Define the anchor (&name) before its alias (*name), or quote a value that begins with *."
    return "Check the indentation, the brackets and the quotes here and in the line above."
