"""The error of a user's input, apart from what a scenario can be told: whose fault it is, and what would be right."""


class UsageError(Exception):
    """Arguments, or inputs of the action, are wrong; the message says which, what is wrong and what would be right.

    Its arguments are the message's lines, each one line even where a name in it holds a line break.
    """

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))
