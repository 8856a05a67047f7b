# Runs "$@" until standard input, a pipe, ends: then whoever held its other end is gone, and nothing may be left behind.
# A process id that is somebody else's by then is left alone.
exec 3<&0
{
  cat <&3 >/dev/null
  grep -q apprunner-operator "/proc/$$/cmdline" 2>/dev/null && kill -KILL $$
} &
exec 3<&-
exec "$@" </dev/null
