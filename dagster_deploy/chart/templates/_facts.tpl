{{/* Facts that several files of the chart derive from values.yaml. */}}

{{- define "korean-llm.labels" -}}
app.kubernetes.io/part-of: korean-llm
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* An image of ours: (list $ "trainer"). */}}
{{- define "korean-llm.image" -}}
{{- $root := index . 0 }}
{{- $root.Values.images.registry }}/{{ index . 1 }}:{{ required "images.tag: what dagster_deploy/images/build.sh printed" $root.Values.images.tag }}
{{- end }}

{{/* Labels that a GPU node has and its pods select by, all of them: a flavor with fewer admits other pods. */}}
{{- define "korean-llm.gpu-selector" -}}
korean-llm/pool: gpu
gpu-type: {{ .type }}
{{- end }}

{{- define "korean-llm.cpu-selector" -}}
korean-llm/pool: cpu
{{- end }}

{{- define "korean-llm.gpu-tolerations" -}}
- {key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}
{{- end }}

{{/* Name of the cluster profile that runs use unless they say otherwise. */}}
{{- define "korean-llm.default-profile" -}}
{{- if .Values.gpuNodes }}{{ (first .Values.gpuNodes).type }}{{ else }}cpu{{ end }}
{{- end }}
