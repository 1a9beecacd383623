#!/bin/sh
# What `qlan up` does for lab wire:
#   + namespace/realm  user=True
#   + namespace/loop  parent=namespace/realm
#   + namespace/wire  parent=namespace/realm
#   + bridge/lan  mac=52:6a:dc:18:17:ba, namespace=namespace/realm, ipv6=True
#   + address/lan/10.76.88.1/24  link_key=bridge/lan, link=lan, interface=10.76.88.1/24, namespace=namespace/realm
#   + address/lan/fdbb:4d6a:cff1:124d::1/64  link_key=bridge/lan, link=lan, interface=fdbb:4d6a:cff1:124d::1/64, namespace=namespace/realm
#   + tap/left/2  bridge=lan, namespace=namespace/realm
#   + tap/right/0  bridge=lan, namespace=namespace/realm
#   + dnsmasq/lan  interface=lan, link_key=bridge/lan, address=10.76.88.1/24, namespace=namespace/realm, first=10.76.88.64, last=10.76.88.254, reservations=[Reservation(mac 52:54:1a:92:5f:fb, address 10.76.88.64, name left, address6 fdbb:4d6a:cff1:124d::64), Reservation(mac 52:4c:13:84:ca:38, address 10.76.88.65, name right, address6 fdbb:4d6a:cff1:124d::65)], hosts=[[left, 10.76.88.64], [right, 10.76.88.65]], ipv6=Ipv6Service(address fdbb:4d6a:cff1:124d::1/64, first fdbb:4d6a:cff1:124d:0:1::, last fdbb:4d6a:cff1:124d:0:1:0:ffff)
#   + machine/left  binary=/usr/bin/qemu-system-x86_64, machine=pc, accel=tcg, cpus=1, memory_bytes=536870912, kernel=/lab/vmlinuz, addresses=[ip=10.0.0.1:::255.255.255.252:left:eth0:off]
#   + nic/left/0  model=virtio-net-pci, mac=52:c1:4d:96:d5:9a, backend=WireBackend(network wire, end 0, namespace namespace/wire), address=10.0.0.1/30
#   + nic/left/1  model=virtio-net-pci, mac=52:39:fe:ee:af:99, backend=WireBackend(network loop, end 0, namespace namespace/loop), mtu_bytes=9000
#   + nic/left/2  model=virtio-net-pci, mac=52:54:1a:92:5f:fb, backend=TapBackend(tap tap/left/2), leased=[lan, 10.76.88.64, fdbb:4d6a:cff1:124d::64]
#   + nic/left/3  model=virtio-net-pci, mac=52:3b:ba:91:47:0b, backend=WireBackend(network loop, end 1, namespace namespace/loop), link_up=False, mtu_bytes=9000
#   + machine/right  binary=/usr/bin/qemu-system-x86_64, machine=pc, accel=tcg, cpus=1, memory_bytes=536870912, kernel=/lab/vmlinuz, addresses=[ip=10.0.0.2:::255.255.255.252:right:eth1:off]
#   + nic/right/0  model=virtio-net-pci, mac=52:4c:13:84:ca:38, backend=TapBackend(tap tap/right/0), leased=[lan, 10.76.88.65, fdbb:4d6a:cff1:124d::65]
#   + nic/right/1  model=virtio-net-pci, mac=52:1a:5b:b4:11:b7, backend=WireBackend(network wire, end 1, namespace namespace/wire), address=10.0.0.2/30
set -eu
pid_of() { read -r pid rest <"$1"; echo "$pid"; }
# end SIGNAL RECORD [WORDS]: end a process and wait until it is gone; WORDS lead to where its id was counted
end() { [ -s "$2" ] || return 0; signal=$1 pid=$(pid_of "$2") left=200; shift 2
        "$@" kill -"$signal" "$pid" || return 0
        while [ $left -gt 0 ] && "$@" kill -0 "$pid" 2>/dev/null; do left=$((left - 1)); sleep 0.05; done; }

# namespace/realm: a process that holds it open, and says on descriptor 3 when it is there
mkdir -p /run/user/1000/qlan/wire/namespace
(unshare --user --map-root-user --mount --net --pid --fork --kill-child sh -c 'read -r stat </proc/self/stat; echo "$stat" >"$0" && echo >&3 && exec 3>&- && exec env --ignore-signal=CHLD sleep infinity' /run/user/1000/qlan/wire/namespace/realm 3>&1 >/dev/null 2>/run/user/1000/qlan/wire/namespace/realm.log &) | head -n 1 >/dev/null
pid_realm=$(pid_of /run/user/1000/qlan/wire/namespace/realm)

