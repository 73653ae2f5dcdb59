{{/*
inferneo.toml: what the pod's layout and the values say, then `config` over it.

Keys that other values set are refused in `config`, because probes, mounts or the drain depend on them.
*/}}
{{- define "inferneo.config" -}}
{{- $owners := dict
      "listen" "ports.data" "admin_listen" "ports.admin" "policies" "policies" "model" "models" "upstream" "upstream"
      "drain_delay" "drain.delaySeconds" "drain_timeout" "drain.timeoutSeconds"
      "log_level" "logLevel" "log_format" "logFormat" }}
{{- range $key := keys .values.config | sortAlpha }}
{{- with get $owners $key }}
{{- fail (printf "config.%s: the chart sets this key of inferneo.toml itself; set the value `%s` instead" $key .) }}
{{- end }}
{{- end }}
{{- $host := eq (include "inferneo.mode" .) "sidecar" | ternary "127.0.0.1" "0.0.0.0" }}
{{- $config := dict
      "listen" (printf "%s:%v" $host .values.ports.data)
      "admin_listen" (printf "0.0.0.0:%v" .values.ports.admin)
      "policies" "/etc/inferneo/policies"
      "device" (.values.gpu.enabled | ternary .values.gpu.device "cpu")
      "log_level" .values.logLevel
      "log_format" .values.logFormat
      "drain_delay" (printf "%vs" .values.drain.delaySeconds)
      "drain_timeout" (printf "%vs" .values.drain.timeoutSeconds) }}
{{- with .values.upstream }}
{{- $_ := set $config "upstream" . }}
{{- end }}
{{- if ne (include "inferneo.mode" .) "kserve" }}
{{- with .values.models }}
{{- $_ := set $config "model" . }}
{{- end }}
{{- end }}
{{- include "inferneo.toml" (list (mergeOverwrite $config (deepCopy .values.config)) "") | trim }}
{{- end }}

{{- define "inferneo.configmap.config" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "inferneo.fullname" . }}-config
  namespace: {{ .root.Release.Namespace | quote }}
  labels:
    {{- include "inferneo.labels" . | nindent 4 }}
data:
  inferneo.toml: |
    {{- include "inferneo.config" . | nindent 4 }}
{{- end }}

{{/*
The policies, and nothing else. Not `immutable`: an edit goes live in running pods. Without values they are
the files in files/policies of the caller's chart, where it has any.
*/}}
{{- define "inferneo.configmap.policies" -}}
{{- $policies := .values.policies }}
{{- if not $policies }}
{{- $policies = dict }}
{{- range $path, $_ := .root.Files.Glob "files/policies/*" }}
{{- $_ := set $policies (base $path) ($.root.Files.Get $path) }}
{{- end }}
{{- end }}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "inferneo.fullname" . }}-policies
  namespace: {{ .root.Release.Namespace | quote }}
  labels:
    {{- include "inferneo.labels" . | nindent 4 }}
data:
  {{- toYaml $policies | nindent 2 }}
{{- end }}

{{/* All objects that a pod with the container needs, for a chart that includes the sidecar. */}}
{{- define "inferneo.objects" -}}
{{ include "inferneo.configmap.config" . }}
---
{{ include "inferneo.configmap.policies" . }}
{{- if .values.modelVolume.pvc.create }}
---
{{ include "inferneo.pvc" . }}
{{- end }}
{{- end }}

{{/*
A new config needs new pods; new policies do not, so they are not in here. `checksum` names the annotation: without
it that is one of ours, because the pod may have a `checksum/config` of its own.
*/}}
{{- define "inferneo.annotations" -}}
{{ .checksum | default "inferneo.io/config-checksum" }}: {{ include "inferneo.config" . | sha256sum }}
{{- end }}
