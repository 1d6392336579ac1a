"""What a reader of text could be made to do by it: the runner's commands, and characters that are not seen."""

import re
import unicodedata
from typing import Final

# White space as .NET's TrimStart has it; Python's own also takes the separators U+001C to U+001F.
WHITE_SPACE: Final = "".join(char for char in map(chr, range(0x10000)) if char.isspace())
# Bidirectional classes of characters that only steer (Unicode Annex 9), and of boundary neutrals, which have no width.
_STEERING: Final = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "BN"}


def commands_in(log: str) -> list[str]:
    """The names of the workflow commands that a runner would see in a log. It knows fewer names; any counts here.

    Ported from actions/runner, src/Runner.Common/ActionCommand.cs.
    """
    found = []
    for line in re.split(r"[\n\r]", log):
        if v2 := re.match(r"::(.*?)::", line.lstrip(WHITE_SPACE), re.DOTALL):
            found.append(v2[1].partition(" ")[0].lower())
        if v1 := re.search(r"##\[(.*?)\]", line, re.DOTALL):
            found.append(v1[1].partition(" ")[0].lower())
    return found


def unseen_in(text: str) -> list[str]:
    """Control characters, line separators, halves of pairs, and formats that have no width or turn the direction."""
    if text.isascii() and text.isprintable():
        return []

    def unseen(char: str) -> bool:
        category = unicodedata.category(char)
        steering = unicodedata.bidirectional(char) in _STEERING or char in "\u200e\u200f\u061c"
        return category in ("Cc", "Cs", "Zl", "Zp") or (category == "Cf" and steering)

    return [f"U+{ord(char):04X}" for char in dict.fromkeys(text) if unseen(char)]
