"""An OpenAI-compatible server on this machine that serves an embedded model, and misbehaves on demand."""

from __future__ import annotations

import base64
import io
import json
import math
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

import numpy as np
from PIL import Image

from toolkit.datasets.sample import Sample
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.reference import plain_logits

Fault = Callable[[int, dict], tuple[int, dict, bytes] | None]
"""Of the number of a request and its headers: another answer (status, headers, body), or None."""


class ChatServer:
    """Serves ``vlm`` over loopback while it is entered.

    Attributes:
        asked: The body of every request.
        most_open: The largest number of requests that were open at the same time.
        fault: What it answers instead.
        pause: Seconds before every answer.
        spell: Rewrites a token, as another tokenizer would.
    """

    def __init__(self, vlm: LoadedVLM) -> None:
        self.vlm, self.asked, self.most_open = vlm, [], 0
        self.fault: Fault = lambda number, headers: None
        self.pause = 0.0
        self.spell: Callable[[str], str] = lambda token: token
        self._lock, self._model, self._open = threading.Lock(), threading.Lock(), 0

    def __enter__(self) -> ChatServer:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                owner.respond(self)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def name(self) -> str:
        """What ``load_vlm`` takes."""
        return f"api:http://127.0.0.1:{self._server.server_port}/v1#tiny"

    def respond(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self._lock:
            number = len(self.asked)
            self.asked.append(body)
            self._open += 1
            self.most_open = max(self.most_open, self._open)
        time.sleep(self.pause)
        status, headers, data = self.fault(number, dict(handler.headers)) or (200, {}, self._answer(body))
        with self._lock:
            self._open -= 1
        try:
            handler.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(data)
        except BrokenPipeError:
            pass  # nobody waited

    def _answer(self, body: dict) -> bytes:
        sent, text = body["messages"][0]["content"]
        image = Image.open(io.BytesIO(base64.b64decode(sent["image_url"]["url"].split(",")[1])))
        with self._model:
            view = self.vlm.view(Sample("sent", image, text["text"]))
            logits = plain_logits(self.vlm, view, view.pixels, np.ones(view.players.n_text, dtype=np.bool_), ())[-1]
        logs = logits.log_softmax(dim=-1)
        best = logs.topk(min(body["top_logprobs"], len(logs)))
        words = self.vlm.adapter.processor.tokenizer.convert_ids_to_tokens(best.indices.tolist())
        top = [
            {"token": self.spell(word), "logprob": value}
            for word, value in zip(words, best.values.tolist(), strict=True)
        ]
        assert all(math.isfinite(one["logprob"]) for one in top)
        content = [{**top[0], "top_logprobs": top}]
        message = {"role": "assistant", "content": top[0]["token"]}
        return json.dumps({"choices": [{"message": message, "logprobs": {"content": content}}]}).encode()
