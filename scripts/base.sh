#!/bin/sh
# Make an image to build on, for tests and the demo, from Debian packages alone: no registry of images is needed.
#
#   scripts/base.sh python DIR    Python 3.11, C++ runtime, certificates, sh, coreutils
#   scripts/base.sh tools DIR     the same with git, for the tools image
#   scripts/base.sh busybox DIR   sh and its commands, no Python, no C library
#
# DIR, which must be new, becomes an OCI layout with one image of one uncompressed layer; its digest is printed. The layout is
# kept in $XDG_CACHE_HOME/canon-test-bases under the hash of this file, and checked before it is used again.
# Exit status: 3 where no base can be made (mmdebstrap or root is missing) and none is kept, 1 where making it failed.
set -eu
umask 022
suite=bookworm

say() { echo "base.sh: $*" >&2; }

case ${1-} in
python)
    kind=python cmd=python3 path=/usr/local/bin:/usr/bin:/bin
    packages=base-files,base-passwd,ca-certificates,coreutils,dash,libstdc++6,python3
    ;;
tools)
    kind=tools cmd=sh path=/usr/local/bin:/usr/bin:/bin
    packages=base-files,base-passwd,ca-certificates,coreutils,dash,git,libstdc++6,python3
    ;;
busybox) kind=busybox cmd=sh path=/bin packages=busybox-static ;;
*) kind= ;;
esac
if [ -z "$kind" ] || [ $# -ne 2 ]; then
    say "say what to make and where: scripts/base.sh python|tools|busybox DIR"
    exit 2
fi
target=$2
if [ -e "$target" ]; then
    say "$target exists; name a new folder"
    exit 2
fi

unpack() { # unpack TREE: the packages of the base. They are not configured, which takes 8 s in place of 55.
    # The mirror and the proxy of this machine's own apt, where it knows one for this suite.
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' "Codename: $suite" 'Created-By: Packages' 2> /dev/null | sed -n 1p) || mirror=
    proxy=
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
    set -- --quiet --variant=extract --format=directory --skip=output/dev ${proxy:+"--aptopt=Acquire::http::Proxy \"$proxy\""} \
        "--include=$packages" "$suite" "$1" ${mirror:+"$mirror"}
    if [ "$kind" != busybox ]; then
        set -- --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr "$@"
    fi
    mmdebstrap "$@" > "$work/log" 2>&1 || {
        cat "$work/log" >&2
        say "mmdebstrap could not make the $kind base; what it said stands above"
        exit 1
    }
}

finish() ( # finish TREE: write what the packages' own scripts would have written and is needed
    cd "$1"
    if [ "$kind" != busybox ]; then
        cp usr/share/base-passwd/passwd.master etc/passwd
        cp usr/share/base-passwd/group.master etc/group
        cat usr/share/ca-certificates/mozilla/*.crt > etc/ssl/certs/ca-certificates.crt
    else
        chroot . /bin/busybox --install -s /bin
        echo root:x:0:0:root:/root:/bin/sh > etc/passwd
    fi
    # What differs between machines (names, mirrors), what a container gets from whoever starts it (devices), and what
    # nobody reads (manuals, translations, lists of packages).
    rm -rf dev etc/apt etc/dpkg etc/fstab etc/hostname etc/resolv.conf var/cache var/lib/apt var/lib/dpkg var/log
    cd usr/share
    rm -rf bash-completion doc gcc gdb info lintian locale man perl5
    cd ../..
    mkdir -p dev proc run sys tmp
    chmod 1777 tmp
)

blob() { # blob LAYOUT FILE TYPE: move a file into the layout, print its descriptor without the closing brace
    sum=$(sha256sum < "$2" | cut -d ' ' -f 1)
    printf '{"mediaType": "application/vnd.oci.image.%s", "digest": "sha256:%s", "size": %s' "$3" "$sum" "$(stat -c %s "$2")"
    mv "$2" "$1/blobs/sha256/$sum"
}

layout() { # layout DIR TAR: the image of one layer
    mkdir -p "$1/blobs/sha256"
    layer=$(blob "$1" "$2" layer.v1.tar)
    sum=${layer#*sha256:}
    cat > "$1/config" <<END
{"architecture": "$machine", "os": "linux", "config": {"Env": ["PATH=$path"], "Cmd": ["$cmd"]},
"rootfs": {"type": "layers", "diff_ids": ["sha256:${sum%%\"*}"]}, "history": [{"created_by": "scripts/base.sh $kind"}]}
END
    config=$(blob "$1" "$1/config" config.v1+json)
    printf '{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": %s}, "layers": [%s}]}' \
        "$config" "$layer" > "$1/manifest"
    manifest=$(blob "$1" "$1/manifest" manifest.v1+json)
    printf '{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [%s}]}' "$manifest" > "$1/index.json"
    printf '{"imageLayoutVersion": "1.0.0"}' > "$1/oci-layout"
}

sound() { # sound KEPT: every file is there as it was written
    [ -f "$1/sums" ] && (cd "$1/layout" && sha256sum --check --status ../sums)
}

kept() { # kept FOLDER: make the layout there unless it is
    if [ -d "$1" ]; then
        if sound "$1"; then return; fi
        say "$1 is damaged and made anew"
    fi
    if ! command -v mmdebstrap > /dev/null; then
        say "mmdebstrap is not installed (Debian package mmdebstrap), and no $kind base is kept from an earlier run"
        exit 3
    fi
    if [ "$(id -u)" != 0 ]; then
        say "only root can make a base, and no $kind base is kept from an earlier run"
        exit 3
    fi
    rm -rf "$1"
    say "making the $kind base from Debian packages, once"
    work=$(mktemp -d "$1.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM HUP
    unpack "$work/tree"
    finish "$work/tree"
    tar -C "$work/tree" --sort=name --format=pax --pax-option=delete=atime,delete=ctime --mtime=@0 --numeric-owner \
        --owner=0 --group=0 -cf "$work/tar" .
    rm -rf "$work/tree"
    layout "$work/layout" "$work/tar"
    rm -f "$work/log"
    (cd "$work/layout" && find . -type f -exec sha256sum {} +) > "$work/sums"
    chmod 755 "$work"
    mv "$work" "$1"
}

case $(uname -m) in
x86_64) machine=amd64 ;;
aarch64) machine=arm64 ;;
*) machine=$(uname -m) ;;
esac
cache="${XDG_CACHE_HOME:-$HOME/.cache}/canon-test-bases"
mkdir -p "$cache"
place="$cache/$kind-$machine-$(sha256sum < "$0" | cut -c 1-16)"
exec 9> "$place.lock"
flock 9 # two at once: the second one finds what the first one made
kept "$place"
# A copy and no link: who spoils a layout in a test spoils his own.
mkdir -p "$(dirname "$target")"
new=$(mktemp -d "$target.XXXXXX")
cp -R --reflink=auto "$place/layout/." "$new"
chmod 755 "$new"
mv -T "$new" "$target"
sed 's/.*"digest": "\([^"]*\)".*/\1/' "$target/index.json"
echo
