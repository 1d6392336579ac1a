"""YAML nodes into a frozen Scenario: variables, types and sense, all mistakes at once and each with its place.

One generic walk, driven by the structs of model.py (msgspec.inspect), so that a new setting is a new field there and
nothing here. msgspec's own decoder stops at the first mistake and knows no lines; hence the walk.
"""

import difflib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from msgspec import inspect
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sse_check.redaction import Redactor
from sse_check.scenario.derive import expanded, posted, split
from sse_check.scenario.files import NamedFile, named_files
from sse_check.scenario.mistakes import Mistake, Place, ScenarioError
from sse_check.scenario.model import Scenario
from sse_check.scenario.presets import with_presets
from sse_check.scenario.sense import check_sense
from sse_check.scenario.values import KEYS, NOT_IN_A_FIELD_VALUE, assumed, nearest, read
from sse_check.scenario.yaml_nodes import MAX_DEPTH, YamlProblem, compose
from sse_check.units import Unreadable

_VARIABLE: Final = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_HEADER: Final = re.compile(r"^(?!.*\.body\.).*\bheaders\.")  # the path of a header's value
# Aliases make a small file mean a large tree; what they mean is visited once for each mention, up to here.
_MAX_VISITS: Final = 50_000
# More mistakes than are told (mistakes.py), as they come in the order of the file but for aliases; each is looked into.
_MAX_NOTED: Final = 1000


# Why a file that the scenario names cannot be used, or None.
Unusable = Callable[[NamedFile], str | None]


