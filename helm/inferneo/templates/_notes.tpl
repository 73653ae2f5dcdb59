{{/*
NOTES.txt: what to do next in each mode, and what is likely to surprise. Takes the library's context.
*/}}
{{- define "inferneo.notes" -}}
{{- $name := include "inferneo.fullname" . }}
{{- $namespace := .root.Release.Namespace }}
{{- include (printf "inferneo.notes.%s" .mode) . }}

Change how requests are batched, without a restart:

  kubectl -n {{ $namespace }} edit configmap {{ $name }}-policies

  The pods see it after 60 to 90 seconds; at once when they are annotated:

  kubectl -n {{ $namespace }} annotate pods --overwrite policies-touched="$(date +%s)" -l {{ include "inferneo.notes.pods" . }}

  A file with a mistake changes nothing; /policies on the admin port says what is wrong with it. `helm upgrade` puts
  the chart's policies back, so keep those that should stay in the value `policies`.
{{- include "inferneo.notes.warnings" . }}
{{- end }}

{{/* A selector of the pods. Those of KServe have the labels of their InferenceService. */}}
{{- define "inferneo.notes.pods" -}}
{{- if eq .mode "kserve" -}}
serving.kserve.io/inferenceservice=minilm
{{- else -}}
app.kubernetes.io/instance={{ .root.Release.Name }},app.kubernetes.io/component=server
{{- end }}
{{- end }}

{{- define "inferneo.notes.standalone" -}}
{{- $name := include "inferneo.fullname" . }}
{{- $namespace := .root.Release.Namespace }}
inferneo {{ include "inferneo.version" . }} serves at http://{{ $name }}.{{ $namespace }}:{{ .values.service.port }} once its pods are ready:

  kubectl -n {{ $namespace }} rollout status deployment/{{ $name }}

Send it a first request:

  kubectl -n {{ $namespace }} port-forward service/{{ $name }} 8080:{{ .values.service.port }}
{{- include "inferneo.notes.request" (dict "context" . "port" 8080) }}

{{- if .values.tests.enabled }}

Let it prove that each model answers:

  helm -n {{ $namespace }} test {{ .root.Release.Name }}
{{- end }}

{{- include "inferneo.notes.page" . }}
{{- end }}

{{- define "inferneo.notes.sidecar" -}}
{{- $name := include "inferneo.fullname" . }}
{{- $namespace := .root.Release.Namespace }}
{{ .values.app.name }} runs with inferneo {{ include "inferneo.version" . }} beside it, at http://127.0.0.1:{{ .values.ports.data }} in its pods:

  kubectl -n {{ $namespace }} rollout status deployment/{{ $name }}

Send it a first request:

  kubectl -n {{ $namespace }} port-forward deployment/{{ $name }} {{ .values.ports.data }}
{{- include "inferneo.notes.request" (dict "context" . "port" .values.ports.data) }}

Let it prove that each model answers:

  kubectl -n {{ $namespace }} exec deployment/{{ $name }} -c inferneo -- inferneo doctor --url http://127.0.0.1:{{ .values.ports.data }}

{{- include "inferneo.notes.page" . }}
{{- end }}

{{- define "inferneo.notes.kserve" -}}
{{- $name := include "inferneo.fullname" . }}
The ServingRuntime {{ $name }} is there. Give it a model: write this to minilm.yaml,

apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: minilm
spec:
  predictor:
    terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds }}
    model:
      runtime: {{ $name }}
      modelFormat: {name: onnx}
      protocolVersion: v2
      storageUri: {{ .values.modelVolume.pvc.create | ternary (printf "pvc://%s-models/minilm" $name) "s3://BUCKET/minilm" }}

and run

  kubectl -n {{ .root.Release.Namespace }} apply -f minilm.yaml

It answers at /v2/models/minilm below the URL that this shows once it is ready:

  kubectl -n {{ .root.Release.Namespace }} get inferenceservice minilm
{{- end }}

{{/* The first of the models, asked over the protocol that every model answers. */}}
{{- define "inferneo.notes.request" }}

  and, from another terminal while that runs,
{{- $values := .context.values }}
{{- if $values.models }}
{{- $model := first $values.models }}
{{- $name := $model.name | default (base $model.path) }}
  curl http://127.0.0.1:{{ .port }}/v2/models/{{ $name }}

  and, where it takes text:
  curl http://127.0.0.1:{{ .port }}/v1/embeddings -H 'content-type: application/json' -d '{"model": "{{ $name }}", "input": "Hello"}'
{{- else }}
  curl http://127.0.0.1:{{ .port }}/v2
{{- end }}
{{- end }}

