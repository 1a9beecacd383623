IMG=${1:-default.img}
qemu-system-x86_64 -hda "$IMG" -netdev user,id=n,hostfwd=tcp:2222::22 -device virtio-net-pci,netdev=n,mac=33:33:33:33:33:33
qemu-system-x86_64 -hda "$HOME/x.img" -nic tap,script=/root/up.sh,queues=2,vhost=on