def variables_in(raw: bytes) -> tuple[str, ...]:
    """The names of the variables that a scenario mentions, each once, in order."""
    return tuple(dict.fromkeys(m[1] for m in _VARIABLE.finditer(raw.decode("utf-8", "replace")) if m[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Variables:
    """The values a scenario may name as ${NAME}, and which of them are secret. Nothing else is readable.

    `assume` is for checking a scenario by itself: a variable without a value is taken to be right where it stands.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    secrets: frozenset[str] = frozenset()
    assume: bool = False

    def secret_values(self) -> tuple[str, ...]:
        """The secret texts themselves, for redaction."""
        return tuple(self.values[name] for name in sorted(self.secrets) if self.values.get(name))


def load(raw: bytes, *, file: str, variables: Variables | None = None, unusable: Unusable = lambda named: None) -> Scenario:
    """Read a scenario, as `load_placed` does, without its places."""
    return load_placed(raw, file=file, variables=variables, unusable=unusable)[0]


def load_placed(
    raw: bytes, *, file: str, variables: Variables | None = None, unusable: Unusable = lambda named: None
) -> tuple[Scenario, dict[str, Place]]:
    """Read a scenario from the bytes of its file, and where its probes and services stand: `probes.chat`, `services.app`.

    `unusable` says of a file that the scenario names why it cannot be used, or None; nothing is read here.

    Raises ScenarioError with every mistake found: syntax, unknown and missing keys, types, unknown variables, sense.
    """
    try:
        root = compose(raw)
    except YamlProblem as problem:
        raise ScenarioError(
            [Mistake(file=file, line=problem.line, column=problem.column, path="", wrong=problem.wrong, right=problem.right)]
        ) from None
    walk = _Walk(file, variables or Variables())
    value = walk.struct(root, inspect.type_info(Scenario), "")
    if walk.mistakes:
        raise ScenarioError(walk.mistakes)
    scenario = with_presets(posted(msgspec.convert(value, Scenario), walk.said))
    check_sense(scenario, walk.wrong_at, walk.said, walk.assumed)
    for named in named_files(scenario):
        if named.at not in walk.assumed and (why := unusable(named)) is not None:
            walk.wrong_at(named.at, named.wrong(why), named.right)
    if walk.mistakes:
        raise ScenarioError(walk.mistakes)
    probes = {f"probes.{one.name}": f"probes[{n}]" for n, probe in enumerate(scenario.probes) for one in split(probe)}
    services = {f"services.{name}": f"services.{name}" for name in scenario.services}
    return expanded(scenario), {name: walk.place(path) for name, path in (probes | services).items()}


class _Skip(Exception):
    """A node could not be read; its mistake is noted, and the walk goes on beside it."""


class _Assumed(Exception):
    """A text whose variable has no value yet, and need not have one."""


class _Walk:
    """Reads nodes as the types say, collecting mistakes and remembering where every value stood."""

    def __init__(self, file: str, variables: Variables) -> None:
        self.file = file
        self.variables = variables
        self.mistakes: list[Mistake] = []
        self.assumed: set[str] = set()  # paths whose value a variable will bring
        self._marks: dict[str, tuple[int, int]] = {}
        self._redact = Redactor(variables.secret_values()).text  # a secret in the wrong place is quoted by no mistake
        self._visits = 0
        self._above: list[int] = []  # identities of the nodes around this one: an alias to one of them never ends

    # --- noting ---------------------------------------------------------------------------------------------------

    def wrong(self, node: Node, path: str, wrong: str, right: str = "") -> _Skip:
        """Note a mistake at a node; the caller raises what is returned, or goes on."""
        self._note(path, node.start_mark.line + 1, node.start_mark.column + 1, wrong, right)
        return _Skip()

    def wrong_at(self, path: str, wrong: str, right: str) -> None:
        """Note a mistake at the nearest place that stood in the file."""
        at = path
        while at not in self._marks and at:
            at = re.sub(r"(\.[^.\[\]]*|\[\d+\]|^[^.\[\]]+)$", "", at)
        line, column = self._marks.get(at, (1, 1))
        self._note(path, line, column, wrong, right)

    def place(self, path: str) -> Place:
        """Where the value at this path stood."""
        line, column = self._marks[path]
        return Place(file=self.file, line=line, column=column)

    def said(self, path: str) -> bool:
        """Whether a value stood at this path."""
        return path in self._marks

    def _note(self, path: str, line: int, column: int, wrong: str, right: str) -> None:
        wrong, right = self._redact(wrong), self._redact(right)
        mistake = Mistake(file=self.file, line=line, column=column, path=path, wrong=wrong, right=right)
        if mistake not in self.mistakes:
            self.mistakes.append(mistake)
        if len(self.mistakes) >= _MAX_NOTED:
            raise ScenarioError(self.mistakes)

    # --- walking --------------------------------------------------------------------------------------------------

    def value(self, node: Node, kind: inspect.Type, path: str) -> Any:
        """The value of a node as a type wants it. Raises _Skip where it is not."""
        self._visits += 1
        if self._visits > _MAX_VISITS:
            if self._visits == _MAX_VISITS + 1:
                self.wrong(node, path, f"with its aliases the scenario has more than {_MAX_VISITS:,} values.", "Use fewer aliases.")
            raise _Skip
        if len(self._above) > MAX_DEPTH:
            raise self.wrong(node, path, f"with its aliases this is nested deeper than {MAX_DEPTH} levels.", "Use fewer aliases.")
        if id(node) in self._above:
            raise self.wrong(node, path, "an alias points at a value that contains it.", "Write the value out.")
        self._marks[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        self._above.append(id(node))
        try:
            return self._typed(node, kind, path)
        finally:
            self._above.pop()

    def _typed(self, node: Node, kind: inspect.Type, path: str) -> Any:
        extra, example = None, None
        while isinstance(kind, inspect.Metadata):
            extra = (kind.extra or {}).get("kind", extra)
            examples = (kind.extra_json_schema or {}).get("examples")
            example = examples[0] if examples else example
            kind = kind.type
        if isinstance(kind, inspect.UnionType):
            return self._union(node, kind, path)
        if isinstance(kind, inspect.StructType):
            return self.struct(node, kind, path)
        if isinstance(kind, inspect.DictType):
            return self._dict(node, kind, extra, path)
        if isinstance(kind, inspect.VarTupleType):
            return self._tuple(node, kind, path)
        if isinstance(kind, inspect.AnyType):
            return self._any(node, path)
        return self._scalar(node, kind, extra, example, path)

    def _union(self, node: Node, kind: inspect.UnionType, path: str) -> Any:
        """`X | None`, and text or mapping: the shape of the node decides."""
        options = [option for option in kind.types if not isinstance(option, inspect.NoneType)]
        if isinstance(node, ScalarNode) and node.tag.endswith(":null") and len(options) < len(kind.types):
            return None
        if len(options) > 1:
            mapping = isinstance(node, MappingNode)
            options = [option for option in options if isinstance(option, inspect.DictType) == mapping] or options
        return self._typed(node, options[0], path)

    def struct(self, node: Node, kind: inspect.Type, path: str) -> dict[str, Any]:
        """A mapping with known keys. Every mistake within is noted; what was readable is returned."""
        assert isinstance(kind, inspect.StructType)
        fields = {f.encode_name: f for f in kind.fields}
        if not isinstance(node, MappingNode):
            raise (
                self.wrong(node, path, f"{_shape(node)} stands where a mapping is wanted.", f"Known keys: {', '.join(fields)}.")
                if path
                else self._no_root(node)
            )
        self._marks.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        result: dict[str, Any] = {}
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, ScalarNode) else "?"
            inner = f"{path}.{key}" if path else key
            if key not in fields:
                self.wrong(key_node, inner, f'unknown key "{key}".', nearest(key, fields, "Known keys here"))
            elif key in seen:
                self.wrong(key_node, inner, f'the key "{key}" stands here twice.', "Keep one of them.")
            else:
                seen.add(key)
                try:
                    result[key] = self.value(value_node, fields[key].type, inner)
                except _Skip:
                    continue
        for name, wanted in fields.items():
            if wanted.required and name not in seen:
                self.wrong(node, f"{path}.{name}" if path else name, f'the key "{name}" is missing.', f"Add {_example(name, wanted.type)}.")
        return result

    def _no_root(self, node: Node) -> ScenarioError:
        self.wrong(node, "", f"{_shape(node)} is no scenario.", "Begin with version: 1 and probes:, as in examples/quickstart.yml.")
        return ScenarioError(self.mistakes)

    def _dict(self, node: Node, kind: inspect.DictType, extra: str | None, path: str) -> dict[str, Any]:
        if not isinstance(node, MappingNode):
            raise self.wrong(
                node, path, f"{_shape(node)} stands where a mapping is wanted.", "Write {Name: value}, or one Name: value a line below."
            )
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self.wrong(key_node, path, f"{_shape(key_node)} stands where a name is wanted.", "Write Name: value.")
                continue
            key, inner = key_node.value, f"{path}.{key_node.value}"
            if key in result:
                self.wrong(key_node, inner, f'"{key}" stands here twice.', "Keep one of them.")
            if extra in KEYS:
                pattern, wrong, right = KEYS[extra]
                if pattern.fullmatch(key) is None:
                    self.wrong(key_node, inner, f'"{key}" is {wrong}.', right)
            try:
                result[key] = self.value(value_node, kind.value_type, inner)
            except _Skip:
                continue
            if extra == "headers" and NOT_IN_A_FIELD_VALUE.search(str(result[key])):
                self.wrong(
                    value_node,
                    inner,
                    "a header's value holds a line break or a control character.",
                    "Remove it; a trailing line break often comes with a pasted secret.",
                )
        return result

    def _tuple(self, node: Node, kind: inspect.VarTupleType, path: str) -> list[Any]:
        if not isinstance(node, SequenceNode):
            raise self.wrong(node, path, f"{_shape(node)} stands where a list is wanted.", 'Begin each entry with "- ".')
        if len(node.value) < (kind.min_length or 0):
            raise self.wrong(node, path, "the list is empty.", "Name at least one probe, as in examples/quickstart.yml.")
        if kind.max_length is not None and len(node.value) > kind.max_length:
            raise self.wrong(node, path, f"the list has {len(node.value):,} entries.", f"At most {kind.max_length:,} are taken.")
        result = []
        for number, item in enumerate(node.value):
            try:
                result.append(self.value(item, kind.item_type, f"{path}[{number}]"))
            except _Skip:
                continue
        return result

    def _any(self, node: Node, path: str) -> Any:
        """A JSON value, for a request's body."""
        anything = inspect.AnyType()
        if isinstance(node, MappingNode):
            return self._dict(node, inspect.DictType(inspect.StrType(), anything), None, path)
        if isinstance(node, SequenceNode):
            return self._tuple(node, inspect.VarTupleType(anything), path)
        try:
            text = self._text(node, path)
        except _Assumed:
            return ""
        tag = node.tag.rpartition(":")[2] if text == node.value else "str"
        if tag == "null":
            return None
        if tag == "bool":
            return text.lower() in ("true", "yes", "on")
        if tag in ("int", "float"):
            try:
                number = json.loads(text)
            except ValueError:
                return text
            if isinstance(number, int) and not -(2**63) <= number < 2**64:
                raise self.wrong(node, path, "the number has more than 64 bits.", "Write it in quotes, if a text is what is wanted.")
            return number if math.isfinite(number) else text
        return text

    def _scalar(self, node: Node, kind: inspect.Type, extra: str | None, example: Any, path: str) -> Any:
        if not isinstance(node, ScalarNode) or node.tag.endswith(":null"):
            raise self.wrong(
                node,
                path,
                f"{_shape(node)} stands where one value is wanted.",
                f"Write for example {example}." if example else "Write a text or a number.",
            )
        try:
            text = self._text(node, path)
        except _Assumed:
            self.assumed.add(path)
            return assumed(kind, extra)
        try:
            return read(text, kind, extra, example)
        except Unreadable as error:
            if self._names_a_secret(node.value):
                # Not even a part of the value, or what was made of it, may be shown.
                right = f"Write for example {example}." if example else "Write another."
                raise self.wrong(node, path, f'the value of "{node.value}", which is secret, is not what is wanted here.', right) from None
            raise self.wrong(node, path, error.wrong, error.right) from None

    def _names_a_secret(self, text: str) -> bool:
        return any(match[1] in self.variables.secrets for match in _VARIABLE.finditer(text))

    def _text(self, node: Node, path: str) -> str:
        """The text of a scalar with its variables put in: after YAML is read, so that a value cannot become YAML."""

        def put_in(match: re.Match[str]) -> str:
            name = match[1]
            if match[0] == "$$":
                return "$"
            if name is None:
                self.wrong(node, path, '"${" begins no variable.', "Write ${NAME}, or $${ for the characters themselves.")
                return ""
            if name not in self.variables.values:
                missing.append(name)
                return ""
            value = self.variables.values[name]
            if not value:
                empty.append(name)
            return value

        if _SURROGATE.search(node.value):
            raise self.wrong(
                node, path, "the text holds half of a surrogate pair, which is no character.", "Remove the escape \\ud800 to \\udfff."
            )
        missing: list[str] = []
        empty: list[str] = []
        text = _VARIABLE.sub(put_in, node.value)
        if missing and self.variables.assume:
            raise _Assumed
        for name in dict.fromkeys(missing):
            near = difflib.get_close_matches(name, self.variables.values, 1)
            hint = f"Did you mean ${{{near[0]}}}? " if near else ""
            self.wrong(
                node,
                path,
                f"the variable {name} was not handed over.",
                f"{hint}Pass --var {name}=… or --secret-env {name}, or name it in the action's input variables or secrets.",
            )
        for name in empty:
            self.wrong(
                node, path, f"the variable {name} is empty.", "Give it a value; GitHub hands no secrets to workflows started from a fork."
            )
        if missing or empty:
            raise _Skip
        if _SURROGATE.search(text) and not _HEADER.search(path):  # how Python has a byte of the environment that is no UTF-8
            right = "Give it a value that is UTF-8 text; only a header's may be of any bytes."
            raise self.wrong(node, path, f'the value of "{node.value}" holds a byte that is not UTF-8.', right)
        return text


def _shape(node: Node) -> str:
    """What a node is, in words."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    return "nothing" if node.tag.endswith(":null") else f'"{node.value[:60]}"'


def _example(name: str, kind: inspect.Type) -> str:
    """How a missing key would be written."""
    while isinstance(kind, inspect.Metadata):
        examples = (kind.extra_json_schema or {}).get("examples")
        if examples:
            return f"{name}: {examples[0]}"
        kind = kind.type
    if isinstance(kind, inspect.LiteralType):
        return f"{name}: {kind.values[0]}"
    return f"{name}:"
