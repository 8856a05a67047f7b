#!/usr/bin/env bash
# Builds the Kubernetes programs that tests and the demo run, from the Go modules pinned in hack/tools/go.mod.
#
#   hack/tools.sh build [name…]   builds the named programs that are missing; "node" means all further programs that a
#                                 node needs (without a name: all programs except those of the node)
#   hack/tools.sh path            prints their directory
#
# The directory is outside the checkout and its name is a hash of the pinned versions, so all clones of one version
# share it. KUBEBUILDER_ASSETS, if set, is used in its place, and nothing is built.
set -euo pipefail

modules="$(cd "$(dirname "${BASH_SOURCE[0]}")/tools" && pwd)"
all=(etcd kube-apiserver kube-controller-manager kubectl helm)
node=(kube-scheduler kubelet containerd containerd-shim-runc-v2 ctr bridge host-local loopback pause)

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
  key="$(cat "$modules/go.mod" "$modules/go.sum" "$modules/pause.rs" | git hash-object --stdin | cut -c1-16)"
  printf '%s/apprunner-operator/tools/%s\n' "${XDG_CACHE_HOME:-${HOME:?is not set}/.cache}" "$key"
}

package_of() {
  case "$1" in
    etcd) echo go.etcd.io/etcd/server/v3 ;;
    kube-apiserver | kube-controller-manager | kube-scheduler | kubectl | kubelet) echo "k8s.io/kubernetes/cmd/$1" ;;
    helm) echo helm.sh/helm/v4/cmd/helm ;;
    containerd | containerd-shim-runc-v2 | ctr) echo "github.com/containerd/containerd/v2/cmd/$1" ;;
    bridge | loopback) echo "github.com/containernetworking/plugins/plugins/main/$1" ;;
    host-local) echo github.com/containernetworking/plugins/plugins/ipam/host-local ;;
    pause) echo pause.rs ;;
    *) die "unknown program '$1'; known are: ${all[*]} ${node[*]}" ;;
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

# Runs in the modules' directory; pause is compiled with the pinned Rust, as all our own code is.
compile() {
  local name="$1" to="$2" version
  if [ "$name" = pause ]; then
    rustc --edition 2024 -C opt-level=s -C panic=abort -C strip=symbols -C target-feature=+crt-static \
      -C relocation-model=static --remap-path-prefix "$modules=." -o "$to" "$(package_of "$name")"
    return
  fi
  version="$(go list -m -f '{{.Version}}' k8s.io/kubernetes)"
  # no_btrfs: containerd's support for that file system needs C headers that few machines have.
  CGO_ENABLED=0 go build -trimpath -tags no_btrfs -o "$to" \
    -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" "$(package_of "$name")"
}

build_one() {
  local name="$1" dir="$2" started=$SECONDS
  printf 'tools: building %s …\n' "$name" >&2
  (cd "$modules" && compile "$name" "$dir/.$name.$$") || {
    rm -f "$dir/.$name.$$"
    die "building $name failed; the compiler's errors are above"
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
  printf 'tools: %d to build into %s (all together take some 10 minutes on 2 cores, once)\n' "${#missing[@]}" "$dir" >&2
  for name in "${missing[@]}"; do build_one "$name" "$dir"; done
}

case "${1:-build}" in
  build)
    shift || true
    [ $# -gt 0 ] || set -- "${all[@]}"
    names=()
    for name in "$@"; do
      if [ "$name" = node ]; then names+=("${node[@]}"); else names+=("$name"); fi
    done
    build "${names[@]}"
    ;;
  path) tools_dir ;;
  *) die "usage: hack/tools.sh build [name…] | path" ;;
esac
