"""A stand-in of Kubernetes' API in memory, as much of it as Helm and kubectl ask for.

What a real API server would refuse is refused: every object is held to Kubernetes' own strict schema. The
controllers behind it are the least that makes `--wait` mean something. There are no nodes: a Deployment has
no Pods, and what a Pod of a Helm hook would run is up to the test (`Cluster.run_pod`).

  resources    what kinds there are, and where they live
  store        objects, revisions, watches
  merge        the three kinds of patch
  protobuf     the one binary form that Helm sends
  admission    what is refused, and what is filled in
  controllers  what happens after an object is written
  server       HTTP, and the `Cluster` that tests start
"""

from .server import Cluster

__all__ = ["Cluster"]
