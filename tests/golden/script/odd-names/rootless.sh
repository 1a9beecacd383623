#!/bin/sh
# What `qlan up` does for lab odd-names:
#   + namespace/realm  user=True
#   + namespace/0net  parent=namespace/realm
#   + namespace/pit  parent=namespace/realm
#   + bridge/0net  mac=52:65:f1:c1:96:7d, namespace=namespace/0net
#   + bridge/a-network-of-thirty-two-letters1  mac=52:1c:7f:51:f1:c5, namespace=namespace/realm, ipv6=True
#   + bridge/pit  mac=52:f5:f8:9b:41:db, namespace=namespace/pit
#   + address/0net/10.20.30.1/24  link_key=bridge/0net, link=0net, interface=10.20.30.1/24, namespace=namespace/0net
#   + address/a-network-1a58e/172.20.0.1/16  link_key=bridge/a-network-of-thirty-two-letters1, link=a-network-1a58e, interface=172.20.0.1/16, namespace=namespace/realm
#   + address/a-network-1a58e/fdac:ba81:d6ff:a419::1/64  link_key=bridge/a-network-of-thirty-two-letters1, link=a-network-1a58e, interface=fdac:ba81:d6ff:a419::1/64, namespace=namespace/realm
#   + tap/a-guest-of-thirty-two-characters/0  bridge=a-network-1a58e, namespace=namespace/realm
#   + tap/a-guest-of-thirty-two-characters/1  bridge=pit, namespace=namespace/pit
#   + tap/suspect/0  bridge=0net, namespace=namespace/0net
#   + dnsmasq/0net  interface=0net, link_key=bridge/0net, address=10.20.30.1/24, namespace=namespace/0net, first=10.20.30.64, last=10.20.30.254, reservations=[Reservation(mac 52:b7:56:a9:70:d5, address 10.20.30.64, name suspect)], hosts=[[suspect, 10.20.30.64]]
#   + dnsmasq/a-network-of-thirty-two-letters1  interface=a-network-1a58e, link_key=bridge/a-network-of-thirty-two-letters1, address=172.20.0.1/16, namespace=namespace/realm, first=172.20.64.0, last=172.20.255.254, reservations=[Reservation(mac 52:9c:9a:5a:12:00, address 172.20.64.0, name a-guest-of-thirty-two-characters, address6 fdac:ba81:d6ff:a419::1:6384)], hosts=[[a-guest-of-thirty-two-characters, 172.20.64.0]], ipv6=Ipv6Service(address fdac:ba81:d6ff:a419::1/64, first fdac:ba81:d6ff:a419:0:1::, last fdac:ba81:d6ff:a419:0:1:0:ffff)
#   + machine/a-guest-of-thirty-two-characters  binary=/usr/bin/qemu-system-x86_64, machine=q35, accel=tcg, cpus=4, memory_bytes=2147483648, drives=[Drive(path /lab/odd, name.img, format qcow2, interface ide, read_only True)], display=vnc, qemu_args=[-rtc, base=utc,clock=vm], ports=4, usb=True
#   + nic/a-guest-of-thirty-two-characters/0  model=virtio-net-pci, mac=52:9c:9a:5a:12:00, backend=TapBackend(tap tap/a-guest-of-thirty-two-characters/0), boot=True, leased=[a-network-of-thirty-two-letters1, 172.20.64.0, fdac:ba81:d6ff:a419::1:6384]
#   + nic/a-guest-of-thirty-two-characters/1  model=usb-net, mac=52:52:2c:48:7e:fb, backend=TapBackend(tap tap/a-guest-of-thirty-two-characters/1), link_up=False, bus=usb-bus
#   + nic/a-guest-of-thirty-two-characters/2  model=virtio-net-pci, mac=52:b7:12:8c:b8:ae, backend=UserBackend(hostname a-guest-of-thirty-two-characters)
#   + machine/suspect  binary=/usr/bin/qemu-system-x86_64, machine=pc, accel=tcg, cpus=1, memory_bytes=536870912, kernel=/lab/vmlinuz, initrd=/lab/initrd.gz, append=console=ttyS0 x="a b"
#   + nic/suspect/0  model=virtio-net-pci, mac=52:b7:56:a9:70:d5, backend=TapBackend(tap tap/suspect/0), leased=[0net, 10.20.30.64]
set -eu
pid_of() { read -r pid rest <"$1"; echo "$pid"; }
# end SIGNAL RECORD [WORDS]: end a process and wait until it is gone; WORDS lead to where its id was counted
end() { [ -s "$2" ] || return 0; signal=$1 pid=$(pid_of "$2") left=200; shift 2
        "$@" kill -"$signal" "$pid" || return 0
        while [ $left -gt 0 ] && "$@" kill -0 "$pid" 2>/dev/null; do left=$((left - 1)); sleep 0.05; done; }

