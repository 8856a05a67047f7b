# Removes the directory "$1" when the last process that may write there is gone: all of them hold stdin's other end.
# With it go the cgroups that are called after it. They are empty by then, but for what the kernel has yet to notice.
cat >/dev/null
tries=100
for group in "/sys/fs/cgroup/${1##*/}" /sys/fs/cgroup/*/"${1##*/}"; do
  while [ -d "$group" ] && [ "$tries" -gt 0 ]; do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.05
    tries=$((tries - 1))
  done
done
[ "$2" = keep ] || rm -rf -- "$1"
