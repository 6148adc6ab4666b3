"""The objects of a JSON text, one by one: the text is never decoded as a whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from segue.errors import InputError

Object = dict[str, Any]
MAX_OBJECT: Final = 1 << 23
"""Characters of one record, at most; a larger object holds the records below one of its keys."""
MAX_DEPTH: Final = 3
"""Objects inside one another below which the array of the records may stand."""
_BLANK: Final = re.compile(r"[\s,]*")
_SPACE: Final = re.compile(r"\s*")
_SURPLUS_COMMA: Final = re.compile(r'("(?:[^"\\]|\\.)*(?:"|\\?\Z))|,(?=\s*[}\]])', re.DOTALL)
"""A string, which may go on in the next piece, or a comma before a closing bracket."""
_ADVICE: Final = "mend the file there, or fetch it again"


class JsonText:
    """A text that is read in pieces and decoded value by value."""

    def __init__(self, chunks: Iterator[bytes], name: str) -> None:
        self._chunks, self.name = chunks, name
        self._text, self._at, self._tail = "", 0, b""
        self._passed = 0
        self._ended = self._mended = False
        self.num_objects = 0
        """Objects decoded so far."""
        self._decoder = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str, strict=False)

    def peek(self, skipped: re.Pattern[str] = _SPACE) -> str:
        """Return the next character behind what `skipped` matches; '' at the end."""
        while True:
            match = skipped.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, character: str) -> None:
        """Pass the next character, which has to be this one."""
        if self.peek() != character:
            raise self.wrong(f"'{character}' is missing")
        self._at += 1

    def value(self) -> Any:
        """Return the next value, numbers as they are written.

        Raises:
            InputError: it is no JSON, or the text ends inside it.
        """
        value = self.small_value()
        if value is None:
            raise self.wrong(f"a value of more than {MAX_OBJECT >> 20} million characters")
        return value[0]

    def small_value(self) -> tuple[Any] | None:
        """Return the next value; None, and nothing is passed, where it is larger than a record can be."""
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._mend():
                    continue
                if len(self._text) - self._at > MAX_OBJECT and self._text[self._at] == "{":
                    return None
                if len(self._text) - self._at > MAX_OBJECT or not self._more():
                    raise self._undecodable(error) from error
            except RecursionError as error:
                raise self.wrong("values stand too deep inside one another") from error
            else:
                if end == len(self._text) and self._more():  # a number may go on in the next piece
                    continue
                self._at = end
                return (value,)

    def wrong(self, what: str, at: int | None = None) -> InputError:
        """Return the error that says what is wrong at this place."""
        byte = self._passed + len(self._text[: self._at if at is None else at].encode("utf-8", "surrogatepass"))
        return InputError(f"{self.name}: no JSON in record {self.num_objects + 1}, byte {byte}: {what}; {_ADVICE}")

    def _undecodable(self, error: json.JSONDecodeError) -> InputError:
        cut = error.pos >= len(self._text.rstrip()) or error.msg.startswith("Unterminated")
        return self.wrong("the file ends inside a value" if cut else error.msg, error.pos)

    def _mend(self) -> bool:
        """Take commas before a closing bracket out of the text at hand, once; return whether there were any."""
        if self._mended:
            return False
        rest = self._text[self._at :]
        mended = _SURPLUS_COMMA.sub(lambda match: match[1] or " ", rest)
        self._text, self._mended = self._text[: self._at] + mended, True
        return mended != rest

    def _more(self) -> bool:
        """Read on; what was passed is forgotten."""
        if self._ended:
            return False
        data = self._tail + next(self._chunks, b"")
        self._ended = len(data) == len(self._tail)
        if not data:
            return False
        whole = len(data) if self._ended else _whole_characters(data)
        try:
            text = data[:whole].decode("utf-8")
        except UnicodeDecodeError as error:
            byte = self._passed + len(self._text.encode("utf-8", "surrogatepass")) + error.start
            raise InputError(f"{self.name}: byte {byte} is no UTF-8; save the file as UTF-8") from error
        self._passed += len(self._text[: self._at].encode("utf-8", "surrogatepass"))
        self._text, self._at, self._tail = self._text[self._at :] + text, 0, data[whole:]
        self._mended = False
        return not self._ended or bool(text)


def _whole_characters(data: bytes) -> int:
    """Return the bytes of `data` without a character that its end cuts."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            size = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) - back if back < size else len(data)
        if byte < 0x80:
            break
    return len(data)


def objects_of(text: JsonText) -> Iterator[Object]:
    """Yield the records of a text: an array of objects, objects one after the other (with or without commas between
    them), an object that holds the array below a key, or several such objects.

    An object holds records where it has an array of objects, also inside another object, and no text or number beside
    it; where it is all that the file holds, it may have those, too. Its first such array counts.

    Raises:
        InputError: no JSON, a text that ends early, or values that are no objects.
    """
    num_values = 0
    while (character := text.peek(_BLANK)) != "":
        if character == "[":
            text.take("[")
            yield from _array(text)
        elif character == "]" and num_values:
            text.take("]")
        else:
            yield from _element(text, not num_values)
        num_values += 1


def _array(text: JsonText) -> Iterator[Object]:
    """Yield the records of an array whose bracket is passed, up to its end."""
    while (character := text.peek(_BLANK)) != "]":
        if character == "":
            raise text.wrong("the file ends before its array does (']' is missing)")
        yield from _element(text, False)
    text.take("]")


def _element(text: JsonText, first: bool) -> Iterator[Object]:
    """Yield the record that comes next, or the records of the object that comes next."""
    if text.peek() != "{":
        raise text.wrong("an object is expected ('{')")
    decoded = text.small_value()
    if decoded is None:
        yield from _held(text, MAX_DEPTH, text.num_objects)
        return
    value = decoded[0]
    array = _array_in(value, MAX_DEPTH)
    if any(isinstance(inner, str | bool) for inner in value.values()):
        alone = array is not None and len(array) > 1 and first and text.peek(_BLANK) == ""
        array = array if alone else None
    for record in [value] if array is None else array:
        text.num_objects += 1
        yield record


def _array_in(value: Object, depth: int) -> list[Object] | None:
    """Return the first array of objects inside an object, an empty array where there is only that, or None."""
    empty = None
    for inner in value.values():
        if isinstance(inner, list) and inner and all(isinstance(entry, dict) for entry in inner):
            return inner
        if isinstance(inner, list) and not inner:
            empty = inner
        elif isinstance(inner, dict) and depth:
            array = _array_in(inner, depth - 1)
            if array:
                return array
            empty = empty if array is None else array
    return empty


def _held(text: JsonText, depth: int, before: int) -> Iterator[Object]:
    """Yield the records of a large object, those of its first array of objects; `before` = records above it."""
    text.take("{")
    while text.peek(_BLANK) != "}":
        if not isinstance(text.value(), str):
            raise text.wrong("a key is expected")
        text.peek()
        text.take(":")
        character = text.peek()
        if character == "[":
            text.take("[")
            is_first = text.peek(_BLANK) == "{" and text.num_objects == before
            yield from _array(text) if is_first else _passed(text)
        elif character == "{" and depth:
            yield from _held(text, depth - 1, before)
        else:
            text.value()
    text.take("}")


def _passed(text: JsonText) -> Iterator[Object]:
    """Pass the values of an array whose bracket is passed."""
    while text.peek(_BLANK) != "]":
        text.value()
    text.take("]")
    yield from ()
