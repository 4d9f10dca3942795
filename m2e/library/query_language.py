"""The language of queries: text -> tree. What the names mean is decided by `query`.

calm and happy, not dark, valence > 6, key = Am, year >= 1990
"""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from m2e.errors import UsageError

if TYPE_CHECKING:
    from lark import Lark, Token
    from lark.exceptions import UnexpectedInput

# A comma is an "and" that binds least. A value may have several words: artist = Miles Davis
GRAMMAR = r"""
?start: all_of
?all_of: any_of | any_of ("," any_of)+     -> all
?any_of: both | both ("or"i both)+         -> any
?both: term | term ("and"i term)+          -> all
?term: "not"i term                         -> negated
     | "(" all_of ")"
     | WORD                                -> mood
     | STRING                              -> mood
     | WORD OPERATOR value                 -> comparison
     | STRING OPERATOR value               -> comparison
value: WORD+ | STRING

OPERATOR: "<=" | ">=" | "!=" | "==" | "=" | "<" | ">" | "~" | "≤" | "≥" | "≠"
STRING: /"([^"\\]|\\.)*"|'([^'\\]|\\.)*'/
WORD: /[^\s,()"'<>=!~≤≥≠][^\s,()"<>=!~≤≥≠]*/
%ignore /\s+/
"""
# What a person is told instead of the names of terminals; in this order.
_WORDS = {
    "WORD": "a mood or a field",
    "OPERATOR": "a comparison such as > or =",
    "NOT": '"not"',
    "LPAR": '"("',
    "COMMA": '","',
    "AND": '"and"',
    "OR": '"or"',
    "RPAR": '")"',
    "$END": "the end",
}
_SAME = {"==": "=", "≤": "<=", "≥": ">=", "≠": "!="}


class QueryError(UsageError):
    """A query that cannot be understood: the sentence names the position of the fault, and what is expected.

    text: of the query.  at: index of the fault in it.
    """

    def __init__(self, text: str, at: int, sentence: str):
        super().__init__(f"{sentence} (at character {at + 1} of the query).")
        self.text, self.at = text, at

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.text, self.at, str(self).rpartition(" (at")[0])

    def pointer(self) -> str:
        """Two lines: the query, and a mark under the fault."""
        return f"{self.text}\n{' ' * self.at}^"


@dataclass(frozen=True)
class All:
    """All of the parts hold."""

    parts: "tuple[Node, ...]"


@dataclass(frozen=True)
class Any_:
    """At least one of the parts holds."""

    parts: "tuple[Node, ...]"


@dataclass(frozen=True)
class Not:
    """The part does not hold."""

    part: "Node"


@dataclass(frozen=True)
class Mood:
    """A word alone.  at: its index in the query."""

    name: str
    at: int


@dataclass(frozen=True)
class Comparison:
    """A field, an operator (= != < <= > >= ~) and a value, with the indices of field and value in the query."""

    name: str
    operator: str
    value: str
    at: int
    value_at: int


Node = All | Any_ | Not | Mood | Comparison


def parse(text: str) -> Node:
    """The tree of a query. Raises: QueryError."""
    from lark.exceptions import UnexpectedInput

    try:
        return _node(_parser().parse(text))
    except UnexpectedInput as error:
        raise _explained(text, error) from None


def _explained(text: str, error: "UnexpectedInput") -> QueryError:
    """What the parser found, and what it could have taken, in words."""
    from lark.exceptions import UnexpectedCharacters, UnexpectedToken

    at = len(text) if error.pos_in_stream is None else error.pos_in_stream
    expected: set[str] = set()
    if isinstance(error, UnexpectedToken):
        expected = error.accepts or error.expected
        at = len(text) if error.token.type == "$END" else at
    elif isinstance(error, UnexpectedCharacters):
        if text[at] in "'\"":
            return QueryError(text, at, "a quote is not closed")
        expected = error.allowed or set()
    words = [word for name, word in _WORDS.items() if name in expected]
    if "WORD" in expected and "LPAR" not in expected:  # after a comparison, or inside a value
        words = words[1:] if "COMMA" in expected else ["a value"]
    rest = text[at:].split()
    found = f'there is "{rest[0].strip(chr(34))}"' if rest else "the query ends"
    return QueryError(text, at, found + (f", where {_either(words)} is expected" if words else ""))


@cache
def _parser() -> "Lark":
    from lark import Lark

    return Lark(GRAMMAR, parser="lalr", maybe_placeholders=False)


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _node(tree: Any) -> Node:
    children = tree.children
    if tree.data == "mood":
        return Mood(_unquoted(children[0]), children[0].start_pos)
    if tree.data == "comparison":
        field, operator, value = children
        words = value.children
        text = _unquoted(words[0]) if len(words) == 1 else " ".join(words)
        sign = _SAME.get(str(operator), str(operator))
        return Comparison(_unquoted(field), sign, text, field.start_pos, words[0].start_pos)
    parts = tuple(map(_node, children))
    if tree.data == "negated":
        return Not(parts[0])
    return All(parts) if tree.data == "all" else Any_(parts)


def _unquoted(token: "Token") -> str:
    if token.type != "STRING":
        return str(token)
    letters = iter(token[1:-1])
    return "".join(next(letters) if letter == "\\" else letter for letter in letters)
