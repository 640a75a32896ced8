#!/usr/bin/env bash
# The main job, step by step, on the cluster of the current kubeconfig: each step shows the
# command, what came back and what it means, and the demo fails when a step did not show
# what it should.
set -euo pipefail
cd "$(dirname "$0")"

: "${KUBEWARDEN_REGISTRY:?host:port of the registry that holds the policies}"
: "${KUBEWARDEN_REGISTRY_CA:=}"
readonly image=${KUBEWARDEN_DEMO_IMAGE:-registry.k8s.io/pause:3.10}
work=$(mktemp -d)
readonly work
trap 'rm -rf "$work"' EXIT

bold='' plain=''
if [[ -t 1 ]]; then bold=$'\e[1m' plain=$'\e[0m'; fi
steps=0

step() { steps=$((steps + 1)); printf '\n%s%d. %s%s\n' "$bold" "$steps" "$1" "$plain"; }
means() { printf '   => %s\n' "$1"; }
fail() {
	printf '\n!! Step %d did not show what it should: %s\n' "$steps" "$1" >&2
	printf '   Look at: kubectl -n kubewarden logs deploy/kubewarden-operator; kubectl describe ps,cap\n' >&2
	exit 1
}

# shown COMMAND...: prints the command and its output, and keeps the output in $output.
shown() {
	printf '   $ %s\n' "$*"
	local status=0
	output=$("$@" 2>&1) || status=$?
	sed 's/^/     /' <<<"$output"
	return $status
}

# piped COMMANDS: as shown, for a line with pipes.
piped() {
	printf '   $ %s\n' "$1"
	output=$(eval "$1" 2>&1) || return
	sed 's/^/     /' <<<"$output"
}

# denied MESSAGE COMMAND...: the command must be refused with a message that holds MESSAGE.
denied() {
	local message=$1
	shift
	if shown "$@"; then fail "the request was admitted"; fi
	[[ $output == *"$message"* ]] || fail "the refusal does not say \"$message\""
}

admitted() { shown "$@" || fail "the request was refused"; }

# refused NAME: would the Pod in the file of that name be refused?
refused() { ! kubectl create --dry-run=server --filename="$work/pod-$1.yaml"; }

# soon SECONDS WHAT COMMAND...: tries the command until it succeeds.
soon() {
	local patience=$1 what=$2 deadline=$((SECONDS + $1))
	shift 2
	until "$@" >"$work/last" 2>&1; do
		((SECONDS < deadline)) || fail "$what did not happen within $patience s; the last answer: $(tail -n 3 "$work/last")"
		sleep 0.2
	done
}

ready() { shown kubectl wait --for=condition=Ready "$@" || fail "$1 is not ready"; }

# The Pods of the policy server, with the number of their restarts.
readonly pods=(kubectl --namespace=kubewarden get pods --selector=kubewarden/policy-server=default
	--output=custom-columns='NAME:.metadata.name,RESTARTS:.status.containerStatuses[0].restartCount')

# counting prints the name of a replica whose metrics count a rejection in monitor mode.
counting() {
	local pod
	for pod in $(kubectl --namespace=kubewarden get pods --selector=kubewarden/policy-server=default --output=name); do
		if metrics "${pod#pod/}" | grep --quiet "$rejections"; then
			echo "${pod#pod/}"
			return
		fi
	done
	return 1
}
metrics() { kubectl get --raw "/api/v1/namespaces/kubewarden/pods/$1:8080/proxy/metrics"; }
readonly rejections='evaluations_total{accepted="false".*policy_mode="monitor"'

# resource FILE: writes standard input to a file of the demo, shows it and applies it. With
# the variable refusal set, it must be refused with a message that holds it.
resource() {
	cat >"$work/$1"
	sed -e '/BEGIN CERTIFICATE/,/END CERTIFICATE/{/BEGIN/!d;s/-----BEGIN.*/(the certificate of the registry)/}' -e 's/^/     | /' "$work/$1"
	if [[ -n ${refusal:-} ]]; then
		denied "$refusal" kubectl apply --server-side --filename="$work/$1"
	else
		shown kubectl apply --server-side --filename="$work/$1" || fail "$1 was refused"
	fi
}

# pod NAME [LABELS [CONTAINER-FIELDS]]: writes a Pod of the namespace demo to a file.
pod() {
	cat >"$work/pod-$1.yaml" <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1, namespace: demo, labels: {${2:-}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: main, image: "$image", ${3:-}}
YAML
}

# policy NAME MODULE SETTINGS: applies a ClusterAdmissionPolicy for the namespace demo. The
# variables mode, resources and mutating, set before the call, change what they say.
policy() {
	resource "policy-$1.yaml" <<YAML
apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicy
metadata: {name: $1}
spec:
  module: registry://$KUBEWARDEN_REGISTRY/policies/$2
  settings: $3
  mode: ${mode:-protect}
  mutating: ${mutating:-false}
  rules:
  - {apiGroups: [""], apiVersions: [v1], resources: [${resources:-pods}], operations: [CREATE, UPDATE]}
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: demo}}
YAML
}

