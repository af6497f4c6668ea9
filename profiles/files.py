"""Read and write the planner's JSON documents; every failure is one plain line."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from planner.errors import BadInputError

MAX_DOCUMENT_BYTES = 64 * 2**20
_SHOWN_CHARACTERS = 60  # of a value that was found
_LONG_NUMBER = re.compile(r"[0-9]{16,}")
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)
_EXACT_INTEGERS = 2**53  # a float beyond may not be the integer that was written

Document = TypeVar("Document", bound=BaseModel)
Location = tuple[int | str, ...]


def read_document(
    source: str | os.PathLike[str] | bytes, model_type: type[Document], *, what: str
) -> Document:
    """Read and validate a JSON document.

    Parameters
    ----------
    source : path or bytes
        A file, or the content of one (an upload).
    model_type : type of pydantic.BaseModel
        What the document must describe.
    what : str
        For the message: ``cluster``; with bytes, say the upload's name here.

    Raises
    ------
    BadInputError
        The file cannot be read, is no UTF-8 JSON of finite numbers with distinct keys and sane
        depth, or does not describe what it should. One line: file, field, found, allowed.
    """
    label = one_line(what if isinstance(source, bytes) else f"{what} {os.fspath(source)}")
    content = source if isinstance(source, bytes) else read_file(Path(source), label)
    if len(content) > MAX_DOCUMENT_BYTES:
        raise too_large(label, MAX_DOCUMENT_BYTES)
    try:
        data = _parsed(content)
        _check_version(data, model_type)
        # Strict: "3" is no number and true is no 1. From JSON, so that a list may be a tuple.
        return model_type.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        raise BadInputError(f"{label}: {first_problem(error, model_type)}") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise BadInputError(f"{label}: {one_line(str(error))}") from error
    except RecursionError as error:
        raise BadInputError(f"{label}: is nested too deeply for any document of ours") from error


def made(model_type: type[Document], given: Mapping[str, Any], what: str) -> Document:
    """What some fields by name describe.

    Raises
    ------
    BadInputError
        One line: a field that is none, or a value that cannot be.
    """
    try:
        return model_type.model_validate(given)
    except ValidationError as error:
        raise BadInputError(f"{what}: {first_problem(error, model_type)}") from error


def read_one_of(
    path: Path,
    by_key: Mapping[str, type[BaseModel]],
    otherwise: type[BaseModel] | None = None,
    *,
    what: str = "document",
) -> BaseModel:
    """Read a JSON document that may be of several kinds.

    Parameters
    ----------
    path : Path
    by_key : mapping of str to type of pydantic.BaseModel
        What a document with a key of that name describes; the first one that it has counts.
    otherwise : type of pydantic.BaseModel, optional
        What a document with none of these keys describes.
    what : str
        As for `read_document`.

    Raises
    ------
    BadInputError
        As `read_document`; or the document has none of these keys and describes nothing else.
    """
    content = read_file(path, one_line(f"{what} {path}"))
    try:
        found = _parsed(content)
    except (TypeError, ValueError, OverflowError, RecursionError):
        found = {}  # `read_document` says what is wrong
    keys = found if isinstance(found, dict) else {}
    kind = next((kind for key, kind in by_key.items() if key in keys), otherwise)
    if otherwise is not None and kind is otherwise and "schema_version" in keys:
        raise BadInputError(
            f"{one_line(f'{what} {path}')}: is another document of ours: has none of the keys "
            f"{', '.join(by_key)}"
        )
    if kind is None and keys:
        raise BadInputError(
            f"{one_line(os.fspath(path))}: has none of the keys {', '.join(by_key)}, one of "
            "which every document of ours has"
        )
    return read_document(path, kind or next(iter(by_key.values())), what=what)


def read_text(path: Path, *, what: str) -> str:
    """Read a UTF-8 text file of a size that is read at all.

    Raises
    ------
    BadInputError
        It cannot be read, is no UTF-8, or is too large.
    """
    label = one_line(f"{what} {path}")
    content = read_file(path, label)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInputError(f"{label}: is no UTF-8 text") from error


def read_file(path: Path, label: str, most_bytes: int | None = None) -> bytes:
    """Read a file of a stranger's whole.

    Parameters
    ----------
    path : Path
    label : str
        What the messages begin with, in printable characters.
    most_bytes : int, optional
        By default what a document may have.

    Raises
    ------
    BadInputError
        As `opened`; or it is too large.
    """
    most = MAX_DOCUMENT_BYTES if most_bytes is None else most_bytes
    with opened(path, label) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise too_large(label, most)
    return content


def read_head(path: Path, label: str, most_bytes: int) -> bytes:
    """Read so many bytes of a stranger's file, or all of a shorter one.

    Raises
    ------
    BadInputError
        As `opened`.
    """
    with opened(path, label) as file:
        return file.read(most_bytes)


@contextmanager
def opened(path: Path, label: str) -> Iterator[BinaryIO]:
    """Open a file of a stranger's; a pipe or a device, which may never end, is none.

    Raises
    ------
    BadInputError
        There is no such file, or it cannot be read.
    """
    try:
        # whoever opens a pipe otherwise waits for its writer
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | _AT_ONCE)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise IsADirectoryError
            yield file
    except FileNotFoundError as error:
        raise BadInputError(f"{label}: no such file") from error
    except IsADirectoryError as error:
        raise BadInputError(f"{label}: is a folder or a device; name a file") from error
    except (OSError, ValueError) as error:
        raise BadInputError(f"{label}: cannot be read: {reason_of(error)}") from error


def check_file(path: Path, label: str) -> None:
    """Refuse what is no file, for libraries that would wait for a pipe's writer.

    Raises
    ------
    BadInputError
        As `opened`.
    """
    with opened(path, label):
        pass


def too_large(label: str, most_bytes: int) -> BadInputError:
    """What is said of a file that is larger than what is read."""
    return BadInputError(
        f"{label}: is larger than {most_bytes / 2**20:.3g} MiB, the most that is read"
    )


def document_text(document: BaseModel) -> str:
    """JSON with one line per field, and one per item where a field lists objects."""
    lines = []
    for key, value in document.model_dump(mode="json").items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            items = ",\n".join(f"  {_compact(item)}" for item in value)
            lines.append(f" {_compact(key)}: [\n{items}\n ]")
        else:
            lines.append(f" {_compact(key)}: {_compact(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file whole or not at all; a link keeps pointing where it did.

    Raises
    ------
    BadInputError
        The path is no place for a file: its folder is missing or read-only, the disk is full.
    """
    data = content.encode() if isinstance(content, str) else content
    with _beside(path) as (temporary, target):
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Refuse before any work what could not be written after it.

    Raises
    ------
    BadInputError
        As `write_atomically`.
    """
    with _beside(path) as (temporary, _):
        open(temporary, "xb").close()
        temporary.unlink()


def check_folder(path: Path, label: str) -> None:
    """Refuse before any work a folder that could not be made, or written into, after it.

    Nothing is made: a command that fails leaves no empty folder behind.

    Raises
    ------
    BadInputError
    """
    there = Path(os.path.abspath(path))
    try:
        while not _exists(there):
            there = there.parent
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{one_line(there.name)} is no folder")
        with tempfile.TemporaryFile(dir=there):
            pass
    except (OSError, ValueError) as error:
        raise _no_folder(label, error) from error


def make_folder(path: Path, label: str) -> None:
    """Make a folder, and those that it is in, where it is missing.

    Raises
    ------
    BadInputError
        It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise _no_folder(label, error) from error