# namespace/realm: a process that holds it open, and says on descriptor 3 when it is there
mkdir -p /run/user/1000/qlan/odd-names/namespace
(unshare --user --map-root-user --mount --net --pid --fork --kill-child sh -c 'read -r stat </proc/self/stat; echo "$stat" >"$0" && echo >&3 && exec 3>&- && exec env --ignore-signal=CHLD sleep infinity' /run/user/1000/qlan/odd-names/namespace/realm 3>&1 >/dev/null 2>/run/user/1000/qlan/odd-names/namespace/realm.log &) | head -n 1 >/dev/null
pid_realm=$(pid_of /run/user/1000/qlan/odd-names/namespace/realm)

nsenter --target=${pid_realm} --user --net --preserve-credentials ip -batch - <<END
link set dev lo up
END

# namespace/0net: a process that holds it open, and says on descriptor 3 when it is there
mkdir -p /run/user/1000/qlan/odd-names/namespace
(nsenter --target=${pid_realm} --user --net --pid --preserve-credentials sh -c '"$@" &' sh unshare --net --pid --fork --kill-child sh -c 'read -r stat </proc/self/stat; echo "$stat" >"$0" && echo >&3 && exec 3>&- && exec env --ignore-signal=CHLD sleep infinity' /run/user/1000/qlan/odd-names/namespace/0net 3>&1 >/dev/null 2>/run/user/1000/qlan/odd-names/namespace/0net.log &) | head -n 1 >/dev/null
pid_0net=$(pid_of /run/user/1000/qlan/odd-names/namespace/0net)

nsenter --target=${pid_0net} --user --net --preserve-credentials ip -batch - <<END
link set dev lo up
END

# namespace/pit: a process that holds it open, and says on descriptor 3 when it is there
mkdir -p /run/user/1000/qlan/odd-names/namespace
(nsenter --target=${pid_realm} --user --net --pid --preserve-credentials sh -c '"$@" &' sh unshare --net --pid --fork --kill-child sh -c 'read -r stat </proc/self/stat; echo "$stat" >"$0" && echo >&3 && exec 3>&- && exec env --ignore-signal=CHLD sleep infinity' /run/user/1000/qlan/odd-names/namespace/pit 3>&1 >/dev/null 2>/run/user/1000/qlan/odd-names/namespace/pit.log &) | head -n 1 >/dev/null
pid_pit=$(pid_of /run/user/1000/qlan/odd-names/namespace/pit)

nsenter --target=${pid_pit} --user --net --preserve-credentials ip -batch - <<END
link set dev lo up
END

nsenter --target=${pid_0net} --user --net --preserve-credentials ip -batch - <<END
link add name 0net address 52:65:f1:c1:96:7d group 1902916825 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
END

nsenter --target=${pid_0net} --user --net --preserve-credentials sh -c 'echo 1 >/proc/sys/net/ipv6/conf/0net/disable_ipv6'

nsenter --target=${pid_0net} --user --net --preserve-credentials ip -batch - <<END
link set dev 0net mtu 1500 alias qlan:odd-names:bridge/0net up
END

