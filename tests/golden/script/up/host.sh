#!/bin/sh
# What `qlan up` does for lab up:
#   + namespace/back
#   + bridge/back  mac=52:8d:fc:af:0d:18, namespace=namespace/back
#   + bridge/lan  mac=52:fe:94:e7:a5:a8, ipv6=True
#   + address/back-796d8/10.82.66.1/24  link_key=bridge/back, link=back-796d8, interface=10.82.66.1/24, namespace=namespace/back
#   + address/lan-f6128/10.10.10.1/24  link_key=bridge/lan, link=lan-f6128, interface=10.10.10.1/24
#   + address/lan-f6128/fd61:e5d7:f8e8:f527::1/64  link_key=bridge/lan, link=lan-f6128, interface=fd61:e5d7:f8e8:f527::1/64
#   + tap/web/0  bridge=lan-f6128
#   + tap/web/1  bridge=back-796d8, namespace=namespace/back
#   + dnsmasq/back  interface=back-796d8, link_key=bridge/back, address=10.82.66.1/24, namespace=namespace/back, first=10.82.66.64, last=10.82.66.254, reservations=[Reservation(mac 52:87:19:f6:86:18, address 10.82.66.64, name web)], hosts=[[web, 10.82.66.64]]
#   + dnsmasq/lan  interface=lan-f6128, link_key=bridge/lan, address=10.10.10.1/24, first=10.10.10.64, last=10.10.10.254, reservations=[Reservation(mac 52:76:c8:aa:f7:1d, address 10.10.10.64, name web, address6 fd61:e5d7:f8e8:f527::64)], hosts=[[web, 10.10.10.64]], ipv6=Ipv6Service(address fd61:e5d7:f8e8:f527::1/64, first fd61:e5d7:f8e8:f527:0:1::, last fd61:e5d7:f8e8:f527:0:1:0:ffff)
#   + machine/box  binary=/usr/bin/qemu-system-x86_64, machine=pc, accel=tcg, cpus=1, memory_bytes=536870912, drives=[Drive(path /lab/box.qcow2, format qcow2)], run_as=1000
#   + nic/box/0  model=virtio-net-pci, mac=52:a6:7e:1f:1a:08, backend=UserBackend(hostname box)
#   + forward/box/0/tcp:127.0.0.1:2222  protocol=tcp, host_address=127.0.0.1, host_port=2222, guest_address=-, guest_port=22
#   + machine/web  binary=/usr/bin/qemu-system-x86_64, machine=pc, accel=tcg, cpus=1, memory_bytes=536870912, kernel=/lab/vmlinuz, run_as=1000
#   + nic/web/0  model=virtio-net-pci, mac=52:76:c8:aa:f7:1d, backend=TapBackend(tap tap/web/0), leased=[lan, 10.10.10.64, fd61:e5d7:f8e8:f527::64]
#   + nic/web/1  model=e1000, mac=52:87:19:f6:86:18, backend=TapBackend(tap tap/web/1), leased=[back, 10.82.66.64]
set -eu
pid_of() { read -r pid rest <"$1"; echo "$pid"; }
# end SIGNAL RECORD [WORDS]: end a process and wait until it is gone; WORDS lead to where its id was counted
end() { [ -s "$2" ] || return 0; signal=$1 pid=$(pid_of "$2") left=200; shift 2
        "$@" kill -"$signal" "$pid" || return 0
        while [ $left -gt 0 ] && "$@" kill -0 "$pid" 2>/dev/null; do left=$((left - 1)); sleep 0.05; done; }

# namespace/back: a process that holds it open, and says on descriptor 3 when it is there
mkdir -p /run/user/1000/qlan/up/namespace
(unshare --net --pid --fork --kill-child sh -c 'read -r stat </proc/self/stat; echo "$stat" >"$0" && echo >&3 && exec 3>&- && exec env --ignore-signal=CHLD sleep infinity' /run/user/1000/qlan/up/namespace/back 3>&1 >/dev/null 2>/run/user/1000/qlan/up/namespace/back.log &) | head -n 1 >/dev/null
pid_back=$(pid_of /run/user/1000/qlan/up/namespace/back)

nsenter --target=${pid_back} --net ip -batch - <<END
link set dev lo up
link add name back-796d8 address 52:8d:fc:af:0d:18 group 1902964336 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
END

nsenter --target=${pid_back} --net sh -c 'echo 1 >/proc/sys/net/ipv6/conf/back-796d8/disable_ipv6'

nsenter --target=${pid_back} --net ip -batch - <<END
link set dev back-796d8 mtu 1500 alias qlan:up:bridge/back up
END

ip -batch - <<END
link add name lan-f6128 address 52:fe:94:e7:a5:a8 group 1902964336 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
END

sh -c 'echo 0 >/proc/sys/net/ipv6/conf/lan-f6128/accept_ra'

sh -c 'echo 0 >/proc/sys/net/ipv6/conf/lan-f6128/autoconf'

sh -c 'echo 0 >/proc/sys/net/ipv6/conf/lan-f6128/accept_redirects'

sh -c 'echo 0 >/proc/sys/net/ipv6/conf/lan-f6128/accept_dad'

