# Shared by the verbs in this folder. POSIX shell; each function installs what is missing or says what, why and how.
set -eu
ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$ROOT"
PY="$ROOT/.venv/bin/python"
PATH="$ROOT/.venv/bin:/usr/sbin:/sbin:$PATH"
export PATH

# command:package:why
TOOLS_ALWAYS="redis-server:redis-server:the broker and the live events
ovs-vswitchd:openvswitch-switch:the virtual switches
ssh-keygen:openssh-client:the keys of guests
pkg-config:pkg-config:building libvirt-python
gcc:gcc:building libvirt-python
msgfmt:gettext:the words in other languages"
TOOLS_LAB="libvirtd:libvirt-daemon-system:the hypervisors of the lab
virsh:libvirt-clients:the hypervisors of the lab
qemu-system-x86_64:qemu-system-x86:the guests
qemu-img:qemu-utils:the guests' disks
busybox:busybox-static:the tiny guest image
dropbear:dropbear-bin:the tiny guest image
cpio:cpio:the tiny guest image
zstd:zstd:the tiny guest image
modprobe:kmod:the tiny guest image
ip:iproute2:network namespaces
ethtool:ethtool:offload settings
nft:nftables:netfilter's rules on the way of a packet
tcpdump:tcpdump:looking at packets"
TOOLS_TEST="chromium:chromium:the browser tests
curl:curl:the examples of the API's page
jq:jq:the examples of the docs
openssl:openssl:the tests' certificates
pg_ctlcluster:postgresql:the tests on PostgreSQL
ping:iputils-ping:the tests' real packets
syslinux:syslinux:a disk that boots by itself, for the tests
mcopy:mtools:a disk that boots by itself, for the tests
iperf3:iperf3:the tests' traffic under a restart
lldpd:lldpd:the tests' LLDP neighbours
sshd:openssh-server:the tests' SSH server
pkill:procps:the tests"
TOOLS_BENCH="ovn-nbctl:ovn-central:the reference of port_wired_ms
ovn-controller:ovn-host:the reference of port_wired_ms"

TOOLS_DEPLOY="dockerd:docker.io:the test of the deployment
docker-compose:docker-compose:the test of the deployment
debootstrap:debootstrap:the base image of the test of the deployment
curl:curl:the test of the deployment
ssh-keygen:openssh-client:the keys of guests
ip:iproute2:network namespaces"

say() { printf '%s\n' "$*" >&2; }

fail() { say "hopsight: $*"; exit 1; }

is_root() { [ "$(id -u)" = 0 ]; }

missing_packages() { # $1: lines of command:package:why
    printf '%s\n' "$1" | while IFS=: read -r tool package why; do
        command -v "$tool" >/dev/null 2>&1 || printf '%s ' "$package"
    done
    return 0
}

ensure_packages() { # $1: lines of command:package:why  $2: further packages, by file
    wanted=$(missing_packages "$1")
    [ -e /usr/include/libvirt/libvirt.h ] || wanted="$wanted libvirt-dev"
    python3 -c 'import ensurepip, venv' 2>/dev/null || wanted="$wanted python3-venv"
    [ -n "$(find /usr/include /root/.pyenv /usr/local/include -name Python.h 2>/dev/null | head -n 1)" ] || wanted="$wanted python3-dev"
    if [ "${2:-}" = kernel ] && [ -z "$(find /boot -maxdepth 1 -name 'vmlinuz-*-cloud-amd64' 2>/dev/null)" ]; then
        wanted="$wanted linux-image-cloud-amd64"
    fi
    [ -n "$(printf %s "$wanted" | tr -d ' ')" ] || return 0
    if ! is_root || ! command -v apt-get >/dev/null 2>&1; then
        fail "missing: $wanted. Install them (on Debian: apt-get install $wanted) and run this again."
    fi
    say "hopsight: installing $wanted"
    mkdir -p var
    if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $wanted; } >var/apt.log 2>&1; then
        tail -n 5 var/apt.log >&2
        fail "could not install $wanted: see var/apt.log, or install them by hand and run this again."
    fi
}

ensure_python() { # $1: requirements file (requirements.txt or requirements-dev.txt)
    command -v python3 >/dev/null 2>&1 || ensure_packages "python3:python3:everything"
    [ -x "$PY" ] || python3 -m venv .venv
    for file in requirements.txt ${1:-}; do
        stamp=".venv/.installed-$file"
        cmp -s "$file" "$stamp" 2>/dev/null && continue
        say "hopsight: installing $file"
        "$PY" -m pip install -q --disable-pip-version-check --no-input -r "$file"
        cp "$file" "$stamp"
    done
}

ensure_node() {
    major=$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/')
    [ "${major:-0}" -ge 20 ] && command -v npm >/dev/null 2>&1 && return 0
    say "hopsight: installing Node into .venv (the system's is ${major:-missing}, 20 or newer is needed)"
    "$PY" -m pip install -q --disable-pip-version-check --no-input -r requirements-node.txt
}

tree_stamp() { # a digest of the front end's sources and of its words in other languages
    find frontend portal/locale -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -path '*/dist-bench/*' -not -name '*.mo' -not -name django.po -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum
}

ensure_frontend() { # $1: "tools" to have node_modules even when the bundle is current
    digest=$(tree_stamp)
    if [ ! -d frontend/node_modules ] && { [ "${1:-}" = tools ] || [ "$digest" != "$(cat frontend/dist/.stamp 2>/dev/null)" ]; }; then
        ensure_node
        say "hopsight: installing the front end's packages"
        (cd frontend && npm install --no-save --no-audit --no-fund --loglevel=error)
    fi
    [ "$digest" = "$(cat frontend/dist/.stamp 2>/dev/null)" ] && return 0
    ensure_node
    (cd frontend && npm install --no-save --no-audit --no-fund --loglevel=error --prefer-offline >/dev/null && npm run --silent build >/dev/null)
    printf '%s\n' "$digest" >frontend/dist/.stamp
}

ensure_words() { # the catalogues, compiled; scripts/words gathers new words into them
    for file in portal/locale/*/LC_MESSAGES/*.po; do
        [ "${file%.po}.mo" -nt "$file" ] && continue
        msgfmt --check-format -o "$file.$$" "$file" && mv "$file.$$" "${file%.po}.mo"
    done
}
