# Runs "$@" until the owner lets go of stdin, a pipe, on purpose or by ending; stderr is the component's log.
# SIGKILL, because an orderly end takes etcd 7 s and the API server over 10 s while a controller watches it; no data
# is lost, for what a process has written is the kernel's to keep.
exec 3<&0 </dev/null
"$@" >&2 3<&- &
component=$!
{
  read -r _ <&3
  kill -KILL "$component"
} &
guard=$!
exec 3<&-
wait "$component" 2>/dev/null
status=$?
kill "$guard" 2>/dev/null
wait "$guard" 2>/dev/null
exit "$status"
