{{/*
Volumes of the pod and where the container mounts them.

Policies are a whole ConfigMap, mounted as a folder: a `subPath` would never see an edit.
*/}}
{{- define "inferneo.volumes" -}}
- name: inferneo-config
  configMap:
    name: {{ include "inferneo.fullname" . }}-config
- name: inferneo-policies
  configMap:
    name: {{ include "inferneo.fullname" . }}-policies
- name: inferneo-tmp
  emptyDir:
    sizeLimit: 64Mi
{{- $models := include "inferneo.modelSource" . | fromYaml }}
{{- if $models }}
- name: inferneo-models
  {{- toYaml $models | nindent 2 }}
{{- end }}
{{- with .values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Where the models come from, as a volume source; empty where they are in the image or KServe brings them. */}}
{{- define "inferneo.modelSource" -}}
{{- $volume := .values.modelVolume }}
{{- if eq (include "inferneo.mode" .) "kserve" }}
{{- else if $volume.existingClaim }}
persistentVolumeClaim:
  claimName: {{ $volume.existingClaim }}
{{- else if $volume.pvc.create }}
persistentVolumeClaim:
  claimName: {{ include "inferneo.fullname" . }}-models
{{- else if $volume.image }}
image:
  reference: {{ $volume.image }}
  pullPolicy: {{ .values.image.pullPolicy }}
{{- else if $volume.hostPath }}
hostPath:
  path: {{ $volume.hostPath }}
  type: Directory
{{- else if $volume.source }}
{{- toYaml $volume.source }}
{{- end }}
{{- end }}

{{- define "inferneo.volumeMounts" -}}
- name: inferneo-config
  mountPath: /etc/inferneo/config
  readOnly: true
- name: inferneo-policies
  mountPath: /etc/inferneo/policies
  readOnly: true
- name: inferneo-tmp
  mountPath: /tmp
{{- if include "inferneo.modelSource" . }}
- name: inferneo-models
  mountPath: /models
  readOnly: true
{{- end }}
{{- with .values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* A claim for the models. It outlives the release, so that models need not be copied in again. */}}
{{- define "inferneo.pvc" -}}
{{- $pvc := .values.modelVolume.pvc }}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ include "inferneo.fullname" . }}-models
  namespace: {{ .root.Release.Namespace | quote }}
  labels:
    {{- include "inferneo.labels" . | nindent 4 }}
  annotations:
    helm.sh/resource-policy: keep
spec:
  accessModes:
    {{- toYaml $pvc.accessModes | nindent 4 }}
  {{- with $pvc.storageClassName }}
  storageClassName: {{ . | quote }}
  {{- end }}
  resources:
    requests:
      storage: {{ $pvc.size }}
{{- end }}
