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
{{- $name := include "inferneo.fullname" . }}
{{- if not (regexMatch "^[a-z][-a-z0-9]*$" $name) }}
{{- fail (printf "a Service cannot be called %s, as it does not begin with a letter; set fullnameOverride" $name) }}
{{- end }}
{{- $rollout := include "inferneo.chart.rollout" . | fromYaml }}
{{- $stuck := and (eq (toString $rollout.maxSurge | trimSuffix "%") "0") (eq (toString $rollout.maxUnavailable | trimSuffix "%") "0") }}
{{- if and $stuck (ne .mode "kserve") }}
{{- fail "rollout.maxSurge and rollout.maxUnavailable are both 0, so no pod could ever be replaced; raise one of them" }}
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
      "rollout.maxSurge" (not (kindIs "invalid" .rollout.maxSurge))
      "rollout.maxUnavailable" (not (kindIs "invalid" .rollout.maxUnavailable))
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
