#!/usr/bin/env bash
# Installs the operator by kustomize, with the image named by IMG, and waits until it runs.
# What it applies is config/default, or what CONFIG names; the overlay only names the image.
set -euo pipefail
cd "$(dirname "$0")/../.."

: "${IMG:?the image to install, for example ghcr.io/kubewarden/kubewarden-operator:0.1.0}"
overlay=build/deploy
mkdir -p "$overlay"
cat >"$overlay/kustomization.yaml" <<YAML
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../../${CONFIG:-config/default}]
images:
- name: ghcr.io/kubewarden/kubewarden-operator
  newName: ${IMG%:*}
  newTag: "${IMG##*:}"
YAML

echo "  -> install the operator: kubectl apply --server-side -k $overlay"
kubectl apply --server-side --force-conflicts -k "$overlay" >"$overlay/applied.log"
# The same tag may name a new build: roll the Pods, so that what runs is what was loaded.
kubectl --namespace=kubewarden rollout restart deployment/kubewarden-operator >>"$overlay/applied.log"
kubectl --namespace=kubewarden rollout status deployment/kubewarden-operator --timeout=120s >>"$overlay/applied.log"
echo "  ok $(wc -l <"$overlay/applied.log") objects applied, kubewarden-operator is available"
