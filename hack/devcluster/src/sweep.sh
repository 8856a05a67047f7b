# Removes the directory "$1" when the last process that may write there has ended: all of them hold the other end of
# stdin. Also removes the cgroups that have the directory's name. They are empty by then, except for processes whose end
# the kernel has not yet registered.
cat >/dev/null
tries=100
for group in "/sys/fs/cgroup/${1##*/}" /sys/fs/cgroup/*/"${1##*/}"; do
  while [ -d "$group" ] && [ "$tries" -gt 0 ]; do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.05
    tries=$((tries - 1))
  done
done
[ "$2" = keep ] || rm -rf -- "$1"
