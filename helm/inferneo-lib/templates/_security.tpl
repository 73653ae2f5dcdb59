{{/*
What the container may do: the restricted Pod Security Standard, whatever pod it is in. Only keys that are
set in `securityContext` differ from it.
*/}}
{{- define "inferneo.securityContext" -}}
{{- $restricted := dict
      "runAsNonRoot" true
      "runAsUser" 65532
      "runAsGroup" 65532
      "readOnlyRootFilesystem" true
      "allowPrivilegeEscalation" false
      "capabilities" (dict "drop" (list "ALL"))
      "seccompProfile" (dict "type" "RuntimeDefault") }}
{{- mergeOverwrite $restricted (deepCopy (.values.securityContext | default dict)) | toYaml }}
{{- end }}
