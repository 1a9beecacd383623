#!/bin/sh
# QEMU 10.1 and newer start passt themselves
qemu-system-x86_64 -name web -hda web.img -nic passt,model=virtio-net-pci,mac=52:54:00:12:34:56,quiet=on,tcp-ports=2222:22,tcp-ports=8000-8002,udp-ports=127.0.0.1/5353:53,udp-ports=auto,dns=192.0.2.53
qemu-system-x86_64 -name db -hda db.img -netdev passt,id=n0,mtu=65520 -device e1000,netdev=n0
