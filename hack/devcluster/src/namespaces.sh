# The first process of a cluster's namespaces: prepares mounts, cgroups and network for the node, then keeps the
# namespaces until the owner closes stdin, a pipe. When this process ends, the kernel kills all processes in this PID
# namespace, and the mounts and the network disappear with the last of them. Until then it is the parent of orphans and
# reaps them.
set -eu
root=$1 group=$2 bridge=$3 node=$4 service=$5

# /proc is still the machine's here and shows the process id by which the machine knows this shell.
read -r pid _ </proc/self/stat
mount -t proc proc /proc

# Programs that insist on writing outside the cluster's directory write to memory, which disappears with the namespace.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/upper /run/work
mount -t overlay -o lowerdir=/var/lib,upperdir=/run/upper,workdir=/run/work overlay /var/lib
mount -t tmpfs -o mode=755 tmpfs /var/log
# Images and containers too: if the directory is on an overlay itself, no other overlay can be mounted on it.
mkdir "$root/node" "$root/pods"
mount -t tmpfs -o mode=700 tmpfs "$root/node"

# The kubelet sets these for the whole machine; here it sets copies.
for name in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops \
  kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
  [ -e "/proc/sys/$name" ] || continue
  mkdir -p "/run/sysctl/${name%/*}"
  cat "/proc/sys/$name" >"/run/sysctl/$name"
  mount --bind "/run/sysctl/$name" "/proc/sys/$name"
done

# One cgroup in each hierarchy (some have two names), or in the only one. Containers have their cgroups below it, and
# the sweeper removes it with the directory.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  # Every container engine enables these controllers at the root, so most are enabled already; the kernel ignores a
  # repeated request.
  for controller in cpu cpuset memory pids hugetlb; do
    grep -qw "$controller" /sys/fs/cgroup/cgroup.controllers || continue
    echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control
  done
  mkdir "/sys/fs/cgroup/$group"
else
  for hierarchy in /sys/fs/cgroup/*/; do mkdir -p "$hierarchy$group"; done
fi

ip link set lo up
# The bridge gets a fixed MAC address. Without one it has the lowest address of its ports, which changes as pods start
# and end, and running pods send to the old address for 1 to 2 s.
ip link add "$bridge" address 02:00:00:00:00:01 type bridge
ip address add "$node/24" dev "$bridge"
# The bridge also has the service's address, so addresses need no translation.
ip address add "$service/32" dev "$bridge"
ip link set "$bridge" up
ip route add default dev "$bridge"
echo 1 >/proc/sys/net/ipv4/ip_forward

echo "$pid" >"$root/.node.pid"
mv "$root/.node.pid" "$root/node.pid"
cat >/dev/null