# registry_authority prints sourceAuthorities for a registry with a certificate of its own.
registry_authority() {
	[[ -n $KUBEWARDEN_REGISTRY_CA ]] || return 0
	printf '      sourceAuthorities:\n        "%s":\n        - |\n' "$KUBEWARDEN_REGISTRY"
	sed 's/^/          /' "$KUBEWARDEN_REGISTRY_CA"
}

kubectl delete namespace demo --ignore-not-found >"$work/last"
kubectl delete clusteradmissionpolicies --ignore-not-found >"$work/last" \
	no-privileged-pods required-labels missing-module drop-capabilities no-node-ports
kubectl delete clusteradmissionpolicygroups --ignore-not-found owned-or-on-call >"$work/last"

step 'One resource is the installation: the operator makes a policy server from it'
resource kubewarden.yaml <<YAML
apiVersion: operator.kubewarden.io/v1alpha1
kind: Kubewarden
metadata: {name: kubewarden}
spec:
  defaultPolicyServer:
    spec:
      replicas: 2
$(registry_authority)
YAML
ready kubewarden/kubewarden --timeout=180s
ready policyserver/default --timeout=180s
shown kubectl --namespace=kubewarden get deployments,services,poddisruptionbudgets,cronjobs || fail 'the objects of the policy server are not there'
shown kubectl get kubewarden kubewarden --output=jsonpath='{.status.certificateProvider}' || fail 'the status cannot be read'
[[ -n $output ]] || fail 'the status does not say who issues certificates'
means "Deployment, Service, disruption budget and audits were made, and two replicas answer with TLS; the provider of certificates is $output."

step 'Two policies, each a WebAssembly module in a registry'
mode=monitor policy no-privileged-pods pod-privileged:v0.1.0 '{}'
policy required-labels required-labels:v0.1.0 '{mandatory_labels: [team]}'
ready clusteradmissionpolicy/no-privileged-pods clusteradmissionpolicy/required-labels --timeout=180s
shown kubectl get policyservers,clusteradmissionpolicies || fail 'the policies are not there'
means 'Both replicas loaded both modules, without a restart; then the webhooks were made.'

step 'In monitor mode a privileged Pod is admitted, and the verdict is in the log and in the metrics'
kubectl create namespace demo >"$work/last"
pod privileged 'team: storage' 'securityContext: {privileged: true}'
admitted kubectl create --filename="$work/pod-privileged.yaml"
logs='kubectl --namespace=kubewarden logs --selector=kubewarden/policy-server=default --since=1m'
piped "$logs | grep 'monitor mode'" || fail 'the log does not tell the verdict'
[[ $output == *'Privileged container is not allowed'* ]] || fail 'the log does not give the message of the policy'
soon 10 'a rejection in the metrics' counting
piped "kubectl get --raw /api/v1/namespaces/kubewarden/pods/$(counting):8080/proxy/metrics | grep '$rejections'" ||
	fail 'the metrics do not count the verdict'
means 'Nobody is disturbed, and one sees what protect mode would deny.'

step 'In protect mode the same Pod is denied'
pod privileged-again 'team: storage' 'securityContext: {privileged: true}'
policy no-privileged-pods pod-privileged:v0.1.0 '{}'
soon 30 'a denial' refused privileged-again
denied 'Privileged container is not allowed' kubectl create --filename="$work/pod-privileged-again.yaml"
means "The API server asked the policy; the message is the policy's own."

step 'An innocent Pod is admitted'
pod innocent 'team: storage'
admitted kubectl create --filename="$work/pod-innocent.yaml"
means 'Both policies agreed.'

step 'The settings of a policy change: enforced at once, and no Pod restarts'
before=$("${pods[@]}")
pod other 'team: storage'
start=$EPOCHREALTIME
policy required-labels required-labels:v0.1.0 '{mandatory_labels: [team, cost-center]}'
soon 10 'the new settings' refused other
took=$(awk "BEGIN {printf \"%.1f\", $EPOCHREALTIME - $start}")
denied 'cost-center' kubectl create --filename="$work/pod-other.yaml"
shown "${pods[@]}" || fail 'the Pods of the policy server cannot be listed'
[[ $output == "$before" ]] || fail "the Pods of the policy server are not what they were: $before"
means "Enforced $took s after the edit began, by the same Pods."

step 'Bad settings are refused when they are written'
refusal='spec.settings: Invalid value' policy wrong-settings required-labels:v0.1.0 '{mandatory_labels: team}'
[[ $output == *mandatory_labels* ]] || fail 'the refusal does not name the bad setting'
means 'A replica that has the module loaded was asked; the words are those of the policy.'

