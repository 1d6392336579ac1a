"""The error of a user's input, apart from what a scenario can be told: whose fault it is, and what would be right."""


class UsageError(Exception):
    """Arguments, or inputs of the action, are wrong; the message says which, what is wrong and what would be right."""
