# The first process of a cluster's namespaces: makes the ground that the node stands on, then holds it until the owner
# lets go of stdin, a pipe. With its end the kernel kills all that runs in this PID namespace, whoever started it, and
# with the last of them go the mounts and the network. Until then it is the parent of orphans, whom its wait buries.
set -eu
root=$1 group=$2 bridge=$3 node=$4 service=$5

# /proc is still the machine's here: it says by which id the machine knows this shell.
read -r pid _ </proc/self/stat
mount -t proc proc /proc

# What programs insist on writing outside the cluster's directory goes to memory, and with the namespace.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/upper /run/work
mount -t overlay -o lowerdir=/var/lib,upperdir=/run/upper,workdir=/run/work overlay /var/lib
mount -t tmpfs -o mode=755 tmpfs /var/log
# Images and containers too: where the directory is on an overlay itself, no other could be laid over it.
mkdir "$root/node" "$root/pods"
mount -t tmpfs -o mode=700 tmpfs "$root/node"

# The kubelet sets these for the whole machine; it is given copies to set.
for name in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops \
  kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
  [ -e "/proc/sys/$name" ] || continue
  mkdir -p "/run/sysctl/${name%/*}"
  cat "/proc/sys/$name" >"/run/sysctl/$name"
  mount --bind "/run/sysctl/$name" "/proc/sys/$name"
done

# One cgroup in each hierarchy (some have two names), or in the only one; containers go below it, and it is removed with
# the directory.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  # Whoever runs containers does this at the root, so that it mostly is done already; the kernel ignores what is.
  for controller in cpu cpuset memory pids hugetlb; do
    grep -qw "$controller" /sys/fs/cgroup/cgroup.controllers || continue
    echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control
  done
  mkdir "/sys/fs/cgroup/$group"
else
  for hierarchy in /sys/fs/cgroup/*/; do mkdir -p "$hierarchy$group"; done
fi

ip link set lo up
# With an address of its own: otherwise it has the lowest of its ports', another one as pods come and go, and those that
# stay send to the one before for a second or two.
ip link add "$bridge" address 02:00:00:00:00:01 type bridge
ip address add "$node/24" dev "$bridge"
# The service's address too, so that nothing has to translate it.
ip address add "$service/32" dev "$bridge"
ip link set "$bridge" up
ip route add default dev "$bridge"
echo 1 >/proc/sys/net/ipv4/ip_forward

echo "$pid" >"$root/.node.pid"
mv "$root/.node.pid" "$root/node.pid"
cat >/dev/null
