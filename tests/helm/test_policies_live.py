"""The policies of the chart, edited a hundred times under load: what a kubelet mounts goes live, no request is
lost, and no pod is replaced."""

import json
import subprocess
import threading
import urllib.request

import yaml

from conftest import documents
from kubelet import Volume
from program import MODELS, Program, environment, until

EDITS = 100
# Words of the test model's, which takes short texts alone.
TEXTS = ["red", "green lake", "blue sun rain", "snow road lake red sun green"]
STRATEGIES = ["adaptive", "coalescing", "latency_optimized", "throughput_optimized"]


def policies(number):
    """The policies of one edit, unlike those of any other; every seventh has a file more."""
    strategy = STRATEGIES[number % len(STRATEGIES)]
    files = {"main.toml": f'strategy = "{strategy}"\n[batch]\nmax_batch_size = {number + 1}\nmax_queue_delay = "2ms"\n'}
    if number % 7 == 0:
        files["acme.toml"] = f'[match]\ntenants = ["acme"]\n[slo]\ntarget = "{number + 1}ms"\n'
    return files


def rendered(helm, folder, number):
    """What the chart makes of an edit: the files of the policies' ConfigMap, and the text of the Deployment."""
    values = folder / "values.yaml"
    values.write_text(yaml.safe_dump({"policies": policies(number)}))
    text = helm.run("template", "r", helm.chart, "--namespace", "n", "--values", values).stdout
    maps = [one for one in documents(text) if one["kind"] == "ConfigMap" and "main.toml" in one["data"]]
    deployments = [part for part in text.split("\n---\n") if "\nkind: Deployment\n" in part]
    assert (len(maps), len(deployments)) == (1, 1)
    return maps[0]["data"], deployments[0]


class Load:
    """`inferneo bench`, over and over, until it is told to stop."""

    def __init__(self, binary, url, folder):
        texts = folder / "texts.txt"
        texts.write_text("\n".join(TEXTS))
        self.command = [binary, "bench", "--url", url, "--model", "tiny_text", "--protocol", "openai", "--json", "-"]
        self.command += ["--texts", texts, "--concurrency", "16", "--duration", "3s", "--warmup", "1ms"]
        self.over = threading.Event()
        self.reports = []
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.is_set():
            done = subprocess.run(self.command, capture_output=True, text=True, env=environment())
            self.reports.append(json.loads(done.stdout) if done.returncode == 0 else {"errors": done.stderr})

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def live(program):
    """What `/policies` says."""
    with urllib.request.urlopen(f"{program.admin}/policies") as answer:
        return json.load(answer)


def told(status):
    """What of it does not depend on when it was loaded."""
    return [(file["name"], file["strategy"], file["hash"]) for file in status["files"]]


def test_a_hundred_edits_of_the_policies_go_live_under_load(newest_helm, binary, tmp_path):
    edits = [rendered(newest_helm, tmp_path, number) for number in range(EDITS + 1)]
    assert len({deployment for _, deployment in edits}) == 1, "an edit of a policy would replace pods"
    assert len({str(files) for files, _ in edits}) == EDITS + 1
    volume = Volume(tmp_path / "policies")
    volume.write(edits[0][0])
    serve = ["--model", f"tiny_text={MODELS}/tiny_text", "--policies", volume.path]
    with Program(binary, *serve) as program:
        generation = first = live(program)["generation"]
        with Load(binary, program.data, tmp_path) as load:
            for files, _ in edits[1:]:
                assert volume.write(files)
                assert not volume.write(files), "what is mounted already is not mounted again"
                generation += 1
                until(lambda: live(program)["generation"] >= generation, f"generation {generation}")
        last = live(program)
        assert (last["generation"], last["last_error"]) == (first + EDITS, None)
        counted = [line for line in program.scrape().splitlines() if line.startswith("inferneo_requests_total{")]
        with Program(binary, *serve) as fresh:
            assert told(last) == told(live(fresh)), "what is live is not what is mounted"
    assert [report["errors"] for report in load.reports] == [0] * len(load.reports)
    assert sum(report["requests"] for report in load.reports) > 1000
    assert counted and all('outcome="ok"' in line for line in counted), counted
