#!/usr/bin/env bash
# The commands with which a person would build the cluster of playbooks/site.yml. cold_5_hosts compares with them.
# Hosts in parallel over shared ssh connections; every step waits for what the next one needs.
#   by_hand.sh STATE STACK_FILE MANAGER... -- WORKER...      (each NAME=ADDRESS=ZONE)
set -eu -o pipefail

state=$1 stack=$2
shift 2
managers=() workers=() group=managers
for host in "$@"; do
    if [ "$host" = -- ]; then group=workers; elif [ $group = managers ]; then managers+=("$host"); else workers+=("$host"); fi
done

on() { # on ADDRESS COMMAND
    ssh -i "$state/ssh_key" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
        -o ControlMaster=auto -o ControlPersist=60s -o "ControlPath=$state/bench-%h" "root@$1" "$2"
}
address() { local rest=${1#*=}; echo "${rest%%=*}"; }
everywhere() { # everywhere FUNCTION HOST...
    local work=$1 pids=() pid
    shift
    for host in "$@"; do "$work" "$host" & pids+=($!); done
    for pid in "${pids[@]}"; do wait "$pid"; done
}

install() {
    # shellcheck disable=SC2016  # it is for the host to expand
    on "$(address "$1")" 'set -e
        mkdir -p /etc/docker/certs.d/registry.lab:5000
        cat > /etc/docker/certs.d/registry.lab:5000/ca.crt
        echo "{\"log-driver\": \"json-file\", \"log-opts\": {\"max-size\": \"10m\", \"max-file\": \"3\"}}" > /etc/docker/daemon.json
        export DEBIAN_FRONTEND=noninteractive
        apt-get -qq update
        cli=$(apt-cache show docker-cli > /dev/null 2>&1 && echo docker-cli || true)
        apt-get -qq -y --no-install-recommends install docker.io python3-docker $cli > /dev/null 2>&1
        systemctl enable --quiet --now docker 2> /dev/null
        until docker version > /dev/null 2>&1; do sleep 0.2; done' < "$state/registry/ca.crt"
}

first=$(address "${managers[0]}")
join() { on "$(address "$1")" "docker swarm join --token $token --advertise-addr $(address "$1") $first:2377 > /dev/null"; }

everywhere install "${managers[@]}" "${workers[@]}"

on "$first" "docker swarm init --advertise-addr $first > /dev/null"
token=$(on "$first" 'docker swarm join-token -q manager')
for manager in "${managers[@]:1}"; do join "$manager"; done
token=$(on "$first" 'docker swarm join-token -q worker')
[ ${#workers[@]} -eq 0 ] || everywhere join "${workers[@]}"

labels=
label() { labels+="docker node update --label-add zone=${1##*=} --label-add tier=$2 ${1%%=*} > /dev/null; "; }
for host in "${managers[@]}"; do label "$host" control; done
for host in "${workers[@]}"; do label "$host" work; done
on "$first" "until [ \$(docker node ls --format '{{.Status}}' | grep -c Ready) -eq $((${#managers[@]} + ${#workers[@]})) ]; do sleep 0.3; done; $labels"

on "$first" 'cat > /tmp/hello.yml && docker stack deploy --detach=true -c /tmp/hello.yml hello > /dev/null 2>&1 \
    || docker stack deploy -c /tmp/hello.yml hello > /dev/null' < "$stack"
on "$first" "until docker service ls --format '{{.Replicas}}' | grep -q '^2/2'; do sleep 0.3; done"

# The check at the end: every node is ready, and the page answers.
for host in "${managers[@]}" "${workers[@]}"; do
    if page=$(curl -sf -m 2 "http://$(address "$host"):8080/"); then echo "http://$(address "$host"):8080/: $page"; fi
done