nsenter --target=${pid_realm} --user --net --preserve-credentials ip -batch - <<END
link add name a-network-1a58e address 52:1c:7f:51:f1:c5 group 1902916825 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
END

nsenter --target=${pid_realm} --user --net --preserve-credentials sh -c 'echo 0 >/proc/sys/net/ipv6/conf/a-network-1a58e/accept_ra'

nsenter --target=${pid_realm} --user --net --preserve-credentials sh -c 'echo 0 >/proc/sys/net/ipv6/conf/a-network-1a58e/autoconf'

nsenter --target=${pid_realm} --user --net --preserve-credentials sh -c 'echo 0 >/proc/sys/net/ipv6/conf/a-network-1a58e/accept_redirects'

nsenter --target=${pid_realm} --user --net --preserve-credentials sh -c 'echo 0 >/proc/sys/net/ipv6/conf/a-network-1a58e/accept_dad'

nsenter --target=${pid_realm} --user --net --preserve-credentials sh -c 'echo 0 >/proc/sys/net/ipv6/conf/a-network-1a58e/disable_ipv6'

nsenter --target=${pid_realm} --user --net --preserve-credentials ip -batch - <<END
link set dev a-network-1a58e mtu 1500 alias qlan:odd-names:bridge/a-network-of-thirty-two-letters1 up
END

nsenter --target=${pid_pit} --user --net --preserve-credentials ip -batch - <<END
link add name pit address 52:f5:f8:9b:41:db group 1902916825 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
END

nsenter --target=${pid_pit} --user --net --preserve-credentials sh -c 'echo 1 >/proc/sys/net/ipv6/conf/pit/disable_ipv6'

nsenter --target=${pid_pit} --user --net --preserve-credentials ip -batch - <<END
link set dev pit mtu 1500 alias qlan:odd-names:bridge/pit up
END

nsenter --target=${pid_0net} --user --net --preserve-credentials ip -batch - <<END
addr add 10.20.30.1/24 dev 0net
END

nsenter --target=${pid_realm} --user --net --preserve-credentials ip -batch - <<END
addr add 172.20.0.1/16 dev a-network-1a58e
addr add fdac:ba81:d6ff:a419::1/64 dev a-network-1a58e nodad
END

mkdir -p /run/user/1000/qlan/odd-names/dnsmasq/0net
cat >/run/user/1000/qlan/odd-names/dnsmasq/0net/conf <<'END'
# dnsmasq/0net of lab a-name-of-thirty-two-characters1, written by qlan
interface=0net
except-interface=lo
bind-interfaces
no-resolv
no-hosts
pid-file=/run/user/1000/qlan/odd-names/dnsmasq/0net/pid
log-facility=/run/user/1000/qlan/odd-names/dnsmasq/0net/log
domain=a-name-of-thirty-two-characters1
local=/a-name-of-thirty-two-characters1/
expand-hosts
domain-needed
bogus-priv
addn-hosts=/run/user/1000/qlan/odd-names/dnsmasq/0net/hosts
dhcp-range=10.20.30.64,10.20.30.254,255.255.255.0,3600s
no-ping
dhcp-option=option:router
dhcp-option=option:mtu,1500
dhcp-leasefile=/run/user/1000/qlan/odd-names/dnsmasq/0net/leases
dhcp-hostsfile=/run/user/1000/qlan/odd-names/dnsmasq/0net/reservations
dhcp-authoritative
dhcp-lease-max=1000
log-dhcp
END

mkdir -p /run/user/1000/qlan/odd-names/dnsmasq/0net
cat >/run/user/1000/qlan/odd-names/dnsmasq/0net/reservations <<'END'
52:b7:56:a9:70:d5,10.20.30.64,suspect
END

mkdir -p /run/user/1000/qlan/odd-names/dnsmasq/0net
cat >/run/user/1000/qlan/odd-names/dnsmasq/0net/hosts <<'END'
10.20.30.64 suspect
END

