{{- define "drey.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "drey.restURL" -}}
{{- if .Values.rest.url -}}
{{ .Values.rest.url }}
{{- else if and .Values.rest.ingress.enabled .Values.rest.ingress.host -}}
https://{{ .Values.rest.ingress.host }}
{{- else if and .Values.rest.route.enabled .Values.rest.route.hostnames -}}
https://{{ first .Values.rest.route.hostnames }}
{{- else -}}
https://drey.{{ .Release.Namespace }}.svc:8443
{{- end -}}
{{- end -}}

{{- define "drey.serviceAccount" -}}
{{ .Values.serviceAccount.name }}
{{- end -}}

{{- /* The Secret with the CA of the serving certificate. */ -}}
{{- define "drey.caSecret" -}}
{{ if eq .Values.certs.mode "cert-manager" }}drey-serving{{ else }}drey-certs{{ end }}
{{- end -}}

{{- /* The labels of drey's objects. Selectors have the first one alone. */ -}}
{{- define "drey.labels" -}}
{{ merge (dict "app.kubernetes.io/name" "drey") .Values.commonLabels | toYaml }}
{{- end -}}

{{- /* The labels of drey's pods. */ -}}
{{- define "drey.podLabels" -}}
{{ merge (dict "app.kubernetes.io/name" "drey") .Values.podLabels .Values.commonLabels | toYaml }}
{{- end -}}

{{- /* Where and how pods run: the Deployment's, and those of hooks. */ -}}
{{- define "drey.scheduling" -}}
{{- with concat .Values.imagePullSecrets (.Values.global.imagePullSecrets | default list) }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* The image's group, since a new volume is root's. */ -}}
{{- define "drey.podSecurity" -}}
{{- $context := deepCopy .Values.podSecurityContext -}}
{{- if and (eq .Values.store.type "embedded") (not (hasKey $context "fsGroup")) -}}
{{- $_ := set $context "fsGroup" 65532 -}}
{{- end -}}
{{ toYaml $context }}
{{- end -}}
