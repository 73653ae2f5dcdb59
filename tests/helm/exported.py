"""Every metric that the real program exports, found by driving all its paths and scraping it."""

import re

import program
import standin

# What is only exported where a model runs on a GPU for real: held to docs/interface.md alone.
ON_A_GPU = {"inferneo_model_nodes"}
TEXTS = ["sun", "sun sun sun", "sun sun sun sun sun"]
GOOD = "[slo]\ntarget = '1s'\n"
BAD = "strategy = 'best'\n"
CUSTOM = "strategy = 'custom'\n[custom]\nscript = 'mine.rhai'\n[match]\ntenants = ['mine']\n"


def on_cpu(binary, folder):
    """Names after answers, refusals, canaries, and reloads both good and bad."""
    policies = folder / "policies"
    policies.mkdir()
    (policies / "default.toml").write_text(GOOD)
    (policies / "mine.toml").write_text(CUSTOM)
    (policies / "mine.rhai").write_text("segment.rows")
    models = [f"{name}={program.MODELS / name}" for name in ("tiny_text", "fails_on_negative")]
    flags = [word for model in models for word in ("--model", model)]
    with program.Program(binary, *flags, "--policies", policies) as server:
        assert {server.embed("tiny_text", *TEXTS, tenant="acme") for _ in range(64)} == {200}
        assert server.embed("tiny_text", "") == 400
        assert server.embed("nobody", "sun") == 404
        assert fails(server) == 500
        (policies / "default.toml").write_text(BAD)
        scraped(server, 'inferneo_policy_reloads_total{outcome="failed"} 1')
        (policies / "default.toml").write_text(GOOD + "# again\n")
        scraped(server, 'inferneo_policy_reloads_total{outcome="ok"} 1')
        return names(scraped(server, 'inferneo_health_checks_total{model="tiny_text",outcome="ok"}'))


def with_gpu(binary, folder):
    """Names where a GPU is seen, which the library for the CPU cannot use."""
    library = standin.build(folder)
    model = f"tiny_text={program.MODELS / 'tiny_text'}"
    with program.Program(binary, "--model", model, "--nvml-library", library) as server:
        standin.play(library, server.process.pid)
        return names(scraped(server, "inferneo_gpu_process_memory_bytes{"))


def with_keys(binary, folder):
    """Names where API keys are asked for."""
    keys = folder / "keys.toml"
    keys.write_text(f'[[key]]\nsha256 = "{"0" * 64}"\ntenant = "acme"\n')
    model = f"tiny_text={program.MODELS / 'tiny_text'}"
    with program.Program(binary, "--model", model, "--keys-file", keys) as server:
        return names(scraped(server, "inferneo_keys_last_reload_ok 1"))


def fails(server):
    """The status of an inference that the model refuses."""
    tensor = '{"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [-1]}]}'
    return server.post(f"{server.data}/v2/models/fails_on_negative/infer", tensor.encode())


def scraped(server, line):
    """What `/metrics` says once it has `line`."""

    def look():
        text = server.scrape()
        return text if line in text else None

    return program.until(look, line)


def names(text):
    """The families in an exposition; of a histogram, the three series."""
    found = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        found |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return found
