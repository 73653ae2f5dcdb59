{{/*
The container: the same image, arguments, probes, mounts and limits in every mode.

Ports and probes are numbers: named ports of native sidecars were missing from EndpointSlices before 1.32.
There is no preStop hook: SIGTERM itself makes the program unready and keeps it accepting for the drain's delay.
*/}}
{{- define "inferneo.container" -}}
{{- $mode := include "inferneo.mode" . -}}
name: {{ eq $mode "kserve" | ternary "kserve-container" "inferneo" }}
image: {{ include "inferneo.image" . | quote }}
imagePullPolicy: {{ .values.image.pullPolicy }}
args:
  - serve
  - --config
  - /etc/inferneo/config/inferneo.toml
  {{- if eq $mode "kserve" }}
  - --model
  - "{{ "{{.Name}}" }}=/mnt/models"
  {{- end }}
{{- with include "inferneo.env" . | trim }}
env:
  {{- . | nindent 2 }}
{{- end }}
ports:
  {{- if ne $mode "sidecar" }}
  - name: {{ eq $mode "kserve" | ternary "http1" "http" }}
    containerPort: {{ .values.ports.data }}
    protocol: TCP
  {{- end }}
  {{- if ne $mode "kserve" }}
  - name: {{ eq $mode "sidecar" | ternary "inferneo-admin" "admin" }}
    containerPort: {{ .values.ports.admin }}
    protocol: TCP
  {{- end }}
{{ include "inferneo.probes" . }}
resources:
  {{- include "inferneo.resources" . | nindent 2 }}
securityContext:
  {{- include "inferneo.securityContext" . | nindent 2 }}
volumeMounts:
  {{- include "inferneo.volumeMounts" . | nindent 2 }}
{{- end }}

{{/* The digest goes before the tag. The GPU build of a version has a tag of its own. */}}
{{- define "inferneo.image" -}}
{{- $image := .values.image }}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else if $image.tag -}}
{{ $image.repository }}:{{ $image.tag }}
{{- else -}}
{{ $image.repository }}:{{ include "inferneo.version" . }}{{ .values.gpu.enabled | ternary "-cuda" "" }}
{{- end }}
{{- end }}

{{- define "inferneo.env" -}}
{{- if .values.gpu.enabled -}}
- name: NVIDIA_DRIVER_CAPABILITIES
  value: compute,utility
{{- end }}
{{- with .values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
In a sidecar the data plane is on loopback, out of the kubelet's reach, so the admin plane answers for it.
KServe knows only the data port. Neither port is there before the models are loaded and warm, so the startup
probe holds the others off for that long.
*/}}
{{- define "inferneo.probes" -}}
{{- $isKserve := eq (include "inferneo.mode" .) "kserve" }}
{{- $port := $isKserve | ternary .values.ports.data .values.ports.admin }}
{{- $ready := $isKserve | ternary "/v2/health/ready" "/readyz" }}
{{- $live := $isKserve | ternary "/v2/health/live" "/livez" -}}
startupProbe:
  httpGet:
    path: {{ $ready }}
    port: {{ $port }}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: {{ div (add .values.startupTimeoutSeconds 1) 2 }}
readinessProbe:
  httpGet:
    path: {{ $ready }}
    port: {{ $port }}
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet:
    path: {{ $live }}
    port: {{ $port }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- end }}

{{/* Kubernetes takes extended resources as limits; it sets the request to the same. */}}
{{- define "inferneo.resources" -}}
{{- $resources := deepCopy (.values.resources | default dict) }}
{{- if .values.gpu.enabled }}
{{- $limits := $resources.limits | default dict }}
{{- $_ := set $limits .values.gpu.resourceName .values.gpu.count }}
{{- $_ := set $resources "limits" $limits }}
{{- end }}
{{- toYaml $resources }}
{{- end }}

{{/* GPU nodes usually turn away pods that do not tolerate this taint. */}}
{{- define "inferneo.gpuToleration" -}}
key: nvidia.com/gpu
operator: Exists
effect: NoSchedule
{{- end }}
