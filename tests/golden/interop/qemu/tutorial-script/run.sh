#!/bin/bash
DISK=foo.qcow2
NET="-netdev tap,id=n0,ifname=tap0,script=no -device e1000,netdev=n0"
sudo ip link add br0 type bridge
sudo ip addr add 192.168.50.1/24 dev br0
ip link set eth0 master br0
ip tuntap add dev tap0 mode tap user bob
ip link set tap0 master br0
sudo iptables -t nat -A POSTROUTING -s 192.168.50.0/24 -j MASQUERADE
sysctl -w net.ipv4.ip_forward=1
dnsmasq -i br0 --dhcp-range=192.168.50.10,192.168.50.99,12h --server=9.9.9.9
qemu-system-x86_64 -enable-kvm -m 2048 -smp 2,cores=2 -hda $DISK $NET -nic user,model=virtio,hostfwd=tcp::2222-:22,smbserver=10.0.2.4 -daemonize -pidfile $PID \
  -object filter-dump,id=f,netdev=n0,file=x.pcap -device virtio-rng-pci &
qemu-system-x86_64 -name "Build VM" -cdrom x.iso -m 1G -net nic,model=rtl8139 -net user -netdev socket,id=s,mcast=230.0.0.1:1234 -device virtio-net-pci,netdev=s,mac=52:54:00:12:34:56,mq=on
qemu-system-x86_64 -netdev usr,id=x -device e1000,netdev=x
