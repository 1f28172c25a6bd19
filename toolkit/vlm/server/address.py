"""The name of a model behind a server: ``api:http://localhost:8000/v1#model``, with options behind a question mark."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, fields
from urllib.parse import parse_qsl, urlsplit

PREFIX = "api:"
EXAMPLE = "api:http://localhost:8000/v1#Qwen/Qwen2.5-VL-3B-Instruct"


@dataclass(frozen=True)
class Address:
    """A model behind a server, and how it is asked.

    Attributes:
        url: The server's address up to its version, such as ``http://localhost:8000/v1``.
        model: What the server calls the model.
        top_logprobs: k, how many log-probabilities of the first token are asked for.
        concurrency: Requests that are open at the same time, at most.
        timeout: Seconds until a silent server counts as one that does not answer.
        tries: How often a request is sent before it is given up.
    """

    url: str
    model: str
    top_logprobs: int = 20
    concurrency: int = 4
    timeout: int = 60
    tries: int = 5

    @property
    def host(self) -> str:
        """Host and port."""
        return urlsplit(self.url).netloc

    @property
    def is_here(self) -> bool:
        """Whether the server runs on this machine, so that no image leaves it."""
        name = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return name == "localhost"


OPTIONS = tuple(f.name for f in fields(Address))[2:]


def is_server(name: object) -> bool:
    """Whether a model's name is that of one behind a server."""
    return isinstance(name, str) and name.startswith(PREFIX)


def parse_address(name: str) -> Address:
    """The server and the model that a name stands for.

    Raises:
        ValueError: It is no such name, holds a user, a password or a key, or an option that does not exist.

    Example:
        >>> found = parse_address("api:http://localhost:8000/v1?top_logprobs=5#llava")
        >>> found.url, found.model, found.top_logprobs
        ('http://localhost:8000/v1', 'llava', 5)
    """
    parts = urlsplit(name.removeprefix(PREFIX))
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"the name of the model at {parts.hostname} holds a user or a password; take it out")
    if not is_server(name) or parts.scheme not in ("http", "https") or not parts.hostname or not parts.fragment:
        raise ValueError(
            f"{name!r} does not name a model behind a server; expected {PREFIX}ADDRESS#MODEL, such as {EXAMPLE}"
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := [option for option in options if option not in OPTIONS]:
        raise ValueError(
            f"the name of the model at {parts.hostname} has the option {unknown[0]!r}; known: {', '.join(OPTIONS)} "
            "(a key never stands in a name, but in an environment variable)"
        )
    for option, value in options.items():
        if not value.isdecimal() or int(value) < 1:
            raise ValueError(f"{name!r}: {option} is {value!r}; expected a whole number of at least 1")
    url = parts._replace(query="", fragment="").geturl().rstrip("/")
    return Address(url, parts.fragment, **{option: int(value) for option, value in options.items()})