mkdir -p /run/user/1000/qlan/odd-names/dnsmasq/0net
cat >/run/user/1000/qlan/odd-names/dnsmasq/0net/resource.json <<'END'
{"type":"Dnsmasq","network":"0net","interface":"0net","link_key":"bridge/0net","address":"10.20.30.1/24","lab":"a-name-of-thirty-two-characters1","namespace":"namespace/0net","first":"10.20.30.64","last":"10.20.30.254","reservations":[{"type":"Reservation","mac":"52:b7:56:a9:70:d5","address":"10.20.30.64","name":"suspect"}],"hosts":[["suspect","10.20.30.64"]]}
END

nsenter --target=${pid_0net} --user --net --pid --preserve-credentials dnsmasq --conf-file=/run/user/1000/qlan/odd-names/dnsmasq/0net/conf --user=root --group=

mkdir -p /run/user/1000/qlan/odd-names/dnsmasq/a-network-of-thirty-two-letters1
cat >/run/user/1000/qlan/odd-names/dnsmasq/a-network-of-thirty-two-letters1/conf <<'END'
# dnsmasq/a-network-of-thirty-two-letters1 of lab a-name-of-thirty-two-characters1, written by qlan
interface=a-network-1a58e
except-interface=lo
bind-interfaces
no-resolv
no-hosts
pid-file=/run/user/1000/qlan/odd-names/dnsmasq/a-network-of-thirty-two-letters1/pid
log-facility=/run/user/1000/qlan/odd-names/dnsmasq/a-network-of-thirty-two-letters1/log
domain=a-name-of-thirty-two-characters1
local=/a-name-of-thirty-two-characters1/
expand-hosts
domain-needed
bogus-priv
addn-hosts=/run/user/1000/qlan/odd-names/dnsmasq/a-network-of-thirty-two-letters1/hosts
dhcp-range=172.20.64.0,172.20.255.254,255.255.0.0,3600s
no-ping
dhcp-option=option:router
dhcp-option=option:mtu,1500
enable-ra
ra-param=a-network-1a58e,mtu:1500,0,0
dhcp-range=fdac:ba81:d6ff:a419:0:1::,fdac:ba81:d6ff:a419:0:1:0:ffff,slaac,ra-names,64,3600s
dhcp-option=option6:dns-server,[fdac:ba81:d6ff:a419::1]
dhcp-leasefile=/run/user/1000/qlan/odd-names/dnsmasq/a-network-of-thirty-two-letters1/leases
dhcp-hostsfile=/run/user/1000/qlan/odd-names/dnsmasq/a-network-of-thirty-two-letters1/reservations
dhcp-authoritative
dhcp-lease-max=114687
log-dhcp
END

mkdir -p /run/user/1000/qlan/odd-names/dnsmasq/a-network-of-thirty-two-letters1
cat >/run/user/1000/qlan/odd-names/dnsmasq/a-network-of-thirty-two-letters1/reservations <<'END'
52:9c:9a:5a:12:00,172.20.64.0,[fdac:ba81:d6ff:a419::1:6384],a-guest-of-thirty-two-characters
END

mkdir -p /run/user/1000/qlan/odd-names/dnsmasq/a-network-of-thirty-two-letters1
cat >/run/user/1000/qlan/odd-names/dnsmasq/a-network-of-thirty-two-letters1/hosts <<'END'
172.20.64.0 a-guest-of-thirty-two-characters
END

mkdir -p /run/user/1000/qlan/odd-names/dnsmasq/a-network-of-thirty-two-letters1
cat >/run/user/1000/qlan/odd-names/dnsmasq/a-network-of-thirty-two-letters1/resource.json <<'END'
{"type":"Dnsmasq","network":"a-network-of-thirty-two-letters1","interface":"a-network-1a58e","link_key":"bridge/a-network-of-thirty-two-letters1","address":"172.20.0.1/16","lab":"a-name-of-thirty-two-characters1","namespace":"namespace/realm","first":"172.20.64.0","last":"172.20.255.254","reservations":[{"type":"Reservation","mac":"52:9c:9a:5a:12:00","address":"172.20.64.0","name":"a-guest-of-thirty-two-characters","address6":"fdac:ba81:d6ff:a419::1:6384"}],"hosts":[["a-guest-of-thirty-two-characters","172.20.64.0"]],"ipv6":{"type":"Ipv6Service","address":"fdac:ba81:d6ff:a419::1/64","first":"fdac:ba81:d6ff:a419:0:1::","last":"fdac:ba81:d6ff:a419:0:1:0:ffff"}}
END

