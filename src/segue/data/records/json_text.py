"""The objects of a JSON text, decoded one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from segue.errors import InputError

Object = dict[str, Any]
MAX_OBJECT: Final = 1 << 23
"""Most characters of one record; a larger object has the records below one of its keys."""
MAX_DEPTH: Final = 3
"""Most nested objects above the array of the records."""
_BLANK: Final = re.compile(r"[\s,]*")
_SPACE: Final = re.compile(r"\s*")
_SURPLUS_COMMA: Final = re.compile(r'("(?:[^"\\]|\\.)*(?:"|\\?\Z))|,(?=\s*[}\]])', re.DOTALL)
"""A string, which may continue in the next piece, or a comma before a closing bracket."""
_ADVICE: Final = "mend the file there, or download it again"


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
        """Return the next character after what `skipped` matches; '' at the end."""
        while True:
            match = skipped.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, character: str) -> None:
        """Skip the next character, which must be `character`."""
        if self.peek() != character:
            raise self.wrong(f"'{character}' is missing")
        self._at += 1

    def value(self) -> Any:
        """Return the next value, numbers as written.

        Raises:
            InputError: invalid JSON, or the text ends inside the value.
        """
        value = self.small_value()
        if value is None:
            raise self.wrong(f"a value of more than {MAX_OBJECT >> 20} million characters")
        return value[0]

    def small_value(self) -> tuple[Any] | None:
        """Return the next value; None, without moving on, for an object larger than MAX_OBJECT."""
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
                raise self.wrong("values are nested too deeply") from error
            else:
                if end == len(self._text) and self._more():  # a number may continue in the next piece
                    continue
                self._at = end
                return (value,)

    def wrong(self, what: str, at: int | None = None) -> InputError:
        """Return the error for `what` at index `at` (default: the current one)."""
        byte = self._passed + len(self._text[: self._at if at is None else at].encode("utf-8", "surrogatepass"))
        return InputError(f"{self.name}: invalid JSON in record {self.num_objects + 1}, byte {byte}: {what}; {_ADVICE}")

    def _undecodable(self, error: json.JSONDecodeError) -> InputError:
        cut = error.pos >= len(self._text.rstrip()) or error.msg.startswith("Unterminated")
        return self.wrong("the file ends inside a value" if cut else error.msg, error.pos)

    def _mend(self) -> bool:
        """Return whether the buffered text had commas before closing brackets; they are removed once per piece."""
        if self._mended:
            return False
        unread = self._text[self._at :]
        mended = _SURPLUS_COMMA.sub(lambda match: match[1] or " ", unread)
        self._text, self._mended = self._text[: self._at] + mended, True
        return mended != unread

    def _more(self) -> bool:
        """Return whether more text was read; text before the current index is dropped."""
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
            raise InputError(f"{self.name}: byte {byte} is not UTF-8; save the file as UTF-8") from error
        self._passed += len(self._text[: self._at].encode("utf-8", "surrogatepass"))
        self._text, self._at, self._tail = self._text[self._at :] + text, 0, data[whole:]
        self._mended = False
        return not self._ended or bool(text)


def _whole_characters(data: bytes) -> int:
    """Return the number of bytes of `data` without a character that its end cuts."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            size = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) - back if back < size else len(data)
        if byte < 0x80:
            break
    return len(data)


def objects_of(text: JsonText) -> Iterator[Object]:
    """Yield the records of a text: an array of objects, objects one after the other (with or without commas), an
    object with the array below a key, or several such objects.

    An object contains records if it has an array of objects, directly or in a nested object, and no text or number
    beside it. The only object of a file may have text and numbers, too. The first such array counts.

    Raises:
        InputError: invalid JSON, a text that ends early, or values that are not objects.
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
    """Yield the records of an array after its opening bracket."""
    while (character := text.peek(_BLANK)) != "]":
        if character == "":
            raise text.wrong("the file ends before its array does (']' is missing)")
        yield from _element(text, False)
    text.take("]")


def _element(text: JsonText, first: bool) -> Iterator[Object]:
    """Yield the next record, or the records in the next object."""
    if text.peek() != "{":
        raise text.wrong("an object is expected ('{')")
    decoded = text.small_value()
    if decoded is None:
        yield from _in_large_object(text, MAX_DEPTH, text.num_objects)
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
    """Return the first array of objects inside an object, an empty array if there is no other, or None."""
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


def _in_large_object(text: JsonText, depth: int, before: int) -> Iterator[Object]:
    """Yield the records of the first array of objects in a large object; `before` = number of records above it."""
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
            yield from _in_large_object(text, depth - 1, before)
        else:
            text.value()
    text.take("}")


def _passed(text: JsonText) -> Iterator[Object]:
    """Skip the values of an array after its opening bracket."""
    while text.peek(_BLANK) != "]":
        text.value()
    text.take("]")
    yield from ()
