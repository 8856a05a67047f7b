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

{{- define "apprunner-operator.serviceAccount" -}}
{{- $own := ternary (include "apprunner-operator.fullname" .) "default" .Values.serviceAccount.create }}
{{- default $own .Values.serviceAccount.name }}
{{- end }}

{{- define "apprunner-operator.lease" -}}
{{- default (include "apprunner-operator.fullname" .) .Values.leaderElection.leaseName }}
{{- end }}

{{- define "apprunner-operator.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag }}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ $tag }}{{ end }}{{ end }}
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
{{- end }}

{{/* Refuses combinations of valid values that do not work together. */}}
{{- define "apprunner-operator.check" -}}
{{- if and .Values.rbac.namespaced .Values.ownershipTags (not .Values.clusterId) }}
{{- fail "with rbac.namespaced the operator may not read the cluster's id (the uid of namespace kube-system), which it writes into owner tags. Set clusterId to a name that no other cluster has, or ownershipTags=false." }}
{{- end }}
{{- if and (gt (int .Values.replicaCount) 1) (not .Values.leaderElection.enabled) }}
{{- fail "replicaCount is more than 1 and leaderElection.enabled is false: two operators would work on the same objects. Set leaderElection.enabled=true or replicaCount=1." }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled (not (and .Values.metrics.enabled .Values.metrics.service.create)) }}
{{- fail "serviceMonitor.enabled needs a metrics Service to scrape. Set metrics.enabled=true and metrics.service.create=true." }}
{{- end }}
{{- $accounts := dict }}
{{- range .Values.aws.accounts }}
{{- $account := index (splitList ":" .role) 4 }}
{{- if hasKey $accounts $account }}
{{- fail (printf "aws.accounts lists account %s twice. Write one entry, with all of its namespaces." $account) }}
{{- end }}
{{- $_ := set $accounts $account true }}
{{- end }}
{{- if eq (int .Values.metrics.port) (int .Values.health.port) }}
{{- fail "metrics.port and health.port are the same. Give each a port of its own." }}
{{- end }}
{{- end }}

{{/* The operator's arguments. A test checks that the operator has these flags. */}}
{{- define "apprunner-operator.args" -}}
{{- range include "apprunner-operator.namespaces" . | fromYamlArray }}
- --namespace={{ . }}
{{- end }}
{{- with .Values.regions }}
- --regions={{ join "," . }}
{{- end }}
{{- with .Values.clusterId }}
- --cluster-id={{ . }}
{{- end }}
- --ownership-tags={{ ternary "on" "off" .Values.ownershipTags }}
- --resync={{ .Values.resync }}
- --concurrency={{ .Values.concurrency }}
{{- if .Values.aws.accounts }}
- --accounts=/etc/apprunner-operator/accounts.yaml
{{- end }}
- --aws-rate={{ .Values.aws.rate }}
- --aws-burst={{ .Values.aws.burst }}
- --leader-election={{ ternary "on" "off" .Values.leaderElection.enabled }}
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

{{/* Scheduling, image pull secrets and DNS of a pod. */}}
{{- define "apprunner-operator.placement" -}}
{{- $nodes := dict }}
{{- with .Values.image.architecture }}
{{- $nodes = dict "kubernetes.io/arch" . }}
{{- end }}
{{- with mergeOverwrite $nodes .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- $placement := list "imagePullSecrets" "tolerations" "affinity" "priorityClassName" }}
{{- range $field := concat $placement (list "dnsPolicy" "dnsConfig" "hostAliases") }}
{{- with index $.Values $field }}
{{ $field }}: {{ if kindIs "string" . }}{{ . | quote }}{{ else }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The subject of a binding. */}}
{{- define "apprunner-operator.subject" -}}
- kind: ServiceAccount
  name: {{ include "apprunner-operator.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}
