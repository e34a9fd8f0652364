#!/usr/bin/env bash
# The Docker engine of this machine.
#   engine.sh up      if none answers: install it with our own role, and start it
#   engine.sh down    remove what `up` has installed, unless something else uses it
#
# Where PID 1 is systemd, the role starts the service. Where it is not (a container, a sandbox), dockerd is started
# here, in the background, and .cache/engine remembers its pid and start time: only that process is ever stopped.
set -eu -o pipefail
cd "$(dirname "$0")/.."
notes=.cache/engine

say() { printf 'engine  %s\n' "$*"; }
fail() { printf 'engine: %s\n' "$*" >&2; exit 1; }
answers() { docker info > /dev/null 2>&1; }
packages() { dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' 2> /dev/null | sed -n 's/^ii *//p' | sort; }
start_time() { sed 's/.*) //' "/proc/$1/stat" 2> /dev/null | cut -d' ' -f20; }

runs() { [ -e "/proc/$1/exe" ] && grep -qE '^(dockerd|containerd)$' "/proc/$1/comm" 2> /dev/null; }

up() {
    local before after path reason
    if answers; then
        say "$(docker info --format 'Docker {{.ServerVersion}}') answers"
        return
    fi
    reason=$(docker info 2>&1 | grep -i -m1 'permission denied' || true)
    [ -z "$reason" ] || fail "this user may not use the Docker engine that runs here: run as root or join the group docker."
    [ "$(id -u)" -eq 0 ] || fail "no Docker engine answers, and only root can install one: run make engine as root once."
    [ -z "${DOCKER_HOST:-}" ] || fail "DOCKER_HOST is $DOCKER_HOST and nothing answers there: unset it, a lab needs the engine of this machine."
    command -v apt-get > /dev/null || fail "no Docker engine answers, and this is neither Debian nor Ubuntu: install and start Docker."

    mkdir -p "$notes"
    # An engine that is installed and stopped is only started, because its settings belong to somebody else.
    if ! command -v dockerd > /dev/null; then
        # What was not there before is removed with the engine.
        for path in /etc/docker /etc/containerd /var/lib/docker /var/lib/containerd /run/docker /run/docker.sock /run/containerd; do
            [ -e "$path" ] || echo "$path"
        done > "$notes/paths"
        [ -e /sys/class/net/docker0 ] || touch "$notes/docker0"
        before=$(packages)
        say "none answers: installing it with our role docker_engine"
        ANSIBLE_CALLBACK_PLUGINS=$PWD/lab/callback_plugins ANSIBLE_STDOUT_CALLBACK=lab_brief \
            ansible-playbook -i localhost, lab/engine.yml
        after=$(packages)
        comm -13 <(echo "$before") <(echo "$after") > "$notes/packages"
    fi
    answers || start
    say "$(docker info --format 'Docker {{.ServerVersion}}') answers"
}

start() {
    if [ -d /run/systemd/system ]; then
        touch "$notes/service"
        systemctl start docker.service || fail "the service docker does not start: see journalctl -u docker."
    else
        # Left by a dockerd that was killed; its number may be another process's by now, or a dead one's that nobody
        # has waited for yet (it has a name and no program), and dockerd then refuses.
        for path in /run/docker.pid /run/docker/containerd/containerd.pid; do
            if [ -e "$path" ] && ! runs "$(cat "$path")"; then rm -f "$path"; fi
        done
        say "PID 1 is not systemd: starting dockerd in the background, its log is $notes/dockerd.log"
        setsid dockerd > "$notes/dockerd.log" 2>&1 < /dev/null &
        echo "$! $(start_time $!)" > "$notes/dockerd"
    fi
    for _try in $(seq 60); do
        if answers; then return; fi
        sleep 0.5
    done
    fail "the engine does not answer after 30 s: $(tail -n1 "$notes/dockerd.log" 2> /dev/null || echo see journalctl -u docker)"
}

stop() {
    local pid started
    if [ -e "$notes/dockerd" ]; then
        read -r pid started < "$notes/dockerd"
        if [ "$(start_time "$pid")" = "$started" ]; then
            kill "$pid"
            for _try in $(seq 60); do
                [ -e "/proc/$pid/exe" ] || break
                sleep 0.25
            done
            say "stopped the dockerd that was started here (pid $pid)"
        fi
        rm -f "$notes/dockerd"
    elif [ -e "$notes/packages" ] || [ -e "$notes/service" ]; then
        systemctl stop docker.socket docker.service containerd.service 2> /dev/null || true
    fi
}

down() {
    [ -d "$notes" ] || return 0
    [ "$(id -u)" -eq 0 ] || fail "only root can remove the engine that was installed here: run make clean as root."
    if answers && [ -n "$(docker ps -aq)$(docker image ls -q)$(docker volume ls -q)" ]; then
        say "kept the engine that was installed here: it has containers, images or volumes that are not of a lab"
        return
    fi
    stop
    if [ ! -e "$notes/packages" ]; then
        rm -rf "$notes"
        return
    fi
    say "removing $(xargs < "$notes/packages")"
    # shellcheck disable=SC2046
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y purge $(cat "$notes/packages") > /dev/null
    while read -r path; do rm -rf "$path"; done < "$notes/paths"
    [ ! -e "$notes/docker0" ] || ip link delete docker0 2> /dev/null || true
    rm -rf "$notes"
}

case "${1:-}" in
    up) up ;;
    down) down ;;
    *) fail "say up or down" ;;
esac
