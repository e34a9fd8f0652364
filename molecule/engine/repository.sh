#!/bin/sh
# Makes an apt repository of the layout of Docker's from the distribution's own packages, under Docker's names and in
# two versions, signs it with a key of its own, and serves it on port 8000. Runs on the host that serves it.
set -eu
export DEBIAN_FRONTEND=noninteractive

top=/srv/repository
root=$top/www/linux/debian
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-sid}")
arch=$(dpkg --print-architecture)
index=$root/dists/$suite/stable/binary-$arch
mkdir -p "$top/debs" "$root/pool" "$index"

apt-get -qq update
apt-get -qq -y install --no-install-recommends gnupg apt-utils > /dev/null

cd "$top/debs"
apt-get -qq download docker.io containerd runc
# A package of its own from Debian 13 on; part of docker.io before.
apt-get -qq download docker-cli 2> /dev/null || true
for deb in *.deb; do dpkg-deb -R "$deb" "$top/${deb%%_*}"; done

engine=$top/docker.io
containerd=$top/containerd
cli=$top/cli
mkdir -p "$cli/usr/bin" "$cli/DEBIAN"
if [ -d "$top/docker-cli" ]; then
    cp -a "$top/docker-cli/usr/bin/docker" "$cli/usr/bin/"
else
    mv "$engine/usr/bin/docker" "$cli/usr/bin/"
fi
# runc is part of Docker's containerd.io.
cp -a "$top/runc/usr" "$containerd/"

depends() {
    dpkg-deb -f "$1" Depends | tr ',' '\n' | sed 's/^ *//' | grep -vE '^(containerd|runc|docker-)' | paste -sd, -
}
engine_depends=$(depends docker.io_*.deb)
containerd_depends=$(depends containerd_*.deb)

# build TREE PACKAGE VERSION DEPENDS REPLACED
build() {
    {
        printf 'Package: %s\nVersion: %s\nArchitecture: %s\n' "$2" "$3" "$arch"
        printf 'Maintainer: The lab <lab@example.com>\nDescription: repacked for a test\n'
        [ -z "$4" ] || printf 'Depends: %s\n' "$4"
        [ -z "$5" ] || printf 'Conflicts: %s\nReplaces: %s\n' "$5" "$5"
    } > "$1/DEBIAN/control"
    # Not compressed: it is read once, on this machine.
    dpkg-deb -Znone --root-owner-group -b "$1" "$root/pool/$2_${3#*:}_$arch.deb" > /dev/null
}
for minor in 1 2; do
    build "$engine" docker-ce "5:28.$minor.0-1~lab" "docker-ce-cli, containerd.io, $engine_depends" docker.io
    build "$cli" docker-ce-cli "5:28.$minor.0-1~lab" "" "docker-cli, docker.io"
    build "$containerd" containerd.io "1.7.$minor-1" "$containerd_depends" "containerd, runc"
done

cd "$root"
apt-ftparchive -o APT::FTPArchive::MD5=false -o APT::FTPArchive::SHA1=false -o APT::FTPArchive::SHA512=false \
    packages pool > "$index/Packages"
apt-ftparchive -o "APT::FTPArchive::Release::Suite=$suite" -o "APT::FTPArchive::Release::Codename=$suite" \
    -o APT::FTPArchive::Release::Components=stable -o "APT::FTPArchive::Release::Architectures=$arch" \
    release "dists/$suite" > "$top/Release"

export GNUPGHOME=$top/gnupg
mkdir -m 700 "$GNUPGHOME"
gpg --batch --quiet --pinentry-mode loopback --passphrase '' --quick-generate-key 'Lab <lab@example.com>' rsa2048 sign never
gpg --batch --quiet --clearsign -o "dists/$suite/InRelease" "$top/Release"
gpg --batch --quiet --armor --export > "$root/gpg"

systemd-run --quiet --unit=repository --working-directory="$top/www" python3 -m http.server 8000
gpg --batch --with-colons --fingerprint | awk -F: '$1 == "fpr" {print $10; exit}' > "$top/fingerprint"