def _no_folder(label: str, error: OSError | ValueError) -> BadInputError:
    return BadInputError(f"{label}: cannot be made or written into: {reason_of(error)}")


def _exists(path: Path) -> bool:
    """Whether there is anything of that name, a link that leads nowhere included."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def is_same_file(path: Path, other: Path) -> bool:
    """Whether both are there and lead to one file."""
    try:
        return path.samefile(other)
    except (OSError, ValueError):
        return False


@contextmanager
def _beside(path: str | os.PathLike[str]) -> Iterator[tuple[Path, Path]]:
    """A name for a file until it is whole, and the one that it gets then."""
    label = one_line(os.fspath(path))
    try:
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            raise BadInputError(f"{label}: is a folder or a device; name a file to write")
        temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
        try:
            yield temporary, target
        except BaseException:
            with suppress(OSError):  # the first failure is the one to tell
                temporary.unlink()
            raise
    except (OSError, ValueError) as error:
        raise BadInputError(f"{label}: cannot be written: {reason_of(error)}") from error


def first_problem(error: ValidationError, model_type: type[BaseModel]) -> str:
    """Say the first of a validation's problems: field, what was found, what is allowed."""
    problems = error.errors(include_url=False)
    first = problems[0]
    location = first["loc"]
    where = f"{field_path(location)}: " if location else ""
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        text = "is missing"
    elif first["type"] == "extra_forbidden":
        text = f"no such field; {allowed_names(str(location[-1]), _fields(model_type, location))}"
    elif first["type"] == "value_error":
        text = message
    elif first["type"] == "json_invalid":  # parsed once already: a lone surrogate, deep nesting
        reason = first["ctx"]["error"].partition(" at line")[0]
        text = f"holds broken text or is nested too deeply: {reason}"
    else:
        allowed = _LONG_NUMBER.sub(lambda digits: f"{float(digits[0]):g}", message)
        text = f"found {_shown(first['input'])}; {allowed[:1].lower()}{allowed[1:]}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return one_line(f"{where}{text}{more}")