nsenter --target=${pid_realm} --user --net --pid --preserve-credentials dnsmasq --conf-file=/run/user/1000/qlan/odd-names/dnsmasq/a-network-of-thirty-two-letters1/conf --user=root --group=

mkdir -p /run/user/1000/qlan/odd-names/guest/a-guest-of-thirty-two-characters
cat >/run/user/1000/qlan/odd-names/guest/a-guest-of-thirty-two-characters/guest.json <<'END'
[{"type":"Machine","guest":"a-guest-of-thirty-two-characters","lab":"a-name-of-thirty-two-characters1","binary":"/usr/bin/qemu-system-x86_64","machine":"q35","accel":"tcg","cpus":4,"memory_bytes":2147483648,"drives":[{"type":"Drive","path":"/lab/odd, name.img","format":"qcow2","interface":"ide","read_only":true}],"display":"vnc","qemu_args":["-rtc","base=utc,clock=vm"],"ports":4,"usb":true},{"type":"Nic","guest":"a-guest-of-thirty-two-characters","index":0,"model":"virtio-net-pci","mac":"52:9c:9a:5a:12:00","backend":{"type":"TapBackend","tap":"tap/a-guest-of-thirty-two-characters/0"},"boot":true,"leased":["a-network-of-thirty-two-letters1","172.20.64.0","fdac:ba81:d6ff:a419::1:6384"]},{"type":"Nic","guest":"a-guest-of-thirty-two-characters","index":1,"model":"usb-net","mac":"52:52:2c:48:7e:fb","backend":{"type":"TapBackend","tap":"tap/a-guest-of-thirty-two-characters/1"},"link_up":false,"bus":"usb-bus"},{"type":"Nic","guest":"a-guest-of-thirty-two-characters","index":2,"model":"virtio-net-pci","mac":"52:b7:12:8c:b8:ae","backend":{"type":"UserBackend","hostname":"a-guest-of-thirty-two-characters"}}]
END

# guest a-guest-of-thirty-two-characters
/usr/bin/python3 -m qlan.host.handover --guest a-guest-of-thirty-two-characters --folder /run/user/1000/qlan/odd-names/guest/a-guest-of-thirty-two-characters --rootless --tap ${pid_realm}:a-guest-o-43428 --tap ${pid_pit}:a-guest-o-29d43 --qmp '{"execute": "set_link", "arguments": {"name": "nic1", "up": false}}' --qmp '{"execute": "cont", "arguments": {}}' -- \
  /usr/bin/qemu-system-x86_64 \
    -name a-guest-of-thirty-two-characters,process=qemu:a-guest-of-thirty-two-characters \
    -nodefaults \
    -no-user-config \
    -machine q35,accel=tcg \
    -smp 4 \
    -m size=2097152K \
    -chardev socket,id=qmp,fd=3,server=on,wait=off \
    -mon chardev=qmp,mode=control \
    -chardev socket,id=events,fd=5,server=on,wait=off \
    -mon chardev=events,mode=control \
    -chardev socket,id=serial,fd=4,server=on,wait=off,logfile=/run/user/1000/qlan/odd-names/guest/a-guest-of-thirty-two-characters/qemu/serial.log,logappend=on \
    -serial chardev:serial \
    -pidfile /run/user/1000/qlan/odd-names/guest/a-guest-of-thirty-two-characters/qemu/pid \
    -vga std \
    -vnc 127.0.0.1:0,to=99 \
    -S \
    -drive 'if=ide,format=qcow2,file=/lab/odd,, name.img,readonly=on' \
    -device qemu-xhci,id=xhci \
    -device pcie-root-port,id=port-nic0,bus=pcie.0,chassis=1 \
    -device pcie-root-port,id=port-nic2,bus=pcie.0,chassis=2 \
    -device pcie-root-port,id=port-0,bus=pcie.0,chassis=3 \
    -device pcie-root-port,id=port-1,bus=pcie.0,chassis=4 \
    -device pcie-root-port,id=port-2,bus=pcie.0,chassis=5 \
    -device pcie-root-port,id=port-3,bus=pcie.0,chassis=6 \
    -netdev tap,id=net0,fd=6 \
    -device virtio-net-pci,id=nic0,netdev=net0,mac=52:9c:9a:5a:12:00,bootindex=0,bus=port-nic0 \
    -netdev tap,id=net1,fd=7 \
    -device usb-net,id=nic1,netdev=net1,mac=52:52:2c:48:7e:fb \
    -netdev user,id=net2,hostname=a-guest-of-thirty-two-characters \
    -device virtio-net-pci,id=nic2,netdev=net2,mac=52:b7:12:8c:b8:ae,romfile=,bus=port-nic2 \
    -rtc base=utc,clock=vm <<END
