"""`inferneo serve` for the scripts that measure or compare: from start to a clean exit."""

import json
import os
import re
import signal
import subprocess
import time

LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\S+ +(ERROR|WARN|INFO|DEBUG|TRACE) ")
START_LIMIT_S = 180
STOP_LIMIT_S = 60
MODEL = "minilm"


class Failure(Exception):
    """What went wrong, for the person at the terminal."""


def cores():
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))


class Refused(Failure):
    """The server ended with exit code 2: bad usage, configuration or model; `words` is its last message."""

    def __init__(self, words):
        super().__init__(f"the server refused to start: {words}")
        self.words = words


class Process:
    """`inferneo serve` on loopback with further flags; what it prints goes to NAME.log in `folder`."""

    def __init__(self, binary, flags, folder, name):
        self.name = name
        self.log = folder / f"{name}.log"
        self.ready_file = folder / f"{name}.ready.json"
        command = [str(binary), "serve", *map(str, flags), "--ready-file", str(self.ready_file)]
        command += ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def wait_until_ready(self):
        """Returns the data plane's URL."""
        return "http://" + self.addresses()["listen"]

    def addresses(self):
        """Returns what the ready file says; it appears once every model is warm."""
        limit = time.monotonic() + START_LIMIT_S
        while time.monotonic() < limit:
            code = self.process.poll()
            if code == 2:
                raise Refused(self.last_words())
            if code is not None:
                raise Failure(f"the server ended with code {code} before it was ready:\n{self.tail()}")
            try:
                return json.loads(self.ready_file.read_text(encoding="utf-8"))
            except (FileNotFoundError, json.JSONDecodeError):
                time.sleep(0.02)
        raise Failure(f"the server was not ready within {START_LIMIT_S} s:\n{self.tail()}")

    def stop(self):
        """Sends SIGTERM and waits for a clean exit."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"the server was still there {STOP_LIMIT_S} s after SIGTERM:\n{self.tail()}") from None
        if code != 0:
            raise Failure(f"the server exited with code {code} after SIGTERM:\n{self.tail()}")

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def last_words(self):
        """What was printed after the last line of the log proper: the message that ended the program."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        first = len(lines)
        while first > 0 and not LOG_LINE.match(lines[first - 1]):
            first -= 1
        return "\n".join(lines[first:])

    def tail(self, lines=20):
        text = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join("  | " + line for line in text[-lines:]) or "  | (no output)"


class Server(Process):
    """A server with the policies of a folder; `placement` is TOML for its `[[model]]`."""

    def __init__(self, arguments, folder, name, policies, placement="", model=MODEL):
        config = folder / f"{name}.toml"
        config.write_text(
            f"policies = {json.dumps(str(policies))}\nstate = {json.dumps(str(folder / 'state' / name))}\n"
            f"[onnxruntime]\nlibrary = {json.dumps(str(arguments.library.resolve()))}\n"
            f"[[model]]\nname = {json.dumps(model)}\npath = {json.dumps(str(arguments.model.resolve()))}\n{placement}",
            encoding="utf-8",
        )
        super().__init__(arguments.binary, ["--config", config], folder, name)


class Servers:
    """Started one after the other, so that each warms up undisturbed; none outlives the `with` block."""

    def __init__(self, arguments, folder):
        self.arguments, self.folder, self.started = arguments, folder, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self.started:
            server.kill()

    def start(self, *settings):
        """Starts one and returns its URL."""
        began = time.monotonic()
        server = Server(self.arguments, self.folder, *settings)
        self.started.append(server)
        address = server.wait_until_ready()
        print(f"started {server.name} in {time.monotonic() - began:.1f} s", flush=True)
        return address

    def start_alone(self):
        """Starts one server a way to run requests one at a time; returns (instances, threads, URL) of each."""
        policies = self.folder / "alone"
        policies.mkdir()
        (policies / "alone.toml").write_text("schema = 1\ndynamic_batching = false\n", encoding="utf-8")
        layouts = sorted({(cores(), 1), (1, cores())})
        settings = [(i, t, f"instances = {i}\nthreads = {t}\n") for i, t in layouts]
        return [(i, t, self.start(f"one-at-a-time-{i}x{t}", policies, placement)) for i, t, placement in settings]

    def stop(self):
        """Stops all; each must exit cleanly."""
        for server in self.started:
            server.stop()


def bench(arguments, folder, url, *flags, model=MODEL):
    """Runs `inferneo bench` on a server; the figures it wrote as JSON."""
    output = folder / "bench.json"
    command = [str(arguments.binary), "bench", "--url", url, "--model", model, "--json", str(output), *map(str, flags)]
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode != 0:
        raise Failure(f"a measurement failed: {' '.join(command)}")
    return json.loads(output.read_text(encoding="utf-8"))
