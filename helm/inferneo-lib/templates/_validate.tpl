{{/*
What a JSON schema cannot say of the settings that every mode shares. Each message names the value to change.
*/}}
{{- define "inferneo.validate" -}}
{{- $values := .values }}
{{- $least := include "inferneo.leastGrace" . | int }}
{{- if lt (int $values.terminationGracePeriodSeconds) $least }}
{{- fail (printf "terminationGracePeriodSeconds (%v) is too short: drain.delaySeconds (%v) + drain.timeoutSeconds (%v) + %d for a last batch = %d"
      $values.terminationGracePeriodSeconds $values.drain.delaySeconds $values.drain.timeoutSeconds 5 $least) }}
{{- end }}
{{- if eq (int $values.ports.data) (int $values.ports.admin) }}
{{- fail (printf "ports.data and ports.admin are both %v; each plane needs a port of its own" $values.ports.data) }}
{{- end }}
{{- if and (ne (include "inferneo.mode" .) "kserve") (not $values.models) (not $values.upstream) }}
{{- fail "models: there is nothing to serve; name a model here, or an `upstream`" }}
{{- end }}
{{- include "inferneo.validate.models" . }}
{{- include "inferneo.validate.devices" . }}
{{- include "inferneo.validate.modelVolume" . }}
{{- end }}

{{/* The seconds a pod needs from SIGTERM to its end: accept, answer what waits, and let one batch run out. */}}
{{- define "inferneo.leastGrace" -}}
{{ add .values.drain.delaySeconds .values.drain.timeoutSeconds 5 }}
{{- end }}

{{- define "inferneo.validate.models" -}}
{{- $names := dict }}
{{- range $index, $model := .values.models }}
{{- $name := $model.name | default (base $model.path) }}
{{- if hasKey $names $name }}
{{- fail (printf "models[%d]: another model is named %s" $index $name) }}
{{- end }}
{{- $_ := set $names $name true }}
{{- end }}
{{- end }}

{{/* A pod numbers its own GPUs from 0. */}}
{{- define "inferneo.validate.devices" -}}
{{- if .values.gpu.enabled }}
{{- $count := int .values.gpu.count }}
{{- $named := dict "gpu.device" .values.gpu.device }}
{{- range $index, $model := .values.models }}
{{- $_ := set $named (printf "models[%d].device" $index) ($model.device | default "") }}
{{- end }}
{{- range $key := keys $named | sortAlpha }}
{{- range $device := get $named $key | splitList "," }}
{{- if and (hasPrefix "cuda:" $device) (ge (trimPrefix "cuda:" $device | int) $count) }}
{{- fail (printf "%s names %s, and gpu.count gives the pod %d, from cuda:0 on" $key $device $count) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "inferneo.validate.modelVolume" -}}
{{- $volume := .values.modelVolume }}
{{- $given := list }}
{{- range $key := list "existingClaim" "image" "hostPath" "source" }}
{{- if get $volume $key }}{{ $given = append $given (printf "modelVolume.%s" $key) }}{{ end }}
{{- end }}
{{- if $volume.pvc.create }}{{ $given = append $given "modelVolume.pvc.create" }}{{ end }}
{{- if gt (len $given) 1 }}
{{- fail (printf "%s: models come from one place; set one of these" (join " and " $given)) }}
{{- end }}
{{- $version := .root.Capabilities.KubeVersion.Version }}
{{- if and $volume.image (semverCompare "<1.31.0-0" $version) }}
{{- fail (printf "modelVolume.image needs Kubernetes 1.31 or newer (image volumes); this is %s" $version) }}
{{- end }}
{{- end }}