sh -c 'echo 0 >/proc/sys/net/ipv6/conf/lan-f6128/disable_ipv6'

ip -batch - <<END
link set dev lan-f6128 mtu 1500 alias qlan:up:bridge/lan up
END

nsenter --target=${pid_back} --net ip -batch - <<END
addr add 10.82.66.1/24 dev back-796d8
END

ip -batch - <<END
addr add 10.10.10.1/24 dev lan-f6128
addr add fd61:e5d7:f8e8:f527::1/64 dev lan-f6128 nodad
END

mkdir -p /run/user/1000/qlan/up/dnsmasq/back
cat >/run/user/1000/qlan/up/dnsmasq/back/conf <<'END'
# dnsmasq/back of lab script, written by qlan
interface=back-796d8
except-interface=lo
bind-interfaces
no-resolv
no-hosts
pid-file=/run/user/1000/qlan/up/dnsmasq/back/pid
log-facility=/run/user/1000/qlan/up/dnsmasq/back/log
domain=script
local=/script/
expand-hosts
domain-needed
bogus-priv
addn-hosts=/run/user/1000/qlan/up/dnsmasq/back/hosts
dhcp-range=10.82.66.64,10.82.66.254,255.255.255.0,3600s
no-ping
dhcp-option=option:router
dhcp-option=option:mtu,1500
dhcp-leasefile=/run/user/1000/qlan/up/dnsmasq/back/leases
dhcp-hostsfile=/run/user/1000/qlan/up/dnsmasq/back/reservations
dhcp-authoritative
dhcp-lease-max=1000
log-dhcp
END

mkdir -p /run/user/1000/qlan/up/dnsmasq/back
cat >/run/user/1000/qlan/up/dnsmasq/back/reservations <<'END'
52:87:19:f6:86:18,10.82.66.64,web
END

mkdir -p /run/user/1000/qlan/up/dnsmasq/back
cat >/run/user/1000/qlan/up/dnsmasq/back/hosts <<'END'
10.82.66.64 web
END

mkdir -p /run/user/1000/qlan/up/dnsmasq/back
cat >/run/user/1000/qlan/up/dnsmasq/back/resource.json <<'END'
{"type":"Dnsmasq","network":"back","interface":"back-796d8","link_key":"bridge/back","address":"10.82.66.1/24","lab":"script","namespace":"namespace/back","first":"10.82.66.64","last":"10.82.66.254","reservations":[{"type":"Reservation","mac":"52:87:19:f6:86:18","address":"10.82.66.64","name":"web"}],"hosts":[["web","10.82.66.64"]]}
END

nsenter --target=${pid_back} --net --pid dnsmasq --conf-file=/run/user/1000/qlan/up/dnsmasq/back/conf

mkdir -p /run/user/1000/qlan/up/dnsmasq/lan
cat >/run/user/1000/qlan/up/dnsmasq/lan/conf <<'END'
# dnsmasq/lan of lab script, written by qlan
interface=lan-f6128
except-interface=lo
bind-interfaces
no-resolv
no-hosts
pid-file=/run/user/1000/qlan/up/dnsmasq/lan/pid
log-facility=/run/user/1000/qlan/up/dnsmasq/lan/log
domain=script
local=/script/
expand-hosts
domain-needed
bogus-priv
addn-hosts=/run/user/1000/qlan/up/dnsmasq/lan/hosts
dhcp-range=10.10.10.64,10.10.10.254,255.255.255.0,3600s
no-ping
dhcp-option=option:router
dhcp-option=option:mtu,1500
enable-ra
ra-param=lan-f6128,mtu:1500,0,0
dhcp-range=fd61:e5d7:f8e8:f527:0:1::,fd61:e5d7:f8e8:f527:0:1:0:ffff,slaac,ra-names,64,3600s
dhcp-option=option6:dns-server,[fd61:e5d7:f8e8:f527::1]
dhcp-leasefile=/run/user/1000/qlan/up/dnsmasq/lan/leases
dhcp-hostsfile=/run/user/1000/qlan/up/dnsmasq/lan/reservations
dhcp-authoritative
dhcp-lease-max=65727
log-dhcp
END

mkdir -p /run/user/1000/qlan/up/dnsmasq/lan
cat >/run/user/1000/qlan/up/dnsmasq/lan/reservations <<'END'
52:76:c8:aa:f7:1d,10.10.10.64,[fd61:e5d7:f8e8:f527::64],web
END

mkdir -p /run/user/1000/qlan/up/dnsmasq/lan
cat >/run/user/1000/qlan/up/dnsmasq/lan/hosts <<'END'
10.10.10.64 web
END

mkdir -p /run/user/1000/qlan/up/dnsmasq/lan
cat >/run/user/1000/qlan/up/dnsmasq/lan/resource.json <<'END'
{"type":"Dnsmasq","network":"lan","interface":"lan-f6128","link_key":"bridge/lan","address":"10.10.10.1/24","lab":"script","first":"10.10.10.64","last":"10.10.10.254","reservations":[{"type":"Reservation","mac":"52:76:c8:aa:f7:1d","address":"10.10.10.64","name":"web","address6":"fd61:e5d7:f8e8:f527::64"}],"hosts":[["web","10.10.10.64"]],"ipv6":{"type":"Ipv6Service","address":"fd61:e5d7:f8e8:f527::1/64","first":"fd61:e5d7:f8e8:f527:0:1::","last":"fd61:e5d7:f8e8:f527:0:1:0:ffff"}}
END