{{- define "inferneo.notes.page" }}

Watch what it does, at http://127.0.0.1:{{ .values.ports.admin }}/:

  kubectl -n {{ .root.Release.Namespace }} port-forward deployment/{{ include "inferneo.fullname" . }} {{ .values.ports.admin }}
{{- end }}

{{/* One paragraph for each value that is likely to surprise. */}}
{{- define "inferneo.notes.warnings" -}}
{{- $values := .values }}
{{- if and (ne .mode "kserve") $values.models (not (include "inferneo.modelSource" .)) }}

WARNING: `modelVolume` names no volume, so the folders of `models` have to be in the image.
{{- end }}
{{- if $values.modelVolume.pvc.create }}

NOTE: the claim {{ include "inferneo.fullname" . }}-models is new and empty, and pods fail until the models are in it.
{{- if eq (join "," $values.modelVolume.pvc.accessModes) "ReadWriteOnce" }}
WARNING: with ReadWriteOnce (modelVolume.pvc.accessModes) only pods on one node can mount it, a pod's successor included.
{{- end }}
{{- end }}
{{- if eq .mode "sidecar" }}
{{- include "inferneo.notes.warnings.sidecar" . }}
{{- end }}
{{- if ne .mode "kserve" }}
{{- include "inferneo.notes.warnings.rollout" . }}
{{- include "inferneo.notes.warnings.devices" $values }}
{{- end }}
{{- if $values.autoscaling.enabled }}

NOTE: autoscaling needs an adapter (such as prometheus-adapter) that serves the pods' metric inferneo_inflight_rows:
  kubectl get --raw '/apis/custom.metrics.k8s.io/v1beta1/namespaces/{{ .root.Release.Namespace }}/pods/*/inferneo_inflight_rows'
{{- if ne (int $values.replicas) 1 }}
WARNING: `replicas` ({{ $values.replicas }}) is not used while autoscaling is on; autoscaling.minReplicas is.
{{- end }}
{{- if not (or $values.metrics.podMonitor.enabled $values.metrics.serviceMonitor.enabled) }}
WARNING: nothing in this release has Prometheus read the metric (metrics.podMonitor, metrics.serviceMonitor).
{{- end }}
{{- end }}
{{- if and $values.networkPolicy.enabled (not $values.networkPolicy.adminFrom) }}

WARNING: networkPolicy.adminFrom is empty, so nothing can read the metrics.
{{- end }}
{{- if and $values.networkPolicy.enabled (not $values.networkPolicy.ingressFrom) (ne $values.service.type "ClusterIP") }}

WARNING: networkPolicy.ingressFrom is empty, so only pods of the namespace may send requests, and nothing from outside.
{{- end }}
{{- end }}

{{- define "inferneo.notes.warnings.rollout" }}
{{- $rollout := include "inferneo.chart.rollout" . | fromYaml }}
{{- if eq (toString $rollout.maxSurge | trimSuffix "%") "0" }}

NOTE: a rollout takes a pod away before its successor starts (rollout.maxSurge is {{ $rollout.maxSurge }}).
{{- if and (eq (int .values.replicas) 1) (not .values.autoscaling.enabled) }}
WARNING: with one replica nothing is served in between.
{{- end }}
{{- end }}
{{- end }}

{{/* Takes the values. */}}
{{- define "inferneo.notes.warnings.devices" }}
{{- if not .gpu.enabled }}
{{- range $index, $model := .models }}
{{- if contains "cuda" ($model.device | default "") }}

WARNING: models[{{ $index }}].device is {{ $model.device }}, and without gpu.enabled the pods get no GPU.
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "inferneo.notes.warnings.sidecar" }}

NOTE: each replica batches only the traffic of its own pod; where many apps share a model, mode standalone forms larger batches.
{{- if not (include "inferneo.nativeSidecar" .) }}
WARNING: before Kubernetes 1.29 the sidecar is an ordinary container: the app may start before it, and end after it.
{{- end }}
{{- if .values.gpu.enabled }}
WARNING: each replica claims {{ .values.gpu.count }} {{ .values.gpu.resourceName }} of its own. Consider the CPU, or a part of a GPU (MIG, time-slicing) by its own gpu.resourceName.
{{- end }}
{{- if .values.networkPolicy.enabled }}
NOTE: the network policy is for the whole pod, so for the app as well.
{{- end }}
{{- if .values.metrics.serviceMonitor.enabled }}
NOTE: the admin Service leads to the port by its number, because named ports of sidecars were missed before Kubernetes 1.32.
{{- end }}
{{- end }}
