#!/usr/bin/env bash
# The workbench in a minimal Debian system, as in a strict container: an ordinary user with a home that cannot be written
# to, no user namespaces, no Landlock, no bubblewrap, no browser, no apt. Needs root and debootstrap on Debian or Ubuntu.
#
#   tests/minimal_container.sh                                  # the page, a round, the replay, then `make test`
#   tests/minimal_container.sh -- tests/test_session.py -x      # the same with these arguments for pytest
#   --wheels DIR    install from these wheels alone (pip download -r requirements-dev.txt -d DIR), with no network but loopback
#   --system DIR    where the system is kept between runs (default: build/minimal-system); made if it is not there
#   --mirror URL    of Debian's packages, for debootstrap
set -euo pipefail

SUITE=bookworm
SYSTEM="" WHEELS="" MIRROR=""
while [ $# -gt 0 ]; do
    case "$1" in
        --system) SYSTEM=$2; shift 2 ;;
        --wheels) WHEELS=$(realpath "$2"); shift 2 ;;
        --mirror) MIRROR=$2; shift 2 ;;
        --) shift; break ;;
        *) echo "Unknown option $1; the head of $0 lists them." >&2; exit 2 ;;
    esac
done
cd "$(dirname "$0")/.."
SYSTEM=$(realpath -m "${SYSTEM:-build/minimal-system}")
[ "$(id -u)" = 0 ] || { echo "debootstrap and chroot need root." >&2; exit 2; }

if [ ! -e "$SYSTEM/.made" ]; then
    command -v debootstrap >/dev/null || { echo "debootstrap is missing; install it (apt-get install debootstrap)." >&2; exit 2; }
    mkdir -p "$SYSTEM"
    # shellcheck disable=SC2086  # no mirror is no argument
    debootstrap --variant=minbase --include=python3,python3-venv,make,ca-certificates $SUITE "$SYSTEM" $MIRROR >/dev/null
    chroot "$SYSTEM" useradd --uid 1000 --create-home person
    touch "$SYSTEM/.made"
fi

# A fresh clone of what is committed, owned by the person, in a place that can be written to. The home cannot.
rm -rf "$SYSTEM/srv/workbench"
git clone --quiet --no-hardlinks . "$SYSTEM/srv/workbench"
chroot "$SYSTEM" chown -R person: /srv/workbench
chroot "$SYSTEM" sh -c 'chown root: /home/person && chmod 555 /home/person'
cp -L /etc/resolv.conf "$SYSTEM/etc/resolv.conf"
echo "127.0.0.1 localhost" >"$SYSTEM/etc/hosts"  # as container engines do
mkdir -p "$SYSTEM/wheels"

pip=(HOME=/home/person LANG=C.UTF-8 PATH=/usr/bin:/bin PIP_NO_CACHE_DIR=1)
[ -z "$WHEELS" ] || pip+=(PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels)

# Mounts in a namespace of their own, which is gone with its last process.
export SYSTEM WHEELS
network=()
[ -z "$WHEELS" ] || network=(--net)
exec unshare --mount --pid "${network[@]}" --fork --kill-child bash -euo pipefail -c '
    [ -z "$WHEELS" ] || ip link set lo up
    mount -t proc proc "$SYSTEM/proc"
    mount --rbind /dev "$SYSTEM/dev"
    [ -z "$WHEELS" ] || mount --bind -o ro "$WHEELS" "$SYSTEM/wheels"
    ruling=$1; shift
    # shellcheck disable=SC2086
    exec chroot --userspec=person: "$SYSTEM" env -i $ruling /bin/sh -c "cd /srv/workbench && exec \"\$@\"" sh \
        python3 tests/without_namespaces.py /bin/sh tests/minimal_container_steps.sh "$@"
' bash "${pip[*]}" "$@"