def allowed_names(name: str, allowed: Iterable[str]) -> str:
    """Say the nearest match, if any, and all names that are allowed."""
    names = list(allowed)
    near = get_close_matches(name, names, n=1)
    question = f"did you mean {near[0]!r}? " if near else ""
    return f"{question}there are {', '.join(names)}"


def one_line(text: str) -> str:
    """The text with line breaks and other characters that do not print escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def field_path(location: Location) -> str:
    """``("nodes", 0, "name")`` as ``nodes[0].name``."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def reason_of(error: OSError | ValueError) -> str:
    """Why the system refused, without the path."""
    return one_line(getattr(error, "strerror", None) or str(error))


def _parsed(content: bytes) -> Any:
    """The JSON value.

    Raises
    ------
    ValueError
        With a message that says where and what.
    """
    endless: list[str] = []

    def number(text: str) -> float | int:
        value = float(text)
        if not math.isfinite(value):
            endless.append(text)
        elif value.is_integer() and abs(value) < _EXACT_INTEGERS:
            return int(value)  # 8e9 is a fine number of bytes
        return value

    try:
        data = json.loads(
            content.decode("utf-8-sig"),
            parse_float=number,
            parse_constant=number,
            object_pairs_hook=_distinct,
        )
    except UnicodeDecodeError as error:
        raise ValueError(
            f"byte {error.start} is not UTF-8; a JSON file in UTF-8 is needed"
        ) from error
    except json.JSONDecodeError as error:
        raise ValueError(
            f"line {error.lineno}, column {error.colno} is not JSON: {error.msg}"
        ) from error
    if endless:
        raise ValueError(f"{_path_to_endless(data)}: found {endless[0]}; numbers must be finite")
    return data


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in fields if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is there twice in one object")
    return fields


def _path_to_endless(data: Any) -> str:
    """Where the first NaN or infinity of the value stands, in the document's order."""
    stack: list[tuple[Location, Any]] = [((), data)]
    while stack:
        location, value = stack.pop()
        if isinstance(value, float) and not math.isfinite(value):
            return field_path(location) or "the document"
        if isinstance(value, dict):
            stack += reversed([((*location, key), item) for key, item in value.items()])
        elif isinstance(value, list):
            stack += reversed([((*location, index), item) for index, item in enumerate(value)])
    raise AssertionError("unreachable: the parser saw one")


def _check_version(data: Any, model_type: type[BaseModel]) -> None:
    field = model_type.model_fields.get("schema_version")
    if field is None or not isinstance(data, dict):
        return
    version = data.get("schema_version")
    if isinstance(version, int) and not isinstance(version, bool) and version > field.default:
        required = (name for name, x in model_type.model_fields.items() if x.is_required())
        if (missing := next((name for name in required if name not in data), None)) is not None:
            raise ValueError(  # more likely a document of another kind than a newer one
                f"{missing}: is missing, and schema_version is {version}; this planner reads up to "
                f"{field.default}"
            )
        raise ValueError(
            f"schema_version: found {version}; this planner reads up to {field.default}, "
            "the document needs a newer one"
        )


def _fields(model_type: type[BaseModel], location: Location) -> list[str]:
    """Names of the fields beside the one at a location."""
    current = model_type
    for part in location[:-1]:
        if isinstance(part, str) and part in current.model_fields:
            current = _model_in(current.model_fields[part].annotation) or current
    return list(current.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in get_args(annotation))
    return next((model for model in found if model is not None), None)


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "an object"
    # what Python was given may be NaN, or no JSON at all
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    short = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
    return repr(short) if isinstance(value, str) else short


def _compact(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if text.isprintable():
        return text
    # A terminal that shows the file must not obey what a name holds.
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)