dnsmasq --conf-file=/run/user/1000/qlan/up/dnsmasq/lan/conf

mkdir -p /run/user/1000/qlan/up/guest/box
cat >/run/user/1000/qlan/up/guest/box/guest.json <<'END'
[{"type":"Machine","guest":"box","lab":"script","binary":"/usr/bin/qemu-system-x86_64","machine":"pc","accel":"tcg","cpus":1,"memory_bytes":536870912,"drives":[{"type":"Drive","path":"/lab/box.qcow2","format":"qcow2"}],"run_as":1000},{"type":"Nic","guest":"box","index":0,"model":"virtio-net-pci","mac":"52:a6:7e:1f:1a:08","backend":{"type":"UserBackend","hostname":"box"}},{"type":"PortForward","guest":"box","nic":0,"protocol":"tcp","host_address":"127.0.0.1","host_port":2222,"guest_address":null,"guest_port":22}]
END

# guest box
/usr/bin/python3 -m qlan.host.handover --guest box --folder /run/user/1000/qlan/up/guest/box --run-as 1000 -- \
  /usr/bin/qemu-system-x86_64 \
    -name box,process=qemu:box \
    -nodefaults \
    -no-user-config \
    -machine pc,accel=tcg \
    -smp 1 \
    -m size=524288K \
    -chardev socket,id=qmp,fd=3,server=on,wait=off \
    -mon chardev=qmp,mode=control \
    -chardev socket,id=events,fd=5,server=on,wait=off \
    -mon chardev=events,mode=control \
    -chardev socket,id=serial,fd=4,server=on,wait=off,logfile=/run/user/1000/qlan/up/guest/box/qemu/serial.log,logappend=on \
    -serial chardev:serial \
    -pidfile /run/user/1000/qlan/up/guest/box/qemu/pid \
    -display none \
    -drive if=virtio,format=qcow2,file=/lab/box.qcow2 \
    -netdev user,id=net0,hostname=box,hostfwd=tcp:127.0.0.1:2222-:22 \
    -device virtio-net-pci,id=nic0,netdev=net0,mac=52:a6:7e:1f:1a:08,romfile= <<END
END

mkdir -p /run/user/1000/qlan/up/guest/web
cat >/run/user/1000/qlan/up/guest/web/guest.json <<'END'
[{"type":"Machine","guest":"web","lab":"script","binary":"/usr/bin/qemu-system-x86_64","machine":"pc","accel":"tcg","cpus":1,"memory_bytes":536870912,"kernel":"/lab/vmlinuz","run_as":1000},{"type":"Nic","guest":"web","index":0,"model":"virtio-net-pci","mac":"52:76:c8:aa:f7:1d","backend":{"type":"TapBackend","tap":"tap/web/0"},"leased":["lan","10.10.10.64","fd61:e5d7:f8e8:f527::64"]},{"type":"Nic","guest":"web","index":1,"model":"e1000","mac":"52:87:19:f6:86:18","backend":{"type":"TapBackend","tap":"tap/web/1"},"leased":["back","10.82.66.64"]}]
END

# guest web
/usr/bin/python3 -m qlan.host.handover --guest web --folder /run/user/1000/qlan/up/guest/web --tap 0:web.0-f0c24 --tap ${pid_back}:web.1-d2b39 --run-as 1000 -- \
  /usr/bin/qemu-system-x86_64 \
    -name web,process=qemu:web \
    -nodefaults \
    -no-user-config \
    -machine pc,accel=tcg \
    -smp 1 \
    -m size=524288K \
    -chardev socket,id=qmp,fd=3,server=on,wait=off \
    -mon chardev=qmp,mode=control \
    -chardev socket,id=events,fd=5,server=on,wait=off \
    -mon chardev=events,mode=control \
    -chardev socket,id=serial,fd=4,server=on,wait=off,logfile=/run/user/1000/qlan/up/guest/web/qemu/serial.log,logappend=on \
    -serial chardev:serial \
    -pidfile /run/user/1000/qlan/up/guest/web/qemu/pid \
    -display none \
    -kernel /lab/vmlinuz \
    -netdev tap,id=net0,fd=6 \
    -device virtio-net-pci,id=nic0,netdev=net0,mac=52:76:c8:aa:f7:1d,romfile= \
    -netdev tap,id=net1,fd=7 \
    -device e1000,id=nic1,netdev=net1,mac=52:87:19:f6:86:18,romfile= <<END
0 ip link set dev web.0-f0c24 master lan-f6128 mtu 1500 group 1902964336 alias qlan:up:tap/web/0 up
${pid_back} ip link set dev web.1-d2b39 master back-796d8 mtu 1500 group 1902964336 alias qlan:up:tap/web/1 up
END

