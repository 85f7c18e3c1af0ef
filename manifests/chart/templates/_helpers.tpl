{{- define "drey.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "drey.restURL" -}}
{{ .Values.rest.url | default (printf "https://drey.%s.svc:8443" .Release.Namespace) }}
{{- end -}}

{{- /* The Secret with the CA of the serving certificate. */ -}}
{{- define "drey.caSecret" -}}
{{ if eq .Values.certs.mode "cert-manager" }}drey-serving{{ else }}drey-certs{{ end }}
{{- end -}}

{{- define "drey.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "drey.podSecurity" -}}
runAsNonRoot: true
{{- if eq .Values.store.type "embedded" }}
fsGroup: 65532 # a new volume is root's
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}
