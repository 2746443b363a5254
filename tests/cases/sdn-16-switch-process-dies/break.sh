# Runs a command, and when it emulates ends its own ovs-vswitchd, by number: break.sh COMMAND...
under() { for one in $(pgrep -P "$1"); do echo "$one"; under "$one"; done; }
"$@" >said 2>&1 &
command=$!
until grep -q 'emulate at dilation' said; do sleep 0.05; kill -0 $command 2>/dev/null || break; done
for one in $(under $command); do
  tr '\0' ' ' <"/proc/$one/cmdline" | grep -q '^[^ ]*ovs-vswitchd ' && kill -9 "$one"
done
SECONDS=0
wait $command
code=$?
cat said
[ $SECONDS -lt 10 ] && exit $code
