"""A scripted OpenAI-compatible server for the `openai` engine: what it streams is written out, odd spellings too."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# What a parser and a writer in between would change: trailing zeros, exponents, escapes, unknown fields, order.
LOGPROBS = (
    r'{"content":[{"token":"\u0048i","logprob":-0.10,"bytes":[72,105],'
    r'"top_logprobs":[{"token":"\u0048i","logprob":-1e-1,"bytes":null}]}],"refusal":null}'
)
CHAT = [
    r'[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}]',
    r'[{"index":1,"delta":{"role":"assistant","content":""},"finish_reason":null,"z":1.50,"a":2}]',
    r'[{"delta":{"content":"\u0048i"},"index":0,"logprobs":' + LOGPROBS + r',"finish_reason":null}]',
    r'[{"index":1,"delta":{"content":"na\u00efve \/ caf\u00e9 \ud83d\ude00"},"finish_reason":null}]',
    r'[{"index":0,"delta":{"reasoning_content":"hm"},"finish_reason":null},{"index":1,"delta":{"content":"!"}}]',
    r'[{"index":0,"delta":{},"finish_reason":"stop","stop_reason":null}]',
    r'[{"index":1,"delta":{},"finish_reason":"length"}]',
]
TOOLS = [
    r'[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_1","type":"function",'
    r'"function":{"name":"weather","arguments":""}}]},"finish_reason":null}]',
    r'[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\": "}}]},"finish_reason":null}]',
    r'[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"Z\u00fcrich\"}"}}]}}]',
    r'[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_2","type":"function",'
    r'"function":{"name":"time","arguments":"{}"}}]},"finish_reason":null}]',
    r'[{"index":0,"delta":{},"finish_reason":"tool_calls"}]',
]
JSON_TEXT = [
    r'[{"index":0,"delta":{"role":"assistant","content":"{\"colour\":"},"finish_reason":null}]',
    r'[{"index":0,"delta":{"content":"\"red\"}"},"finish_reason":"stop"}]',
]
USAGE = '{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13,"prompt_tokens_details":{"cached_tokens":2}}'
EMBEDDING = '[{"object":"embedding","index":0,"embedding":[0.10,-2.5e-3,1.0]}]'


class Upstream(ThreadingHTTPServer):
    """Remembers what it was asked; serves until `close`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        """For --openai-url."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def close(self) -> None:
        """Stops listening."""
        self.shutdown()
        self.server_close()
        self.thread.join()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Upstream

    def do_GET(self) -> None:
        self.whole('{"object":"list","data":[{"id":"chat","object":"model"},{"id":"words","object":"model"}]}')

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.path, headers, body))
        if self.path.endswith("/embeddings"):
            if body["model"] == "words":
                return self.whole('{"detail":"Not Found"}', 404)
            return self.whole(f'{{"object":"list","data": {EMBEDDING},"usage":{{"prompt_tokens":3}}}}')
        text = body["messages"][-1]["content"]
        if text.startswith("fault "):
            return self.fault(int(text.split()[1]), text)
        chosen = TOOLS if body.get("tools") else JSON_TEXT if body.get("response_format") else CHAT
        return self.stream(chosen)

    def fault(self, status: int, text: str) -> None:
        """A fault whose message quotes the prompt, as real servers do; 200: in the stream, and no JSON."""
        if status == 200:
            return self.stream([f"[{text}"])
        return self.whole(json.dumps({"error": {"message": f"cannot do {text}", "type": text, "code": text}}), status)

    def stream(self, chunks: list[str]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for choices in chunks:
            self.event(f'{{"id":"x","object":"chat.completion.chunk","choices":{choices},"model":"m"}}')
        self.event(f'{{"id":"x","choices":[],"usage":{USAGE}}}')
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def event(self, data: str) -> None:
        part = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))

    def whole(self, text: str, status: int = 200) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass
