"""What GitHub's runner does with a step's log and files, as far as sse-check relies on it.

After actions/runner: ActionCommand.cs (what is a command), FileCommandManager.cs (how the output file is read).
"""

import re


def commands_in(log: str) -> list[tuple[str, str]]:
    """The workflow commands that the runner would carry out, as (name, rest of the line)."""
    found = []
    for line in re.split(r"\r\n|\n|\r", log):
        if match := re.match(r"::([^\s:]+)(.*)", line.lstrip()):
            found.append((match[1].lower(), match[2]))
        elif match := re.search(r"##\[([^\]\s;]+)([^\]]*)\](.*)", line):
            found.append((match[1].lower(), match[3]))
    return found


def read_outputs(text: str) -> dict[str, str]:
    """The outputs of a step, from its file: `name=value`, or `name<<delimiter` and lines up to it; the last one counts."""
    outputs: dict[str, str] = {}
    lines = iter(text.split("\n"))
    for line in lines:
        if not line:
            continue
        name, heredoc, delimiter = line.partition("<<")
        if not heredoc or "=" in name:
            name, equals, value = line.partition("=")
            assert equals, f"the runner fails the step on this line: {line!r}"
            outputs[name] = value
            continue
        value_lines = []
        for inner in lines:
            if inner == delimiter:
                break
            value_lines.append(inner)
        else:
            raise AssertionError(f"the delimiter of {name} never came")
        outputs[name] = "\n".join(value_lines)
    return outputs
