"""Runs containers of the stand-in cluster for real: the program in place of the image, loopback in place of the network."""

import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import program
from fakekube import resources


def serve(cluster, name, binary, folder):
    """A `Program` from the Deployment `name`: its arguments, its mounted ConfigMaps, the test models at /models."""
    pod = cluster.get("Deployment", name)["spec"]["template"]["spec"]
    container = next(each for each in pod["containers"] if each["name"] == "inferneo")
    assert "command" not in container and container["args"][0] == "serve"
    volumes = {volume["name"]: volume for volume in pod["volumes"]}

    def on_this_machine(text):
        return text.replace("/etc/inferneo", f"{folder}/etc/inferneo").replace("/models", str(program.MODELS))

    for mount in container["volumeMounts"]:
        config_map = volumes[mount["name"]].get("configMap")
        if config_map:
            place = Path(on_this_machine(mount["mountPath"]))
            place.mkdir(parents=True)
            for key, text in cluster.get("ConfigMap", config_map["name"])["data"].items():
                (place / key).write_text(on_this_machine(text))
    return program.Program(binary, *map(on_this_machine, container["args"][1:]))


def runner(binary, server):
    """What a Pod runs: its one container, in a network where every way leads through a Service to `server`."""

    def run(cluster, pod):
        (container,) = pod["spec"]["containers"]
        assert "command" not in container, "the image's entry point is the program"
        words = [route(cluster, pod["metadata"]["namespace"], word, server) for word in container["args"]]
        done = subprocess.run([binary, *words], capture_output=True, text=True, env=program.environment(), timeout=60)
        return done.returncode == 0, done.stdout + done.stderr

    return run


def route(cluster, namespace, word, server):
    """`word`, or, if it is a URL, the one that it leads to: Service, its target port, a container that has that port."""
    url = urlsplit(word)
    if url.scheme != "http":
        return word
    name, _, rest = url.hostname.partition(".")
    assert re.fullmatch(rf"({namespace}(\.svc(\.cluster\.local)?)?)?", rest), f"{url.hostname} is in no namespace here"
    service = cluster.get("Service", name, namespace)
    assert service, f"there is no Service {name}"
    target = next(port["targetPort"] for port in service["spec"]["ports"] if port["port"] == (url.port or 80))
    ports = [port for container in backends(cluster, service) for port in container["ports"]]
    number = next(port["containerPort"] for port in ports if target in (port["containerPort"], port["name"]))
    address = {8080: server.data, 9090: server.admin}[number]
    return word.replace(f"http://{url.netloc}", address)


def backends(cluster, service):
    """The containers that the Service leads to."""
    wanted = service["spec"]["selector"].items()
    deployments = cluster.store.list(resources.of_kind("Deployment"), service["metadata"]["namespace"])
    templates = [deployment["spec"]["template"] for deployment in deployments]
    chosen = [template for template in templates if wanted <= template["metadata"]["labels"].items()]
    return [container for template in chosen for container in template["spec"]["containers"]]
