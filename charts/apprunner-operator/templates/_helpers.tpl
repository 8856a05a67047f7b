{{- define "apprunner-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* At most 43 characters, so that a name with a suffix of up to 20 characters is still valid. */}}
{{- define "apprunner-operator.fullname" -}}
{{- $name := include "apprunner-operator.name" . }}
{{- $release := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $release .Values.fullnameOverride | trunc 43 | trimSuffix "-" }}
{{- end }}

{{/* The name of cluster-scoped objects: it contains the namespace, so that releases of one name in two namespaces differ. */}}
{{- define "apprunner-operator.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "apprunner-operator.fullname" .) }}
{{- end }}

{{- define "apprunner-operator.selector" -}}
app.kubernetes.io/name: {{ include "apprunner-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "apprunner-operator.labels" -}}
{{ include "apprunner-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The metadata of an object of .root, with its .name, its .namespace, and its own .labels and .annotations, if any. */}}
{{- define "apprunner-operator.metadata" -}}
name: {{ .name }}
{{- with .namespace }}
namespace: {{ . }}
{{- end }}
labels: {{- merge (dict) (default dict .labels) (include "apprunner-operator.labels" .root | fromYaml) | toYaml | nindent 2 }}
{{- with merge (dict) (default dict .annotations) .root.Values.commonAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "apprunner-operator.serviceAccount" -}}
{{- $own := ternary (include "apprunner-operator.fullname" .) "default" .Values.serviceAccount.create }}
{{- default $own .Values.serviceAccount.name }}
{{- end }}

{{- define "apprunner-operator.lease" -}}
{{- default (include "apprunner-operator.fullname" .) .Values.leaderElection.leaseName }}
{{- end }}

{{/* The image. A repository begins with a registry if its first part has a dot or a port, or is localhost. */}}
{{- define "apprunner-operator.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag }}
{{- $repository := .Values.image.repository }}
{{- with .Values.image.registry }}
{{- $repository = printf "%s/%s" . (regexReplaceAll "^(localhost|[^/]*[.:][^/]*)/" $repository "") }}
{{- end }}
{{- with .Values.image }}{{ $repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ $tag }}{{ end }}{{ end }}
{{- end }}

{{/* The watched namespaces, as a YAML list; an empty list means all. With Roles only, the list is never empty. */}}
{{- define "apprunner-operator.namespaces" -}}
{{- $own := ternary (list .Release.Namespace) (list) .Values.rbac.namespaced }}
{{- default $own .Values.watchNamespaces | uniq | toYaml }}
{{- end }}

{{/* The operator's rights; examples/rbac.yaml gives the reasons, and a test compares the two. */}}
{{- define "apprunner-operator.rules" -}}
- apiGroups: [apprunner-operator.dev]
  resources: [vpcconnectors]
  verbs: [get, list, watch, patch]
- apiGroups: [apprunner-operator.dev]
  resources: [vpcconnectors/status]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- end }}

{{/* The operator's arguments. A test checks that the operator has these flags. */}}
{{- define "apprunner-operator.args" -}}
- run
{{- range include "apprunner-operator.namespaces" . | fromYamlArray }}
- --watch-namespace={{ . }}
{{- end }}
{{- with .Values.regions }}
- --regions={{ join "," . }}
{{- end }}
{{- with .Values.clusterId }}
- --cluster-id={{ . }}
{{- end }}
- --ownership-tags={{ .Values.ownershipTags }}
- --default-deletion-policy={{ .Values.defaultDeletionPolicy }}
- --resync={{ .Values.resync }}
- --concurrency={{ .Values.concurrency }}
{{- if .Values.aws.accounts }}
- --accounts=/etc/apprunner-operator/accounts.yaml
{{- end }}
- --aws-rate={{ .Values.aws.rate }}
- --aws-burst={{ .Values.aws.burst }}
- --leader-election={{ .Values.leaderElection.enabled }}
{{- if .Values.leaderElection.enabled }}
- --lease-namespace={{ .Release.Namespace }}
- --lease-name={{ include "apprunner-operator.lease" . }}
{{- end }}
- --health-address={{ .Values.listenAddress }}:{{ .Values.health.port }}
{{- if .Values.metrics.enabled }}
- --metrics-address={{ .Values.listenAddress }}:{{ .Values.metrics.port }}
{{- end }}
- --log={{ .Values.logLevel }}
- --log-format={{ .Values.logFormat }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Fields of every pod: scheduling, image pull secrets and extraPodSpec. */}}
{{- define "apprunner-operator.placement" -}}
{{- $nodes := dict }}
{{- with .Values.image.architecture }}
{{- $nodes = dict "kubernetes.io/arch" . }}
{{- end }}
{{- with mergeOverwrite $nodes .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- range $field := list "imagePullSecrets" "tolerations" "affinity" "priorityClassName" }}
{{- with index $.Values $field }}
{{ $field }}: {{ if kindIs "string" . }}{{ . | quote }}{{ else }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end }}
{{- end }}
{{- end }}

{{/*
The metadata of a hook's pod, of .root, with a .suffix. Its name is not the operator's: selectors of the operator's pods must
not match it.
*/}}
{{- define "apprunner-operator.hookPodMetadata" -}}
{{- with .root.Values }}
labels:
  app.kubernetes.io/name: {{ include "apprunner-operator.name" $.root }}-{{ $.suffix }}
  app.kubernetes.io/instance: {{ $.root.Release.Name }}
  {{- with mergeOverwrite (dict) .podLabels .preflight.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with mergeOverwrite (dict) (default dict $.annotations) .podAnnotations .preflight.podAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* Fields of a pod that a hook of Helm runs beside the operator. */}}
{{- define "apprunner-operator.hookPod" -}}
enableServiceLinks: false
restartPolicy: Never
securityContext: {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- include "apprunner-operator.placement" . }}
{{- with omit .Values.extraPodSpec "initContainers" }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Variables that choose credentials, endpoint and region, and those of the values. */}}
{{- define "apprunner-operator.environment" -}}
env:
  - name: AWS_EC2_METADATA_DISABLED
    value: {{ not .Values.aws.instanceMetadata | quote }}
  {{- with .Values.aws.region }}
  - name: AWS_REGION
    value: {{ . | quote }}
  {{- end }}
  {{- with .Values.aws.endpointUrl }}
  - name: AWS_ENDPOINT_URL
    value: {{ . | quote }}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $secrets := list }}
{{- with .Values.aws.credentials.secretName }}
{{- $secrets = list (dict "secretRef" (dict "name" .)) }}
{{- end }}
{{- with concat $secrets .Values.extraEnvFrom }}
envFrom: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The mounts of the container: the list of accounts, and those of the values. */}}
{{- define "apprunner-operator.mounts" -}}
{{- if or .Values.aws.accounts .Values.extraVolumeMounts }}
volumeMounts:
  {{- if .Values.aws.accounts }}
  - {name: accounts, mountPath: /etc/apprunner-operator, readOnly: true}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The volumes of these mounts. */}}
{{- define "apprunner-operator.volumes" -}}
{{- if or .Values.aws.accounts .Values.extraVolumes }}
volumes:
  {{- if .Values.aws.accounts }}
  - name: accounts
    configMap: {name: {{ include "apprunner-operator.fullname" . }}-accounts}
  {{- end }}
  {{- with .Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The value of the label `job` of the release's series: of the PodMonitor if there is one, and else of the ServiceMonitor. */}}
{{- define "apprunner-operator.job" -}}
{{- $name := include "apprunner-operator.fullname" . }}
{{- $labels := include "apprunner-operator.labels" . | fromYaml }}
{{- with .Values.podMonitor }}
{{- if .enabled }}
{{- $labels = merge (dict) $.Values.podLabels $labels }}
{{- default (printf "%s/%s" (default $.Release.Namespace .namespace) $name) (get $labels .jobLabel) }}
{{- else }}
{{- default (printf "%s-metrics" $name) (get $labels $.Values.serviceMonitor.jobLabel) }}
{{- end }}
{{- end }}
{{- end }}

{{/* An endpoint of a ServiceMonitor or PodMonitor, of that value. */}}
{{- define "apprunner-operator.endpoint" -}}
- port: metrics
  interval: {{ .interval }}
  scrapeTimeout: {{ .scrapeTimeout }}
  scheme: {{ .scheme }}
  {{- if .honorLabels }}
  honorLabels: true
  {{- end }}
  {{- with .tlsConfig }}
  tlsConfig: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .relabelings }}
  relabelings: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .metricRelabelings }}
  metricRelabelings: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* The subject of a binding. */}}
{{- define "apprunner-operator.subject" -}}
- kind: ServiceAccount
  name: {{ include "apprunner-operator.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}
