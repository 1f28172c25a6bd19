"""Ask a server for the log-probabilities of an answer's first token: bounded in number, patient, and discreet.

The key is read from ``$SYNERGY_TOOLKIT_API_KEY`` when a request is sent. It is kept nowhere, and cut out of whatever a
server answers.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from http.client import HTTPException
from itertools import islice
from typing import Any, TypeAlias
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

import numpy as np

from toolkit.vlm.server.address import Address
from toolkit.vlm.thoughts import OPEN

KEY_VARIABLE = "SYNERGY_TOOLKIT_API_KEY"
FIRST_PAUSE = 0.5
"""Seconds before the second try; each further pause is twice as long, and at least what the server asks for."""

LONGEST_PAUSE = 60.0
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""HTTP statuses of a server that may answer later."""

Body: TypeAlias = Mapping[str, Any]
TopTokens: TypeAlias = dict[str, float]
"""Log-probability by token, of the most probable first tokens of an answer."""


class ServerError(RuntimeError):
    """A server that does not answer, or not with what was asked for; the message says how to mend it."""


class NotConfirmedError(RuntimeError):
    """An image would leave this machine, and nobody has agreed to it."""


class _NoRedirects(HTTPRedirectHandler):
    """A redirected request would carry the key and the image to a host that nobody named."""

    def redirect_request(self, *args: object, **more: object) -> None:
        """Follow no redirect: it is then an error, like any other status."""


class ChatClient:
    """The connection to one model.

    Args:
        address: Where it is, and how it is asked.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self.n_requests = 0
        self._opener = build_opener(_NoRedirects, *([ProxyHandler({})] if address.is_here else []))

    def top_tokens(self, bodies: Sequence[Callable[[], Body]]) -> Iterator[tuple[int, TopTokens]]:
        """The most probable first tokens of several answers, as they arrive, each with the number of its request.

        Args:
            bodies: What makes each request, so that no more exist at the same time than are open.

        Raises:
            ServerError: As ``post``, once what was under way has arrived; nothing more is sent.
        """
        waiting = iter(enumerate(bodies))
        with ThreadPoolExecutor(self.address.concurrency) as pool:
            asked: dict[Future[TopTokens], int] = {}
            failure: BaseException | None = None
            while True:
                free = self.address.concurrency - len(asked) if failure is None else 0
                asked |= {pool.submit(self._ask, make): i for i, make in islice(waiting, free)}
                if not asked:
                    break
                for future in wait(asked, return_when=FIRST_COMPLETED).done:
                    number, failed = asked.pop(future), future.exception()
                    failure = failure or failed
                    if failed is None:
                        yield number, future.result()
        if failure is not None:
            raise failure

    def _ask(self, make: Callable[[], Body]) -> TopTokens:
        k = self.address.top_logprobs
        answer = self.post({**make(), "max_tokens": 1, "temperature": 1, "logprobs": True, "top_logprobs": k})
        found: TopTokens = {}
        for one in self.written(answer)[0]["top_logprobs"]:
            token = str(one["token"]).replace("▁", " ").replace("Ġ", " ")
            found[token] = float(np.logaddexp(found.get(token, -np.inf), one["logprob"]))
        # Some servers append the token that they drew, whatever its probability.
        return dict(sorted(found.items(), key=lambda item: -item[1])[:k])

    def written(self, answer: Any) -> list[Any]:
        """The tokens of an answer, at least one, with their log-probabilities.

        Raises:
            ServerError: The server gives none, or those of thoughts.
        """
        try:
            tokens = answer["choices"][0]["logprobs"]["content"]
            first = max((one["logprob"], one["token"]) for one in tokens[0]["top_logprobs"])[1]
            message = answer["choices"][0].get("message") or {}
        except (KeyError, IndexError, TypeError):
            raise ServerError(
                f"{self.address.host} gives no log-probabilities of {self.address.model!r}, without which nothing can "
                "be measured; take a server that does (vLLM, llama.cpp), and an instruct model that answers at once"
            ) from None
        if str(first).strip() == OPEN or message.get("reasoning_content") or message.get("reasoning"):
            raise ServerError(
                f"{self.address.model!r} at {self.address.host} thinks before it answers, and the log-probabilities of "
                "its thoughts are not those of an answer; switch them off where the server is started (vLLM: "
                """--default-chat-template-kwargs '{"enable_thinking": false}', llama.cpp: --reasoning-budget 0), """
                "or take an instruct model that answers at once"
            )
        return list(tokens)

    def post(self, body: Body) -> Any:
        """Send one request, again where the server may answer later.

        Raises:
            ServerError: It refuses, does not answer, or answers with something else than JSON.
        """
        address, reason, pause = self.address, "", FIRST_PAUSE
        data = json.dumps({"model": address.model, **body}).encode()
        for number in range(address.tries):
            if number:
                time.sleep(min(pause, LONGEST_PAUSE))
                pause = FIRST_PAUSE * 2**number
            try:
                return self._send(data)
            except HTTPError as error:
                with error:
                    said = self._discreet(error.read(2000).decode(errors="replace"))
                reason = f"HTTP status {error.code}: {said}"
                if error.code not in _PASSING:
                    raise ServerError(
                        f"{address.host} refuses to be asked ({reason}); {self._cure(error.code)}"
                    ) from None
                pause = max(pause, _seconds(error.headers.get("Retry-After")))
            except json.JSONDecodeError:
                raise ServerError(
                    f"{address.host} answers with something that is no JSON; give its address up to the version, "
                    "such as http://localhost:8000/v1"
                ) from None
            except (OSError, HTTPException) as error:
                reason = self._discreet(str(getattr(error, "reason", error)) or type(error).__name__)
                if isinstance(error, TimeoutError) or "timed out" in reason:
                    reason = f"no answer within {address.timeout} s; timeout=SECONDS in the name waits longer"
        raise ServerError(
            f"{address.host} did not answer in {address.tries} tries ({reason}); what it answered so far is kept: "
            "start it, and the same call goes on"
        )

    def _send(self, data: bytes) -> Any:
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY_VARIABLE):
            headers["Authorization"] = f"Bearer {key}"
        request = Request(f"{self.address.url}/chat/completions", data, headers)
        self.n_requests += 1
        with self._opener.open(request, timeout=self.address.timeout) as response:
            return json.loads(response.read())

    def _cure(self, status: int) -> str:
        if status in (401, 403):
            return f"set ${KEY_VARIABLE} to a key that it takes"
        if status == 404:
            return f"check the address {self.address.url} and the model {self.address.model!r}"
        return (
            f"it may serve no images, or fewer than {self.address.top_logprobs} log-probabilities: name a model that "
            "sees, or write ?top_logprobs=5 before the # of the name"
        )

    def _discreet(self, text: str) -> str:
        """One line of what a server says, without the key."""
        key = os.environ.get(KEY_VARIABLE)
        return " ".join((text.replace(key, "(the key)") if key else text).split())[:200]


def _seconds(text: str | None) -> float:
    """What a server asks to wait; 0 where it does not say, or names a date."""
    return float(text) if text and text.replace(".", "", 1).isdecimal() else 0.0
