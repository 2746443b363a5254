# Runs a command, and has its own ovs-vswitchd stand still again and again, for a third of a second
# (a busy machine may make it half a second, which counts as stopped: once more then).
under() { for one in $(pgrep -P "$1"); do echo "$one"; under "$one"; done; }
for try in 1 2 3 4; do
  : >said # what an earlier try said is none of this one's
  "$@" >said 2>&1 &
  command=$!
  until grep -q 'emulate at dilation' said; do sleep 0.05; kill -0 $command 2>/dev/null || break; done
  for one in $(under $command); do
    tr '\0' ' ' <"/proc/$one/cmdline" | grep -q '^[^ ]*ovs-vswitchd ' && switch=$one
  done
  while kill -STOP "$switch" 2>/dev/null; do
    sleep 0.33
    kill -CONT "$switch" 2>/dev/null
    sleep 0.1
  done
  wait $command
  code=$?
  grep -q 'is stopped (SIGSTOP), so nothing was judged' said || break
done
cat said
exit $code
