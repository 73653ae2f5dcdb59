{{/*
Values that each make sense and do not go together, each with the value to change. Takes the library's context.
*/}}
{{- define "inferneo.chart.validate" -}}
{{- include "inferneo.validate" . }}
{{- $values := .values }}
{{- if eq .mode "sidecar" }}
{{- include "inferneo.chart.validate.sidecar" $values }}
{{- else if $values.app.image }}
{{- fail (printf "app.image is for mode: sidecar; the mode is %s" .mode) }}
{{- end }}
{{- if eq .mode "kserve" }}
{{- include "inferneo.chart.validate.kserve" $values }}
{{- end }}
{{- if and $values.autoscaling.enabled (gt (int $values.autoscaling.minReplicas) (int $values.autoscaling.maxReplicas)) }}
{{- fail (printf "autoscaling.minReplicas (%v) is above autoscaling.maxReplicas (%v)"
      $values.autoscaling.minReplicas $values.autoscaling.maxReplicas) }}
{{- end }}
{{- $budget := $values.podDisruptionBudget }}
{{- if and $budget.enabled (not (kindIs "invalid" $budget.minAvailable)) (not (kindIs "invalid" $budget.maxUnavailable)) }}
{{- fail "podDisruptionBudget: set minAvailable or maxUnavailable, and leave the other null" }}
{{- end }}
{{- if and $values.metrics.podMonitor.enabled $values.metrics.serviceMonitor.enabled }}
{{- fail "metrics.podMonitor.enabled and metrics.serviceMonitor.enabled would read every pod twice; set one of them" }}
{{- end }}
{{- end }}

{{- define "inferneo.chart.validate.sidecar" -}}
{{- if not .app.image }}
{{- fail "app.image: mode sidecar runs beside an app; name its image (or set mode: standalone)" }}
{{- end }}
{{- if .autoscaling.enabled }}
{{- fail "autoscaling.enabled: in sidecar mode the pods are the app's, and rows in flight say little of its load; scale the app with a HorizontalPodAutoscaler of its own (extraObjects), or set mode: standalone" }}
{{- end }}
{{- if eq .app.name "inferneo" }}
{{- fail "app.name: inferneo is the name of the sidecar; give the app another" }}
{{- end }}
{{- end }}

{{/* KServe makes the pods, so all that is about pods is the InferenceService's. */}}
{{- define "inferneo.chart.validate.kserve" -}}
{{- $foreign := dict
      "autoscaling.enabled" .autoscaling.enabled
      "podDisruptionBudget.enabled" .podDisruptionBudget.enabled
      "networkPolicy.enabled" .networkPolicy.enabled
      "metrics.podMonitor.enabled" .metrics.podMonitor.enabled
      "metrics.serviceMonitor.enabled" .metrics.serviceMonitor.enabled
      "gpu.runtimeClassName" .gpu.runtimeClassName
      "priorityClassName" .priorityClassName
      "topologySpreadConstraints" .topologySpreadConstraints }}
{{- range $key := keys $foreign | sortAlpha }}
{{- if get $foreign $key }}
{{- fail (printf "%s: in mode kserve the pods are KServe's; a ServingRuntime has no such setting, so set it on the InferenceService or beside it"
      $key) }}
{{- end }}
{{- end }}
{{- range $key := list "existingClaim" "image" "hostPath" "source" }}
{{- if get $.modelVolume $key }}
{{- fail (printf "modelVolume.%s: in mode kserve the InferenceService names the model, by its storageUri" $key) }}
{{- end }}
{{- end }}
{{- end }}
