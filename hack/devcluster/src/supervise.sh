# Runs "$@" until the owner closes stdin, a pipe, on purpose or by ending; stderr is the component's log. SIGKILL is
# used because an orderly shutdown takes etcd 7 s and the API server over 10 s while a controller watches it. No data is
# lost, for the kernel keeps everything that a process has written.
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
