#!/usr/bin/env bash
# Builds the Kubernetes programs that tests and the demo run, from the Go modules pinned in hack/tools/go.mod.
#
#   hack/tools.sh build [name…]   builds what is missing of the named programs (all of them by default)
#   hack/tools.sh path            prints the directory they stand in
#
# The directory is outside the checkout and named after what is pinned, so that every clone of one version shares it.
# KUBEBUILDER_ASSETS, if set, is used in its place, and nothing is built.
set -euo pipefail

modules="$(cd "$(dirname "${BASH_SOURCE[0]}")/tools" && pwd)"
all=(etcd kube-apiserver kube-controller-manager kubectl helm)

die() {
  printf 'tools: %s\n' "$*" >&2
  exit 1
}

tools_dir() {
  if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
    printf '%s\n' "$KUBEBUILDER_ASSETS"
    return
  fi
  local key
  key="$(cat "$modules/go.mod" "$modules/go.sum" | git hash-object --stdin | cut -c1-16)"
  printf '%s/apprunner-operator/tools/%s\n' "${XDG_CACHE_HOME:-${HOME:?is not set}/.cache}" "$key"
}

package_of() {
  case "$1" in
    etcd) echo go.etcd.io/etcd/server/v3 ;;
    kube-apiserver | kube-controller-manager | kubectl) echo "k8s.io/kubernetes/cmd/$1" ;;
    helm) echo helm.sh/helm/v4/cmd/helm ;;
    *) die "unknown program '$1'; known are: ${all[*]}" ;;
  esac
}

require_go() {
  local wanted have
  wanted="$(awk '$1 == "go" { print $2 }' "$modules/go.mod")"
  command -v go >/dev/null || die "Go $wanted or newer is needed to build Kubernetes, and there is no 'go' on the PATH. Install it from https://go.dev/dl, or set KUBEBUILDER_ASSETS to a directory that has ${all[*]}."
  have="$(GOTOOLCHAIN=local go env GOVERSION | sed 's/^go//')"
  [ "$(printf '%s\n%s\n' "$wanted" "$have" | sort -V | head -n 1)" = "$wanted" ] ||
    die "Go $wanted or newer is needed to build Kubernetes; 'go' on the PATH is $have. Install a newer one from https://go.dev/dl."
}

build_one() {
  local name="$1" dir="$2" version started=$SECONDS
  version="$(cd "$modules" && go list -m -f '{{.Version}}' k8s.io/kubernetes)"
  printf 'tools: building %s …\n' "$name" >&2
  (cd "$modules" && CGO_ENABLED=0 go build -trimpath -o "$dir/.$name.$$" \
    -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" "$(package_of "$name")") || {
    rm -f "$dir/.$name.$$"
    die "building $name failed; what Go says stands above"
  }
  mv "$dir/.$name.$$" "$dir/$name"
  printf 'tools: built %s in %d s\n' "$name" "$((SECONDS - started))" >&2
}

build() {
  local dir missing=() name
  dir="$(tools_dir)"
  for name in "$@"; do
    package_of "$name" >/dev/null
    [ -x "$dir/$name" ] || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ -z "${KUBEBUILDER_ASSETS:-}" ] ||
    die "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS has no ${missing[*]}. Put them there, or unset it to have them built."
  require_go
  mkdir -p "$dir"
  printf 'tools: %d to build into %s (all five take some 8 minutes on 2 cores, once)\n' "${#missing[@]}" "$dir" >&2
  for name in "${missing[@]}"; do build_one "$name" "$dir"; done
}

case "${1:-build}" in
  build)
    shift || true
    [ $# -gt 0 ] || set -- "${all[@]}"
    build "$@"
    ;;
  path) tools_dir ;;
  *) die "usage: hack/tools.sh build [name…] | path" ;;
esac
