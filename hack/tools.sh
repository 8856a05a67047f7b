#!/usr/bin/env bash
# Builds the Kubernetes programs that tests and the demo run, from the Go modules pinned in hack/tools/go.mod.
#
#   hack/tools.sh build [name…]   builds the named programs that are missing; "node" means all further programs that a
#                                 node needs (without a name: all programs except those of the node)
#   hack/tools.sh path            prints their directory
#
# TOOLS_MODULE=kubernetes-1.30 takes the versions from hack/tools/kubernetes-1.30/go.mod; `make matrix` builds older
# versions in this way.
#
# The directory is outside the checkout and its name is a hash of the pinned versions, so all clones of one version
# share it. KUBEBUILDER_ASSETS, if set, is used in its place, and nothing is built.
set -euo pipefail

tools="$(cd "$(dirname "${BASH_SOURCE[0]}")/tools" && pwd)"
modules="$tools${TOOLS_MODULE:+/$TOOLS_MODULE}"
all=(etcd kube-apiserver kube-controller-manager kubectl helm kubeconform)
node=(kube-scheduler kubelet containerd containerd-shim-runc-v2 ctr bridge host-local loopback pause)

die() {
  printf 'tools: %s\n' "$*" >&2
  exit 1
}

[ -f "$modules/go.mod" ] || die "TOOLS_MODULE=$TOOLS_MODULE is not a directory of hack/tools with a go.mod"

tools_dir() {
  if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
    printf '%s\n' "$KUBEBUILDER_ASSETS"
    return
  fi
  local key
  key="$(cat "$modules/go.mod" "$modules/go.sum" "$tools/pause.rs" | git hash-object --stdin | cut -c1-16)"
  printf '%s/apprunner-operator/tools/%s\n' "${XDG_CACHE_HOME:-${HOME:?is not set}/.cache}" "$key"
}

package_of() {
  case "$1" in
    etcd) echo go.etcd.io/etcd/server/v3 ;;
    kube-apiserver | kube-controller-manager | kube-scheduler | kubectl | kubelet) echo "k8s.io/kubernetes/cmd/$1" ;;
    helm) awk '$NF ~ "/cmd/helm$" { print $NF }' "$modules/go.mod" ;;
    kubeconform) echo github.com/yannh/kubeconform/cmd/kubeconform ;;
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

version_of() { go list -m -f '{{.Version}}' "$1"; }

# The linker's flags that a release is built with: without them, a program built from a module has no version.
version_flags() {
  local module="${1%/cmd/*}" minor
  case "$1" in
    k8s.io/kubernetes/*) printf -- '-X k8s.io/component-base/version.gitVersion=%s' "$(version_of "$module")" ;;
    helm.sh/*)
      printf -- '-X %s/internal/version.version=%s' "$module" "$(version_of "$module")"
      # The Kubernetes that `helm template` and `helm lint` assume. Helm 4 has no such variables: it reads its own modules.
      minor="$(version_of k8s.io/client-go | cut -d. -f2)"
      printf -- ' -X %s.k8sVersionMinor=%s' "$module/pkg/chartutil" "$minor" "$module/pkg/lint/rules" "$minor"
      ;;
  esac
}

# Runs in the modules' directory; pause is compiled with the pinned Rust, as all our own code is.
compile() {
  local name="$1" to="$2" package
  package="$(package_of "$name")"
  if [ "$name" = pause ]; then
    rustc --edition 2024 -C opt-level=s -C panic=abort -C strip=symbols -C target-feature=+crt-static \
      -C relocation-model=static --remap-path-prefix "$modules=." -o "$to" "$package"
    return
  fi
  # no_btrfs: containerd's support for that file system needs C headers that few machines have.
  CGO_ENABLED=0 go build -trimpath -tags no_btrfs -o "$to" -ldflags "-s -w $(version_flags "$package")" "$package"
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