nsenter --target=${pid_realm} --user --net --preserve-credentials ip -batch - <<END
link set dev lo up
END

# namespace/loop: a process that holds it open, and says on descriptor 3 when it is there
mkdir -p /run/user/1000/qlan/wire/namespace
(nsenter --target=${pid_realm} --user --net --pid --preserve-credentials sh -c '"$@" &' sh unshare --net --pid --fork --kill-child sh -c 'read -r stat </proc/self/stat; echo "$stat" >"$0" && echo >&3 && exec 3>&- && exec env --ignore-signal=CHLD sleep infinity' /run/user/1000/qlan/wire/namespace/loop 3>&1 >/dev/null 2>/run/user/1000/qlan/wire/namespace/loop.log &) | head -n 1 >/dev/null
pid_loop=$(pid_of /run/user/1000/qlan/wire/namespace/loop)

nsenter --target=${pid_loop} --user --net --preserve-credentials ip -batch - <<END
link set dev lo up
END

# namespace/wire: a process that holds it open, and says on descriptor 3 when it is there
mkdir -p /run/user/1000/qlan/wire/namespace
(nsenter --target=${pid_realm} --user --net --pid --preserve-credentials sh -c '"$@" &' sh unshare --net --pid --fork --kill-child sh -c 'read -r stat </proc/self/stat; echo "$stat" >"$0" && echo >&3 && exec 3>&- && exec env --ignore-signal=CHLD sleep infinity' /run/user/1000/qlan/wire/namespace/wire 3>&1 >/dev/null 2>/run/user/1000/qlan/wire/namespace/wire.log &) | head -n 1 >/dev/null
pid_wire=$(pid_of /run/user/1000/qlan/wire/namespace/wire)

nsenter --target=${pid_wire} --user --net --preserve-credentials ip -batch - <<END
link set dev lo up
END

nsenter --target=${pid_realm} --user --net --preserve-credentials ip -batch - <<END
link add name lan address 52:6a:dc:18:17:ba group 1902917941 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
END

nsenter --target=${pid_realm} --user --net --preserve-credentials sh -c 'echo 0 >/proc/sys/net/ipv6/conf/lan/accept_ra'

nsenter --target=${pid_realm} --user --net --preserve-credentials sh -c 'echo 0 >/proc/sys/net/ipv6/conf/lan/autoconf'

nsenter --target=${pid_realm} --user --net --preserve-credentials sh -c 'echo 0 >/proc/sys/net/ipv6/conf/lan/accept_redirects'

nsenter --target=${pid_realm} --user --net --preserve-credentials sh -c 'echo 0 >/proc/sys/net/ipv6/conf/lan/accept_dad'

nsenter --target=${pid_realm} --user --net --preserve-credentials sh -c 'echo 0 >/proc/sys/net/ipv6/conf/lan/disable_ipv6'

nsenter --target=${pid_realm} --user --net --preserve-credentials ip -batch - <<END
link set dev lan mtu 1500 alias qlan:wire:bridge/lan up
addr add 10.76.88.1/24 dev lan
addr add fdbb:4d6a:cff1:124d::1/64 dev lan nodad
END

mkdir -p /run/user/1000/qlan/wire/dnsmasq/lan
cat >/run/user/1000/qlan/wire/dnsmasq/lan/conf <<'END'
# dnsmasq/lan of lab cable, written by qlan
interface=lan
except-interface=lo
bind-interfaces
no-resolv
no-hosts
pid-file=/run/user/1000/qlan/wire/dnsmasq/lan/pid
log-facility=/run/user/1000/qlan/wire/dnsmasq/lan/log
domain=cable
local=/cable/
expand-hosts
domain-needed
bogus-priv
addn-hosts=/run/user/1000/qlan/wire/dnsmasq/lan/hosts
dhcp-range=10.76.88.64,10.76.88.254,255.255.255.0,3600s
no-ping
dhcp-option=option:router
dhcp-option=option:mtu,1500
enable-ra
ra-param=lan,mtu:1500,0,0
dhcp-range=fdbb:4d6a:cff1:124d:0:1::,fdbb:4d6a:cff1:124d:0:1:0:ffff,slaac,ra-names,64,3600s
dhcp-option=option6:dns-server,[fdbb:4d6a:cff1:124d::1]
dhcp-leasefile=/run/user/1000/qlan/wire/dnsmasq/lan/leases
dhcp-hostsfile=/run/user/1000/qlan/wire/dnsmasq/lan/reservations
dhcp-authoritative
dhcp-lease-max=65727
log-dhcp
END

