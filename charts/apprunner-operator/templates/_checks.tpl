{{/* Refuses combinations of valid values that do not work together. */}}
{{- define "apprunner-operator.check" -}}
{{- if and .Values.rbac.namespaced .Values.ownershipTags (not .Values.clusterId) }}
{{- fail "with rbac.namespaced the operator may not read the cluster's id (the uid of namespace kube-system), which it writes into owner tags. Set clusterId to a name that no other cluster has, or ownershipTags=false." }}
{{- end }}
{{- if and (gt (int .Values.replicaCount) 1) (not .Values.leaderElection.enabled) }}
{{- fail "replicaCount is more than 1 and leaderElection.enabled is false: two operators would work on the same objects. Set leaderElection.enabled=true or replicaCount=1." }}
{{- end }}
{{- if and .Values.updateStrategy (not .Values.leaderElection.enabled) (ne (default "RollingUpdate" .Values.updateStrategy.type) "Recreate") }}
{{- fail "updateStrategy is RollingUpdate and leaderElection.enabled is false: two operators would work on the same objects during an update. Set updateStrategy.type=Recreate or leaderElection.enabled=true." }}
{{- end }}
{{- include "apprunner-operator.checkCredentials" . }}
{{- include "apprunner-operator.checkPodSpec" . }}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled }}
{{- fail "serviceMonitor.enabled and podMonitor.enabled are both true: Prometheus would have every series twice. Enable one of them." }}
{{- end }}
{{- if and .Values.podMonitor.enabled (not .Values.metrics.enabled) }}
{{- fail "podMonitor.enabled needs the metrics to scrape. Set metrics.enabled=true." }}
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

{{/* Refuses credentials of two kinds, of which the AWS SDK would silently use one. */}}
{{- define "apprunner-operator.checkCredentials" -}}
{{- with .Values.aws.roleArn }}
{{- $annotated := get (default dict $.Values.serviceAccount.annotations) "eks.amazonaws.com/role-arn" }}
{{- if not $.Values.serviceAccount.create }}
{{- fail "aws.roleArn annotates the service account, and with serviceAccount.create=false the chart has none to annotate. Annotate yours with eks.amazonaws.com/role-arn, and leave aws.roleArn empty." }}
{{- end }}
{{- if and $annotated (ne $annotated .) }}
{{- fail (printf "aws.roleArn is %s, and serviceAccount.annotations has %s. Set aws.roleArn alone." . $annotated) }}
{{- end }}
{{- if $.Values.aws.credentials.secretName }}
{{- fail "aws.roleArn and aws.credentials.secretName are both set: the AWS SDK would use the keys of the Secret, and not the role. Set one of them." }}
{{- end }}
{{- end }}
{{- end }}

{{/* Refuses old values, and fields of extraPodSpec that other values set. */}}
{{- define "apprunner-operator.checkPodSpec" -}}
{{- range $field := list "dnsConfig" "dnsPolicy" "hostAliases" }}
{{- if index $.Values $field }}
{{- fail (printf "the value %s has moved to extraPodSpec.%s. Set it there." $field $field) }}
{{- end }}
{{- end }}
{{- $same := list "affinity" "imagePullSecrets" "nodeSelector" "priorityClassName" "terminationGracePeriodSeconds" "tolerations" "topologySpreadConstraints" }}
{{- $fixed := list "automountServiceAccountToken" "enableServiceLinks" "restartPolicy" }}
{{- $other := dict "containers" "extraArgs, extraEnv or resources for the operator, and extraPodSpec.initContainers for a sidecar (restartPolicy: Always)" "securityContext" "podSecurityContext" "serviceAccount" "serviceAccount.name" "serviceAccountName" "serviceAccount.name" "volumes" "extraVolumes" }}
{{- range $field := keys .Values.extraPodSpec | sortAlpha }}
{{- if has $field $fixed }}
{{- fail (printf "extraPodSpec.%s: the chart sets this field of the pods, and the operator needs it so. Remove it." $field) }}
{{- else if or (has $field $same) (hasKey $other $field) }}
{{- fail (printf "extraPodSpec.%s: the chart sets this field of the pods. Set %s instead." $field (default (printf "the value %s" $field) (index $other $field))) }}
{{- end }}
{{- end }}
{{- end }}