step 'A policy that cannot be loaded fails alone, and says why'
policy missing-module required-labels:v9.9.9 '{}'
reason() { kubectl get clusteradmissionpolicy missing-module --output=jsonpath='{.status.conditions[?(@.type=="Ready")].message}'; }
told() { [[ $(reason) == *ModuleNotFound* ]]; }
soon 30 'a reason in the status' told
shown kubectl get clusteradmissionpolicies || fail 'the policies are not there'
shown kubectl describe clusteradmissionpolicy missing-module || fail 'the policy is not there'
[[ $output == *ModuleNotFound* ]] || fail 'describe does not say what is wrong'
pod privileged-still 'team: storage, cost-center: "7"' 'securityContext: {privileged: true}'
denied 'Privileged container is not allowed' kubectl create --filename="$work/pod-privileged-still.yaml"
means 'The policy has no webhook, its status says what is missing, and the other policies go on.'

step 'A Pod is changed before it is stored'
mutating=true policy drop-capabilities drop-capabilities:v0.1.0 '{required_drop_capabilities: [NET_RAW]}'
ready clusteradmissionpolicy/drop-capabilities --timeout=60s
pod mutated 'team: storage, cost-center: "7"'
admitted kubectl create --filename="$work/pod-mutated.yaml"
shown kubectl --namespace=demo get pod mutated --output=jsonpath='{.spec.containers[0].securityContext}' || fail 'the Pod is not there'
[[ $output == *NET_RAW* ]] || fail 'the Pod does not drop the capability'
means "What was sent says nothing of capabilities; what is stored drops one."

step 'A policy in Rego, compiled to WebAssembly, denies a Service'
resources=services policy no-node-ports disallow-service-nodeport:v0.1.0 '{}'
ready clusteradmissionpolicy/no-node-ports --timeout=60s
denied 'NodePort' kubectl --namespace=demo create service nodeport open-door --tcp=80
means 'Policies written for Open Policy Agent and for Gatekeeper run as they are.'

step 'A group of policies gives one verdict'
resource group.yaml <<YAML
apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicyGroup
metadata: {name: owned-or-on-call}
spec:
  expression: owned() || on_call()
  message: a Pod needs the label owner or the label on-call
  policies:
    owned:
      module: registry://$KUBEWARDEN_REGISTRY/policies/required-labels:v0.1.0
      settings: {mandatory_labels: [owner]}
    on_call:
      module: registry://$KUBEWARDEN_REGISTRY/policies/required-labels:v0.1.0
      settings: {mandatory_labels: [on-call]}
  rules:
  - {apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: demo}}
YAML
ready clusteradmissionpolicygroup/owned-or-on-call --timeout=60s
pod nobodys 'team: storage, cost-center: "7"'
denied 'a Pod needs the label owner or the label on-call' kubectl create --filename="$work/pod-nobodys.yaml"
pod somebodys 'team: storage, cost-center: "7", on-call: night'
admitted kubectl create --filename="$work/pod-somebodys.yaml"
means 'The expression says which verdicts are needed; members are asked only as far as it depends on them.'

step 'An audit finds what is there already'
shown kubectl annotate --overwrite kubewarden kubewarden "kubewarden.io/audit-now=$(date +%s)" || fail 'the audit cannot be asked for'
privileged_found() {
	kubectl --namespace=demo get policyreports --output=jsonpath='{.items[?(@.scope.name=="privileged")].results[?(@.result=="fail")].policy}' |
		grep no-privileged-pods
}
soon 120 'a report about the privileged Pod' privileged_found
shown kubectl get policyreports --all-namespaces --output=wide || fail 'there are no reports'
[[ $output =~ demo.*Pod\ +privileged ]] || fail 'the table does not name the Pod'
means 'The Pod that monitor mode let in is reported; the same table is what report viewers read.'

step 'What is deleted by accident comes back'
shown kubectl --namespace=kubewarden delete service policy-server-default || fail 'the Service is not there'
start=$EPOCHREALTIME
soon 5 'the Service' kubectl --namespace=kubewarden get service policy-server-default
means "The operator made the Service again after $(awk "BEGIN {printf \"%.1f\", $EPOCHREALTIME - $start}") s."

cat <<TEXT

${bold}All $steps steps showed what they should.${plain} To look around:
   export KUBECONFIG=${KUBECONFIG:-~/.kube/config} PATH=$(dirname "$(command -v kubectl)"):\$PATH
   kubectl get kubewarden,policyservers,clusteradmissionpolicies
   kubectl describe clusteradmissionpolicy required-labels
   kubectl --namespace=kubewarden logs deployment/policy-server-default
To stop, leaving nothing behind: make demo-down
TEXT
