"""`host-worker`: builds health, engine, transport and slots; waits for a signal; drains."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from host_agent.worker.engines.base import Engine, Model
from host_agent.worker.health import HealthServer
from host_agent.worker.metrics import EngineMetrics, NativeCollector, text_of
from host_agent.worker.native import HostWorker
from host_agent.worker.options import Options, parse
from host_agent.worker.pool import Pool
from host_agent.worker.privileges import give_up
from host_agent.worker.scheduling import batch

ECHO_CONTEXT_TOKENS = 8192
JOIN_TIMEOUT_S = 2.0

log = logging.getLogger("host-worker")


class Worker:
    """The parts of one process, in the order in which they come up."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.registry = CollectorRegistry()
        self.stage = "loading the engine"
        self.native: HostWorker | None = None
        self.engine: Engine | None = None
        self.pool: Pool | None = None
        self.health = HealthServer(
            options.http, live=self.live, ready=self.ready, metrics=lambda: text_of(self.registry)
        )

    def start(self) -> None:
        """Loads the engine, then listens: a worker that answers HELLO can serve. Raises what engine and transport
        raise."""
        options = self.options
        self.engine = build_engine(options)
        models = self.engine.models() if self.engine else echo_models(options)
        with batch():
            self.native = HostWorker(
                name=options.name,
                listen=options.listen,
                key=options.key,
                engine=options.engine,
                slots=options.slots,
                models=[(m.name, m.digest, m.quantisation, m.context_tokens) for m in models],
                transport=options.transport,
            )
        self.registry.register(NativeCollector(self.native.metrics))
        if self.engine is not None:
            self.pool = Pool(self.native, self.engine, options.slots, EngineMetrics(self.registry))
            self.pool.start()
        self.stage = "ready"
        names = ", ".join(model.name for model in models)
        log.info("%s: %s serves %s on %s", options.name, options.engine, names, self.native.listening)

    def stop(self) -> int:
        """Drains, then takes everything down. Returns how many requests were cut."""
        self.stage = "draining"
        cut = self.native.drain(self.options.drain_timeout_ms) if self.native else 0
        if self.pool is not None:
            self.pool.close(JOIN_TIMEOUT_S)
        if self.engine is not None and not cut:
            self.engine.close()  # with requests cut, slots may still be inside the engine
        self.health.close()
        return cut

    def live(self) -> tuple[bool, dict[str, Any]]:
        """The process serves HTTP; that is all that liveness says."""
        return True, {"live": True, "stage": self.stage}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Ready between the first listen and SIGTERM; with the transport's own word beside it."""
        trouble = getattr(self.engine, "trouble", "")
        ready = self.stage == "ready" and not trouble
        explained: dict[str, Any] = {"ready": ready, "stage": self.stage, "worker": self.options.name}
        explained["engine"] = self.options.engine
        if trouble:
            explained["trouble"] = trouble
        if self.native is not None:
            explained |= {"listening": self.native.listening, "transport": json.loads(self.native.status())}
        return ready, explained


def build_engine(options: Options) -> Engine | None:
    """The engine by its name; None for echo. Imported here: each needs packages that the others do not."""
    if options.engine == "llama":
        from host_agent.worker.engines.llama import LlamaEngine, LlamaOptions

        return LlamaEngine(
            LlamaOptions(
                models={name: Path(file) for name, file in options.models.items()},
                slots=options.slots,
                context_tokens=options.context_tokens,
                threads=options.threads,
            )
        )
    if options.engine == "openai":
        from host_agent.worker.engines.openai import OpenAIEngine, OpenAIOptions

        return OpenAIEngine(
            OpenAIOptions(
                url=options.openai_url,
                models=options.models,
                slots=options.slots,
                api_key=options.openai_key,
                ca_file=options.openai_ca,
            )
        )
    return None


def echo_models(options: Options) -> list[Model]:
    """echo answers for whatever name it is told to announce, or for every name: "*" says so to fast paths."""
    names = list(options.models) or ["*"]
    return [Model(name=name, context_tokens=ECHO_CONTEXT_TOKENS) for name in names]


def wait_for_signal() -> None:
    """Returns at SIGTERM or SIGINT; the next one ends the process at once."""
    told = threading.Event()

    def note(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, note)
    told.wait()


def main(arguments: list[str] | None = None) -> int:
    """Entry point. 0 after a drain, 1 when it could not start."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        give_up()
        worker = Worker(options)
        worker.start()
    except Exception as error:
        log.error("%s cannot start: %s: %s", options.name, type(error).__name__, error)
        return 1
    wait_for_signal()
    log.info("%s: draining", options.name)
    cut = worker.stop()
    log.info("%s: stopped, %d requests cut", options.name, cut)
    return 0


if __name__ == "__main__":
    sys.exit(main())
