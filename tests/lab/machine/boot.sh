# In the machine's own root: a volume group on its second disk (no udev runs, so LVM makes the nodes itself), and libvirtd on
# TCP, which only the loopback of the machine outside leads to.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
for each in /run /var/lib/libvirt /var/cache/libvirt /var/log/libvirt; do mount -t tmpfs -o mode=755 own "$each"; done
mkdir -p /run/lock /run/libvirt /dev/pts /dev/shm /var/lib/libvirt/qemu /var/lib/libvirt/images /etc/lvm
mount -t devpts pts /dev/pts
mount -t tmpfs shm /dev/shm
ip link set lo up
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
printf 'activation {\n udev_sync = 0\n udev_rules = 0\n verify_udev_operations = 1\n}\n' >/etc/lvm/lvm.conf
pvcreate -qq /dev/vda
vgcreate -qq vg0 /dev/vda
printf 'listen_tls = 0\nlisten_tcp = 1\nlisten_addr = "10.0.2.15"\nauth_tcp = "none"\nauth_unix_rw = "none"\nunix_sock_dir = "/run/libvirt"\n' >/run/libvirtd.conf
printf 'user = "root"\ngroup = "root"\nsecurity_driver = "none"\ncgroup_controllers = []\nnamespaces = []\n' >/etc/libvirt/qemu.conf
virtlogd -d
exec libvirtd -l -f /run/libvirtd.conf
