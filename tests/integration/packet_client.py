"""The OpenAI SDK as a process of its own, for a network namespace of its own: load, and long streams.

Says {"ready": true} when every stream has begun and every other task has an answer; load ends when standard input does;
the last line is {"answered": n, "failures": [...], "streams": [tokens of each]}.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
from dataclasses import dataclass, field

import openai

KEY = "sk-dev-alpha"
TIMEOUT_S = 30.0


@dataclass
class Client:
    """What was asked for and what came of it."""

    options: argparse.Namespace
    trust: ssl.SSLContext
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    streams: list[int] = field(default_factory=list)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    begun: list[asyncio.Event] = field(default_factory=list)

    def sdk(self, url: str) -> openai.AsyncOpenAI:
        """One with connections of its own."""
        http = openai.DefaultAsyncHttpxClient(verify=self.trust)
        return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, http_client=http, max_retries=0, timeout=TIMEOUT_S)

    async def ask(self, sdk: openai.AsyncOpenAI, tokens: int, delay_ms: int, begun: asyncio.Event) -> int:
        """One streamed answer; how many tokens came."""
        text = f"!echo tokens={tokens} delay_ms={delay_ms}"
        stream = await sdk.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": text}], stream=True
        )
        count = 0
        async for chunk in stream:
            count += (chunk.choices[0].delta.content or "").count("tok") if chunk.choices else 0
            begun.set()
        return count

    async def load(self, url: str, begun: asyncio.Event) -> None:
        """Requests one after the other: two on a connection, then another connection."""
        while not self.stopping.is_set():
            async with self.sdk(url) as sdk:
                for _ in range(2):
                    await self.whole(sdk, 5, begun)

    async def keep(self, url: str, begun: asyncio.Event) -> None:
        """Requests one after the other, all on one connection."""
        async with self.sdk(url) as sdk:
            while not self.stopping.is_set():
                await self.whole(sdk, 25, begun)

    async def whole(self, sdk: openai.AsyncOpenAI, tokens: int, begun: asyncio.Event) -> None:
        """One request whose answer has to come to its end."""
        try:
            count = await self.ask(sdk, tokens, 2, begun)
        except openai.OpenAIError as error:
            self.failures.append(f"{sdk.base_url}: {error!r} {error.__cause__!r}")
            begun.set()
            return
        self.answered += 1
        if count != tokens:
            self.failures.append(f"{sdk.base_url}: cut after {count}")

    async def stream(self, url: str, begun: asyncio.Event) -> None:
        """One long answer."""
        async with self.sdk(url) as sdk:
            try:
                self.streams.append(await self.ask(sdk, self.options.tokens, self.options.delay_ms, begun))
            except openai.OpenAIError as error:
                self.failures.append(f"{url}: {error!r} {error.__cause__!r}")
                begun.set()

    async def run(self) -> None:
        """All of it."""
        given = self.options
        urls = given.url
        jobs = [self.load] * given.load + [self.keep] * given.keep + [self.stream] * given.streams
        self.begun = [asyncio.Event() for _ in jobs]
        tasks = [asyncio.create_task(job(urls[i % len(urls)], self.begun[i])) for i, job in enumerate(jobs)]
        for event in self.begun:
            await event.wait()
        print(json.dumps({"ready": True}), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        self.stopping.set()
        await asyncio.gather(*tasks)
        print(json.dumps({"answered": self.answered, "failures": self.failures, "streams": self.streams}), flush=True)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--url", action="append", required=True)
    parser.add_argument("--load", type=int, default=0)
    parser.add_argument("--keep", type=int, default=0)
    parser.add_argument("--streams", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--delay-ms", type=int, default=20)
    options = parser.parse_args()
    asyncio.run(Client(options, ssl.create_default_context(cafile=options.ca)).run())


if __name__ == "__main__":
    main()
