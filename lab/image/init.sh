#!/bin/sh
# PID 1 of a lab host until systemd takes over. Docker mounts /sys/fs/cgroup read-only and systemd
# needs to write there. A remount of the whole mount is refused, a bind remount is not.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -o remount,bind,rw /sys/fs/cgroup
elif [ "$(dpkg-query -W -f '${Version}' systemd | sed 's/[^0-9].*//')" -ge 258 ]; then
    # systemd 258 and later know cgroup v2 only; on a v1 machine this host gets its own v2 tree.
    umount -R /sys/fs/cgroup
    mount -t cgroup2 -o rw,nosuid,nodev,noexec,relatime cgroup2 /sys/fs/cgroup
else
    awk '$2 ~ "^/sys/fs/cgroup" {print $2}' /proc/mounts | while read -r mount_point; do
        mount -o remount,bind,rw "$mount_point"
    done
fi

# Every lab has its own key, so the image holds none.
install -d -m 700 /root/.ssh
printf '%s\n' "$LAB_AUTHORIZED_KEY" > /root/.ssh/authorized_keys
unset LAB_AUTHORIZED_KEY

export container=docker
exec /lib/systemd/systemd