mkdir -p /run/user/1000/qlan/wire/dnsmasq/lan
cat >/run/user/1000/qlan/wire/dnsmasq/lan/reservations <<'END'
52:54:1a:92:5f:fb,10.76.88.64,[fdbb:4d6a:cff1:124d::64],left
52:4c:13:84:ca:38,10.76.88.65,[fdbb:4d6a:cff1:124d::65],right
END

mkdir -p /run/user/1000/qlan/wire/dnsmasq/lan
cat >/run/user/1000/qlan/wire/dnsmasq/lan/hosts <<'END'
10.76.88.64 left
10.76.88.65 right
END

mkdir -p /run/user/1000/qlan/wire/dnsmasq/lan
cat >/run/user/1000/qlan/wire/dnsmasq/lan/resource.json <<'END'
{"type":"Dnsmasq","network":"lan","interface":"lan","link_key":"bridge/lan","address":"10.76.88.1/24","lab":"cable","namespace":"namespace/realm","first":"10.76.88.64","last":"10.76.88.254","reservations":[{"type":"Reservation","mac":"52:54:1a:92:5f:fb","address":"10.76.88.64","name":"left","address6":"fdbb:4d6a:cff1:124d::64"},{"type":"Reservation","mac":"52:4c:13:84:ca:38","address":"10.76.88.65","name":"right","address6":"fdbb:4d6a:cff1:124d::65"}],"hosts":[["left","10.76.88.64"],["right","10.76.88.65"]],"ipv6":{"type":"Ipv6Service","address":"fdbb:4d6a:cff1:124d::1/64","first":"fdbb:4d6a:cff1:124d:0:1::","last":"fdbb:4d6a:cff1:124d:0:1:0:ffff"}}
END

nsenter --target=${pid_realm} --user --net --pid --preserve-credentials dnsmasq --conf-file=/run/user/1000/qlan/wire/dnsmasq/lan/conf --user=root --group=

mkdir -p /run/user/1000/qlan/wire/guest/left
cat >/run/user/1000/qlan/wire/guest/left/guest.json <<'END'
[{"type":"Machine","guest":"left","lab":"cable","binary":"/usr/bin/qemu-system-x86_64","machine":"pc","accel":"tcg","cpus":1,"memory_bytes":536870912,"kernel":"/lab/vmlinuz","addresses":["ip=10.0.0.1:::255.255.255.252:left:eth0:off"]},{"type":"Nic","guest":"left","index":0,"model":"virtio-net-pci","mac":"52:c1:4d:96:d5:9a","backend":{"type":"WireBackend","network":"wire","end":0,"namespace":"namespace/wire"},"address":"10.0.0.1/30"},{"type":"Nic","guest":"left","index":1,"model":"virtio-net-pci","mac":"52:39:fe:ee:af:99","backend":{"type":"WireBackend","network":"loop","end":0,"namespace":"namespace/loop"},"mtu_bytes":9000},{"type":"Nic","guest":"left","index":2,"model":"virtio-net-pci","mac":"52:54:1a:92:5f:fb","backend":{"type":"TapBackend","tap":"tap/left/2"},"leased":["lan","10.76.88.64","fdbb:4d6a:cff1:124d::64"]},{"type":"Nic","guest":"left","index":3,"model":"virtio-net-pci","mac":"52:3b:ba:91:47:0b","backend":{"type":"WireBackend","network":"loop","end":1,"namespace":"namespace/loop"},"link_up":false,"mtu_bytes":9000}]
END

