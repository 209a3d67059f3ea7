"""A function's process and the runtime interface from which it requests events, with the times of its requests.

AWS's emulator does not report such times. This is only the same interface (`Lambda developer guide,
runtime API`).
"""

import contextlib
import json
import os
import queue
import signal
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from measure.programs import KEPT
from measure.servers import ACCOUNT, CREDENTIALS, REGION
from measure.wire import listen, read

#: How long an answer may take before the benchmark fails.
PATIENCE_SECONDS = 60


@dataclass
class Answer:
    """A function's answer, and the seconds from passing the event to the answer."""

    body: object
    seconds: float
    #: When the event was passed, by `time.monotonic()`.
    began: float


class Function:
    """A process that runs a function. As a context manager, it ends the process."""

    def __init__(self, command: list[str | Path], environment: dict[str, str], log: str):
        self._events: queue.Queue[bytes] = queue.Queue()
        self._answers: queue.Queue[Answer] = queue.Queue()
        self._first_next = threading.Event()
        self._listener, port = listen(self._converse)
        environment = {
            "PATH": os.environ["PATH"],
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
            "AWS_LAMBDA_FUNCTION_NAME": "benchmark",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            "AWS_LAMBDA_LOG_GROUP_NAME": "benchmark",
            "AWS_LAMBDA_LOG_STREAM_NAME": "benchmark",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            **CREDENTIALS,
            **environment,
        }
        KEPT.mkdir(parents=True, exist_ok=True)
        log_file = str(KEPT / f"{log}.log")
        out = (os.POSIX_SPAWN_OPEN, 1, log_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self.log = Path(log_file)
        self.spawned = time.monotonic()
        self.pid = os.posix_spawn(
            str(command[0]),
            [str(part) for part in command],
            environment,
            file_actions=[out, (os.POSIX_SPAWN_DUP2, 1, 2)],
        )

    def __enter__(self) -> "Function":
        return self

    def __exit__(self, *_) -> None:
        self._listener.close()
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def init_seconds(self) -> float:
        """The time from the spawn to the function's first request for an event."""
        if not self._first_next.wait(PATIENCE_SECONDS):
            raise RuntimeError(f"the function never asked for an event:\n{self.log.read_text()}")
        return self._ready - self.spawned

    def invoke(self, payload: object) -> Answer:
        """Passes an event and waits for the answer."""
        self._events.put(json.dumps(payload).encode())
        try:
            return self._answers.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            raise RuntimeError(f"the function does not answer:\n{self.log.read_text()}") from None

    def peak_memory_mib(self) -> float:
        """The peak memory of the process so far."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("the process has no VmHWM")

    def processor_seconds(self) -> float:
        """The process's user and system time so far, to the hundredth of a second."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _converse(self, connection: socket.socket) -> None:
        # The function is killed during its request for the next event.
        with connection, contextlib.suppress(ConnectionError), connection.makefile("rb") as requests:
            while request := read(requests):
                arrived = time.monotonic()
                head, body = request
                path = head.split()[1]
                if path.endswith(b"/next"):
                    self._hand_over(connection, arrived)
                    continue
                if path.endswith((b"/response", b"/error")):
                    self._answers.put(Answer(json.loads(body), arrived - self._began, self._began))
                connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

    def _hand_over(self, connection: socket.socket, arrived: float) -> None:
        if not self._first_next.is_set():
            self._ready = arrived
            self._first_next.set()
        event = self._events.get()
        deadline_ms = int((time.time() + PATIENCE_SECONDS) * 1000)
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            "Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n"
            f"Lambda-Runtime-Deadline-Ms: {deadline_ms}\r\n"
            f"Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:{REGION}:{ACCOUNT}:function:benchmark\r\n"
            f"Content-Length: {len(event)}\r\n\r\n"
        )
        self._began = time.monotonic()
        connection.sendall(head.encode() + event)
