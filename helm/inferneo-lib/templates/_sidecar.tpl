{{/*
A pod template with the inferneo sidecar in it: takes `pod`, a dict with `metadata` and `spec`, beside `root`
and `values`, and answers with the whole template.

    template:
      {{- include "inferneo.sidecar" (dict "root" $ "values" .Values.inferneo "pod" $pod) | nindent 6 }}

From Kubernetes 1.29 it is a native sidecar: the last of the init containers, ready before the app starts and
stopped after it. Below, it is one more container. What the pod already says stays as it is.
*/}}
{{- define "inferneo.sidecar" -}}
{{- $context := dict "root" .root "values" .values "mode" "sidecar" "checksum" .checksum }}
{{- include "inferneo.validate" $context }}
{{- $pod := deepCopy .pod }}
{{- $metadata := $pod.metadata | default dict }}
{{- $annotations := $metadata.annotations | default dict }}
{{- $_ := set $metadata "annotations" (mergeOverwrite $annotations (include "inferneo.annotations" $context | fromYaml)) }}
{{- $_ := set $pod "metadata" $metadata }}
{{- $spec := $pod.spec }}
{{- include "inferneo.sidecar.room" (dict "context" $context "spec" $spec) }}
{{- $container := include "inferneo.container" $context | fromYaml }}
{{- if include "inferneo.nativeSidecar" $context }}
{{- $_ := set $container "restartPolicy" "Always" }}
{{- $_ := set $spec "initContainers" (append ($spec.initContainers | default list) $container) }}
{{- else }}
{{- $_ := set $spec "containers" (append ($spec.containers | default list) $container) }}
{{- end }}
{{- $volumes := include "inferneo.volumes" $context | fromYamlArray }}
{{- $_ := set $spec "volumes" (concat ($spec.volumes | default list) $volumes) }}
{{- include "inferneo.sidecar.scheduling" (dict "context" $context "spec" $spec) }}
{{- toYaml $pod }}
{{- end }}

{{- define "inferneo.nativeSidecar" -}}
{{- if semverCompare ">=1.29.0-0" .root.Capabilities.KubeVersion.Version }}yes{{ end }}
{{- end }}

{{/* Fails where the pod has no room for the sidecar: its name, its ports, or too little time to drain. */}}
{{- define "inferneo.sidecar.room" -}}
{{- $values := .context.values }}
{{- range concat (.spec.initContainers | default list) (.spec.containers | default list) }}
{{- if eq .name "inferneo" }}
{{- fail "the pod already has a container named inferneo" }}
{{- end }}
{{- $container := .name }}
{{- range .ports | default list }}
{{- /* The same number of UDP or SCTP is another port. */}}
{{- $isTcp := not (has (.protocol | default "TCP" | upper) (list "UDP" "SCTP")) }}
{{- if and $isTcp (has (int .containerPort) (list (int $values.ports.data) (int $values.ports.admin))) }}
{{- fail (printf "the container %s uses port %v, and so does the sidecar; change `ports.data` or `ports.admin`"
      $container .containerPort) }}
{{- end }}
{{- end }}
{{- end }}
{{- if hasKey .spec "terminationGracePeriodSeconds" }}
{{- $least := include "inferneo.leastGrace" .context | int }}
{{- if lt (int .spec.terminationGracePeriodSeconds) $least }}
{{- fail (printf "terminationGracePeriodSeconds of the pod (%v) is too short for the sidecar to drain: at least %d"
      .spec.terminationGracePeriodSeconds $least) }}
{{- end }}
{{- else }}
{{- $_ := set .spec "terminationGracePeriodSeconds" $values.terminationGracePeriodSeconds }}
{{- end }}
{{- end }}

{{/* What a GPU asks of the whole pod. */}}
{{- define "inferneo.sidecar.scheduling" -}}
{{- $gpu := .context.values.gpu }}
{{- if $gpu.enabled }}
{{- $toleration := include "inferneo.gpuToleration" .context | fromYaml }}
{{- $_ := set .spec "tolerations" (append (.spec.tolerations | default list) $toleration) }}
{{- if and $gpu.runtimeClassName (not .spec.runtimeClassName) }}
{{- $_ := set .spec "runtimeClassName" $gpu.runtimeClassName }}
{{- end }}
{{- end }}
{{- end }}