${pid_realm} ip link set dev a-guest-o-43428 master a-network-1a58e mtu 1500 group 1902916825 alias qlan:odd-names:tap/a-guest-of-thirty-two-characters/0 up
${pid_pit} ip link set dev a-guest-o-29d43 master pit mtu 1500 group 1902916825 alias qlan:odd-names:tap/a-guest-of-thirty-two-characters/1 up
END

mkdir -p /run/user/1000/qlan/odd-names/guest/suspect
cat >/run/user/1000/qlan/odd-names/guest/suspect/guest.json <<'END'
[{"type":"Machine","guest":"suspect","lab":"a-name-of-thirty-two-characters1","binary":"/usr/bin/qemu-system-x86_64","machine":"pc","accel":"tcg","cpus":1,"memory_bytes":536870912,"kernel":"/lab/vmlinuz","initrd":"/lab/initrd.gz","append":"console=ttyS0 x=\"a b\""},{"type":"Nic","guest":"suspect","index":0,"model":"virtio-net-pci","mac":"52:b7:56:a9:70:d5","backend":{"type":"TapBackend","tap":"tap/suspect/0"},"leased":["0net","10.20.30.64"]}]
END

# guest suspect
/usr/bin/python3 -m qlan.host.handover --guest suspect --folder /run/user/1000/qlan/odd-names/guest/suspect --rootless --tap ${pid_0net}:suspect.0 -- \
  /usr/bin/qemu-system-x86_64 \
    -name suspect,process=qemu:suspect \
    -nodefaults \
    -no-user-config \
    -machine pc,accel=tcg \
    -smp 1 \
    -m size=524288K \
    -chardev socket,id=qmp,fd=3,server=on,wait=off \
    -mon chardev=qmp,mode=control \
    -chardev socket,id=events,fd=5,server=on,wait=off \
    -mon chardev=events,mode=control \
    -chardev socket,id=serial,fd=4,server=on,wait=off,logfile=/run/user/1000/qlan/odd-names/guest/suspect/qemu/serial.log,logappend=on \
    -serial chardev:serial \
    -pidfile /run/user/1000/qlan/odd-names/guest/suspect/qemu/pid \
    -display none \
    -kernel /lab/vmlinuz \
    -initrd /lab/initrd.gz \
    -append 'console=ttyS0 x="a b"' \
    -netdev tap,id=net0,fd=6 \
    -device virtio-net-pci,id=nic0,netdev=net0,mac=52:b7:56:a9:70:d5,romfile= <<END
${pid_0net} ip link set dev suspect.0 master 0net mtu 1500 group 1902916825 alias qlan:odd-names:tap/suspect/0 up
END

