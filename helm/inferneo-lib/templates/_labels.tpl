{{/*
Names and labels.

Every template of this library takes one context, a dict:
  root    the caller's own `$`
  values  the settings, as values.yaml of this library lays them out
  mode    standalone, sidecar or kserve; where it is left out, sidecar
*/}}

{{/* The version of inferneo that this library describes; a caller's Chart.AppVersion is the caller's. */}}
{{- define "inferneo.version" -}}
0.1.0
{{- end }}

{{- define "inferneo.mode" -}}
{{ .mode | default "sidecar" }}
{{- end }}

{{- define "inferneo.name" -}}
{{ .values.nameOverride | default "inferneo" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/*
The release's name with ours behind it, unless the one holds the other. Leaves room for a suffix. A release may
have dots in its name, a Service may not.
*/}}
{{- define "inferneo.fullname" -}}
{{- $name := include "inferneo.name" . }}
{{- $release := .root.Release.Name | replace "." "-" }}
{{- if .values.fullnameOverride }}
{{- .values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name $release }}
{{- $release | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" $release $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What Services, Deployments and policies select by. It never changes between versions. */}}
{{- define "inferneo.selectorLabels" -}}
app.kubernetes.io/name: {{ include "inferneo.name" . | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: server
{{- end }}

{{/* Labels of every object, without a component. */}}
{{- define "inferneo.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "inferneo.name" . | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/version: {{ include "inferneo.version" . | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}
