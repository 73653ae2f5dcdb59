"""One `inferneo serve` process for the scripts that measure: from start to a clean exit."""

import json
import os
import signal
import subprocess
import time

START_LIMIT_S = 180
STOP_LIMIT_S = 60
MODEL = "minilm"


class Failure(Exception):
    """What went wrong, for the person at the terminal."""


def cores():
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))


class Server:
    """A server on loopback with the policies of a folder; `placement` is TOML for its `[[model]]`."""

    def __init__(self, arguments, folder, name, policies, placement="", model=MODEL):
        self.name = name
        self.log = folder / f"{name}.log"
        self.ready_file = folder / f"{name}.ready.json"
        config = folder / f"{name}.toml"
        config.write_text(
            f"policies = {json.dumps(str(policies))}\nstate = {json.dumps(str(folder / 'state' / name))}\n"
            f"[onnxruntime]\nlibrary = {json.dumps(str(arguments.library.resolve()))}\n"
            f"[[model]]\nname = {json.dumps(model)}\npath = {json.dumps(str(arguments.model.resolve()))}\n{placement}",
            encoding="utf-8",
        )
        command = [str(arguments.binary), "serve", "--config", str(config), "--ready-file", str(self.ready_file)]
        command += ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def wait_until_ready(self):
        """Returns the data plane's URL; the ready file appears once the model is warm."""
        limit = time.monotonic() + START_LIMIT_S
        while time.monotonic() < limit:
            if self.process.poll() is not None:
                raise Failure(f"the server ended with code {self.process.returncode} before it was ready:\n{self.tail()}")
            try:
                return "http://" + json.loads(self.ready_file.read_text(encoding="utf-8"))["listen"]
            except (FileNotFoundError, json.JSONDecodeError):
                time.sleep(0.05)
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

    def tail(self, lines=20):
        text = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join("  | " + line for line in text[-lines:]) or "  | (no output)"


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
