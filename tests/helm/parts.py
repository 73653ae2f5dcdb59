"""Finds the parts of rendered objects that tests are about."""


def of_kind(objects, kind):
    """The objects of one kind."""
    return [each for each in objects if each["kind"] == kind]


def only(objects, kind, name=None):
    """The one object of a kind, or of a kind and a name."""
    found = [each for each in of_kind(objects, kind) if name in (None, each["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} of {kind} {name or ''}"
    return found[0]


def template(objects):
    """The pod template of the Deployment."""
    return only(objects, "Deployment")["spec"]["template"]


def pod_specs(objects):
    """The spec of every pod that the objects make, a ServingRuntime's included."""
    deployments = [each["spec"]["template"]["spec"] for each in of_kind(objects, "Deployment")]
    return deployments + [each["spec"] for each in of_kind(objects, "Pod") + of_kind(objects, "ServingRuntime")]


def containers(spec):
    """All containers of a pod."""
    return spec.get("initContainers", []) + spec["containers"]


def inferneo(spec):
    """The container that serves."""
    found = [each for each in containers(spec) if each["name"] in ("inferneo", "kserve-container")]
    assert len(found) == 1
    return found[0]


def config(objects):
    """The text of inferneo.toml."""
    return next(
        each["data"]["inferneo.toml"] for each in of_kind(objects, "ConfigMap") if "inferneo.toml" in each["data"]
    )


def refusal(helm, *sets, kube="1.37.0", values=None):
    """What Helm says of values that it refuses."""
    words = [word for text in sets for word in ("--set-json" if "=[" in text or "={" in text else "--set", text)]
    words += ["--values", values] if values else []
    done = helm.run("template", "r", helm.chart, "--kube-version", kube, *words, check=False)
    assert done.returncode != 0, "it was accepted"
    return done.stderr
