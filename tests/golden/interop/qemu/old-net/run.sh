kvm -m 1G -net nic,model=virtio,macaddr=52:54:00:11:22:33 -net user,hostname=old,hostfwd=udp::69-:69 disk.img
qemu-system-i386 -net nic -net nic,model=pcnet -net tap,ifname=tap7,script=no -hda two.img
qemu-system-x86_64 -nodefaults -kernel bzImage -append "console=ttyS0 root=/dev/vda" -nographic
