{{/*
The pod template. In standalone mode inferneo is the container; in sidecar mode the app is, and the library adds
inferneo. Takes the library's context.
*/}}
{{- define "inferneo.chart.pod" -}}
{{- $values := .values -}}
metadata:
  labels:
    {{- include "inferneo.chart.podLabels" . | nindent 4 }}
  {{- if or $values.podAnnotations (ne .mode "sidecar") }}
  annotations:
    {{- if ne .mode "sidecar" }}
    {{- include "inferneo.annotations" . | nindent 4 }}
    {{- end }}
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  serviceAccountName: {{ include "inferneo.chart.serviceAccountName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  securityContext:
    {{- toYaml $values.podSecurityContext | nindent 4 }}
  terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
  {{- with $values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    {{- if eq .mode "sidecar" }}
    - {{- include "inferneo.chart.app" $values | nindent 6 }}
    {{- else }}
    - {{- include "inferneo.container" . | nindent 6 }}
    {{- end }}
  {{- if ne .mode "sidecar" }}
  volumes:
    {{- include "inferneo.volumes" . | nindent 4 }}
  {{- end }}
  {{- with include "inferneo.chart.scheduling" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* A pod with GPUs has to go before its successor finds one; any other is replaced only once that is ready. */}}
{{- define "inferneo.chart.rollout" -}}
{{- $rollout := .values.rollout }}
{{- $isGpu := .values.gpu.enabled -}}
maxSurge: {{ kindIs "invalid" $rollout.maxSurge | ternary ($isGpu | ternary 0 1) $rollout.maxSurge }}
maxUnavailable: {{ kindIs "invalid" $rollout.maxUnavailable | ternary ($isGpu | ternary 1 0) $rollout.maxUnavailable }}
{{- end }}

{{- define "inferneo.chart.podLabels" -}}
{{- $labels := deepCopy .values.podLabels }}
{{- $labels = mergeOverwrite $labels (include "inferneo.labels" . | fromYaml) (include "inferneo.selectorLabels" . | fromYaml) }}
{{- omit $labels "helm.sh/chart" | toYaml }}
{{- end }}

{{- define "inferneo.chart.serviceAccountName" -}}
{{- if .values.serviceAccount.name -}}
{{ .values.serviceAccount.name }}
{{- else -}}
{{ .values.serviceAccount.create | ternary (include "inferneo.fullname" .) "default" }}
{{- end }}
{{- end }}

{{/* The user's container. */}}
{{- define "inferneo.chart.app" -}}
{{- $app := .app -}}
name: {{ $app.name }}
image: {{ $app.image | quote }}
imagePullPolicy: {{ $app.imagePullPolicy }}
ports:
  - name: http
    containerPort: {{ $app.port }}
    protocol: TCP
{{- range $key := list "command" "args" "env" "startupProbe" "readinessProbe" "livenessProbe" "volumeMounts" "resources" "securityContext" }}
{{- with get $app $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* Where pods may run. A sidecar's pod gets the GPU's part from the library. */}}
{{- define "inferneo.chart.scheduling" -}}
{{- $values := .values }}
{{- $gpu := and $values.gpu.enabled (ne .mode "sidecar") }}
{{- if and $gpu $values.gpu.runtimeClassName }}
runtimeClassName: {{ $values.gpu.runtimeClassName }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- $tolerations := $values.tolerations }}
{{- if $gpu }}
{{- $tolerations = append $tolerations (include "inferneo.gpuToleration" . | fromYaml) }}
{{- end }}
{{- with $tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- range $key := list "nodeSelector" "affinity" "topologySpreadConstraints" }}
{{- with get $values $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* What `helm test`'s pod is known by. */}}
{{- define "inferneo.chart.testLabels" -}}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: test
{{- end }}
