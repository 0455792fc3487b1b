#!/bin/sh
# /init of the tiny guest: modules, seed, network, SSH. Every line is on the way to the first log-in, so it is short.
export PATH=/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /run /tmp /seed /var/log
mount -t devpts devpts /dev/pts
for module in $(cat /modules/order); do insmod /modules/$module.ko 2>/dev/null; done
echo 'hopsight: booted' >/dev/console
ip link set lo up
for disk in vdb vda vdc vdd; do
    [ -b /dev/$disk ] && mount -t iso9660 -o ro /dev/$disk /seed 2>/dev/null && [ -f /seed/meta-data ] && break
    umount /seed 2>/dev/null
done
name=$(sed -n 's/^local-hostname: *//p' /seed/meta-data 2>/dev/null | tr -d "'\"")
hostname "${name:-tiny}"
echo "127.0.0.1 localhost ${name:-tiny}" >/etc/hosts
# keys: YAML list items that are OpenSSH public keys, from meta-data's public-keys and user-data's ssh_authorized_keys
cat /seed/meta-data /seed/user-data 2>/dev/null | sed -n "s/^ *- *['\"]\{0,1\}\(\(ssh-\|ecdsa-\|sk-\)[^'\"]*\)['\"]\{0,1\}$/\1/p" >/root/.ssh/authorized_keys
chmod 600 /root/.ssh/authorized_keys
ip link set eth0 up
udhcpc -i eth0 -t 100 -T 1 -A 1 -b -s /etc/udhcpc.sh -x hostname:"$(hostname)" -O mtu >/var/log/udhcpc 2>&1 &
dropbearkey -t ed25519 -f /etc/dropbear/dropbear_ed25519_host_key >/dev/null 2>&1
dropbear -s -R -j -k 2>/var/log/dropbear && echo 'hopsight: sshd ready' >/dev/console
case "$(head -c 2 /seed/user-data 2>/dev/null)" in
'#!') cp /seed/user-data /run/user-data && chmod 700 /run/user-data && /run/user-data >/var/log/user-data 2>&1 & ;;
esac
while :; do setsid cttyhack sh -l </dev/console >/dev/console 2>&1; done
