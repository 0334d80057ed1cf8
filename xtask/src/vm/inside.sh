# Runs the tests of a list in the machine, one after the other, and tells each on standard output. The words at the start
# of a line are read by `vm/said.rs`:
#
#   fact TEXT                what the machine is
#   refused TEXT             it is not what it should be, and nothing is run
#   test NUMBER CODE SECONDS a test of the list ended; the lines that follow it begin with `| ` and are what it said
#   done                     all were run
#
# The list has a line for each test: its program, a tab, its name. Arguments: seconds for one test, seconds for all of them.

one_seconds=$1
all_seconds=$2
stage=/stage
begin=$(date +%s)
tab=$(printf '\t')

echo "fact Linux $(uname -r) on $(nproc) processors, $(systemctl --version | head -n 1)"
echo "fact /sys/fs/cgroup is $(stat -fc %T /sys/fs/cgroup), with $(cat /sys/fs/cgroup/cgroup.controllers)"
echo "fact made by $(systemd-detect-virt)"
if [ "$(stat -fc %T /sys/fs/cgroup)" != cgroup2fs ]; then
    echo "refused /sys/fs/cgroup is not a file system of control groups v2"
    exit 1
fi
if grep -q ' - cgroup ' /proc/self/mountinfo; then
    echo "refused control groups v1 are mounted too"
    exit 1
fi

cp "$stage"/bin/* /usr/local/bin/
# The tests of containers look for the shim where it was built.
mkdir -p "$(dirname "$(cat "$stage/shim")")"
ln -s "$stage/programs/bocage-shim" "$(cat "$stage/shim")"
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
export BOCAGE_BIN=/usr/local/bin/bocage CARGO_TARGET_DIR="$stage/target" INSTA_UPDATE=no
cd /root || exit 1

number=0
while IFS=$tab read -r program name; do
    start=$(date +%s)
    [ $((start - begin)) -lt "$all_seconds" ] || break
    timeout --kill-after=10 "$one_seconds" "$stage/programs/$program" --exact "$name" --nocapture \
        < /dev/null > /run/said 2>&1
    code=$?
    echo "test $number $code $(($(date +%s) - start))"
    if [ "$code" -eq 0 ]; then
        grep 'SKIP: ' /run/said
    else
        tail -n 60 /run/said
    fi | tr -cd '\n\t -~' | sed 's/^/| /'
    number=$((number + 1))
done < "$stage/list"
echo "done"