# guest left
/usr/bin/python3 -m qlan.host.handover --guest left --folder /run/user/1000/qlan/wire/guest/left --rootless --tap ${pid_realm}:left.2 --end ${pid_wire}:0 --end ${pid_loop}:0 --end ${pid_loop}:1 --qmp '{"execute": "set_link", "arguments": {"name": "nic3", "up": false}}' --qmp '{"execute": "cont", "arguments": {}}' -- \
  /usr/bin/qemu-system-x86_64 \
    -name left,process=qemu:left \
    -nodefaults \
    -no-user-config \
    -machine pc,accel=tcg \
    -smp 1 \
    -m size=524288K \
    -chardev socket,id=qmp,fd=3,server=on,wait=off \
    -mon chardev=qmp,mode=control \
    -chardev socket,id=events,fd=5,server=on,wait=off \
    -mon chardev=events,mode=control \
    -chardev socket,id=serial,fd=4,server=on,wait=off,logfile=/run/user/1000/qlan/wire/guest/left/qemu/serial.log,logappend=on \
    -serial chardev:serial \
    -pidfile /run/user/1000/qlan/wire/guest/left/qemu/pid \
    -display none \
    -S \
    -kernel /lab/vmlinuz \
    -append ip=10.0.0.1:::255.255.255.252:left:eth0:off \
    -netdev dgram,id=net0,local.type=fd,local.str=7 \
    -device virtio-net-pci,id=nic0,netdev=net0,mac=52:c1:4d:96:d5:9a,romfile= \
    -netdev dgram,id=net1,local.type=fd,local.str=8 \
    -device virtio-net-pci,id=nic1,netdev=net1,mac=52:39:fe:ee:af:99,romfile=,host_mtu=9000 \
    -netdev tap,id=net2,fd=6 \
    -device virtio-net-pci,id=nic2,netdev=net2,mac=52:54:1a:92:5f:fb,romfile= \
    -netdev dgram,id=net3,local.type=fd,local.str=9 \
    -device virtio-net-pci,id=nic3,netdev=net3,mac=52:3b:ba:91:47:0b,romfile=,host_mtu=9000 <<END
${pid_realm} ip link set dev left.2 master lan mtu 1500 group 1902917941 alias qlan:wire:tap/left/2 up
END

mkdir -p /run/user/1000/qlan/wire/guest/right
cat >/run/user/1000/qlan/wire/guest/right/guest.json <<'END'
[{"type":"Machine","guest":"right","lab":"cable","binary":"/usr/bin/qemu-system-x86_64","machine":"pc","accel":"tcg","cpus":1,"memory_bytes":536870912,"kernel":"/lab/vmlinuz","addresses":["ip=10.0.0.2:::255.255.255.252:right:eth1:off"]},{"type":"Nic","guest":"right","index":0,"model":"virtio-net-pci","mac":"52:4c:13:84:ca:38","backend":{"type":"TapBackend","tap":"tap/right/0"},"leased":["lan","10.76.88.65","fdbb:4d6a:cff1:124d::65"]},{"type":"Nic","guest":"right","index":1,"model":"virtio-net-pci","mac":"52:1a:5b:b4:11:b7","backend":{"type":"WireBackend","network":"wire","end":1,"namespace":"namespace/wire"},"address":"10.0.0.2/30"}]
END

# guest right
/usr/bin/python3 -m qlan.host.handover --guest right --folder /run/user/1000/qlan/wire/guest/right --rootless --tap ${pid_realm}:right.0 --end ${pid_wire}:1 -- \
  /usr/bin/qemu-system-x86_64 \
    -name right,process=qemu:right \
    -nodefaults \
    -no-user-config \
    -machine pc,accel=tcg \
    -smp 1 \
    -m size=524288K \
    -chardev socket,id=qmp,fd=3,server=on,wait=off \
    -mon chardev=qmp,mode=control \
    -chardev socket,id=events,fd=5,server=on,wait=off \
    -mon chardev=events,mode=control \
    -chardev socket,id=serial,fd=4,server=on,wait=off,logfile=/run/user/1000/qlan/wire/guest/right/qemu/serial.log,logappend=on \
    -serial chardev:serial \
    -pidfile /run/user/1000/qlan/wire/guest/right/qemu/pid \
    -display none \
    -kernel /lab/vmlinuz \
    -append ip=10.0.0.2:::255.255.255.252:right:eth1:off \
    -netdev tap,id=net0,fd=6 \
    -device virtio-net-pci,id=nic0,netdev=net0,mac=52:4c:13:84:ca:38,romfile= \
    -netdev dgram,id=net1,local.type=fd,local.str=7 \
    -device virtio-net-pci,id=nic1,netdev=net1,mac=52:1a:5b:b4:11:b7,romfile= <<END
${pid_realm} ip link set dev right.0 master lan mtu 1500 group 1902917941 alias qlan:wire:tap/right/0 up
END

