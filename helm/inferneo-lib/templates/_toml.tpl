{{/*
A dict as TOML. Helm's own `toToml` writes whole numbers that come from YAML as floats.

Values of a table come before its sub-tables, as TOML wants it, and keys are sorted. A JSON string, number,
boolean or array of these is the same in TOML. A null leaves its key out.

Takes a list: the dict, and the dotted name of its table ("" at the top).
*/}}
{{- define "inferneo.toml" -}}
{{- $table := index . 0 }}
{{- $prefix := index . 1 }}
{{- range $key, $value := $table }}
{{- if not (or (kindIs "invalid" $value) (include "inferneo.toml.isTable" $value) (include "inferneo.toml.isTables" $value)) }}
{{ include "inferneo.toml.key" $key }} = {{ toJson $value }}
{{- end }}
{{- end }}
{{- range $key, $value := $table }}
{{- $name := printf "%s%s" $prefix (include "inferneo.toml.key" $key) }}
{{- if include "inferneo.toml.isTable" $value }}

[{{ $name }}]
{{- include "inferneo.toml" (list $value (printf "%s." $name)) }}
{{- else if include "inferneo.toml.isTables" $value }}
{{- range $value }}

[[{{ $name }}]]
{{- include "inferneo.toml" (list . (printf "%s." $name)) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "inferneo.toml.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ toJson . }}{{ end }}
{{- end }}

{{- define "inferneo.toml.isTable" -}}
{{- if kindIs "map" . }}yes{{ end }}
{{- end }}

{{/* Whether it is a list that holds tables and nothing else. */}}
{{- define "inferneo.toml.isTables" -}}
{{- if and (kindIs "slice" .) . }}
{{- $others := list }}
{{- range . }}{{ if not (kindIs "map" .) }}{{ $others = append $others . }}{{ end }}{{ end }}
{{- if not $others }}yes{{ end }}
{{- end }}
{{- end }}
