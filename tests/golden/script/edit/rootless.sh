#!/bin/sh
# What `qlan up` does for lab edit:
#   - nic/web/1
#   - dnsmasq/back  (goes with namespace/back)
#   - tap/web/1  (goes with nic/web/1)
#   - address/back/10.82.66.1/24  (goes with bridge/back)
#   - bridge/back  (goes with namespace/back)
#   - namespace/back
#   + namespace/more  parent=namespace/realm
#   ~ bridge/lan  mtu_bytes: 1500 -> 1400
#   + bridge/more  mac=52:43:db:1a:36:86, namespace=namespace/more
#   + tap/db/0  bridge=lan, namespace=namespace/realm, mtu_bytes=1400
#   + tap/db/1  bridge=more, namespace=namespace/more
#   ~ dnsmasq/lan  reservations: [Reservation(mac 52:76:c8:aa:f7:1d, address 10.10.10.64, name web, address6 fd61:e5d7:f8e8:f527::64)] -> [Reservation(mac 52:76:c8:aa:f7:1d, address 10.10.10.64, name web, address6 fd61:e5d7:f8e8:f527::64), Reservation(mac 52:de:79:b1:04:b3, address 10.10.10.65, name db, address6 fd61:e5d7:f8e8:f527::65)], hosts: [[web, 10.10.10.64]] -> [[db, 10.10.10.65], [web, 10.10.10.64]], mtu_bytes: 1500 -> 1400
#   ~ tap/web/0  mtu_bytes: 1500 -> 1400
#   + forward/box/0/tcp:127.0.0.1:8080  protocol=tcp, host_address=127.0.0.1, host_port=8080, guest_address=-, guest_port=80
#   + machine/db  binary=/usr/bin/qemu-system-x86_64, machine=pc, accel=tcg, cpus=1, memory_bytes=536870912, kernel=/lab/vmlinuz
#   + nic/db/0  model=virtio-net-pci, mac=52:de:79:b1:04:b3, backend=TapBackend(tap tap/db/0), mtu_bytes=1400, leased=[lan, 10.10.10.65, fd61:e5d7:f8e8:f527::65]
#   + nic/db/1  model=virtio-net-pci, mac=52:76:56:4c:2b:c1, backend=TapBackend(tap tap/db/1)
#   ~ nic/web/0  mtu_bytes: - -> 1400
set -eu
pid_of() { read -r pid rest <"$1"; echo "$pid"; }
# end SIGNAL RECORD [WORDS]: end a process and wait until it is gone; WORDS lead to where its id was counted
end() { [ -s "$2" ] || return 0; signal=$1 pid=$(pid_of "$2") left=200; shift 2
        "$@" kill -"$signal" "$pid" || return 0
        while [ $left -gt 0 ] && "$@" kill -0 "$pid" 2>/dev/null; do left=$((left - 1)); sleep 0.05; done; }
pid_realm=$(pid_of /run/user/1000/qlan/edit/namespace/realm)

/usr/bin/python3 -m qlan.host.change --rootless '{"amend": {"path": "/run/user/1000/qlan/edit/guest/web/guest.json", "put": ["{\"type\":\"Nic\",\"guest\":\"web\",\"index\":1,\"model\":\"e1000\",\"mac\":\"52:87:19:f6:86:18\",\"backend\":{\"type\":\"TapBackend\",\"tap\":\"tap/web/1\"},\"whole\":false,\"leased\":[\"back\",\"10.82.66.64\"]}"], "drop": ""}}'

/usr/bin/python3 -m qlan.host.change --rootless '{"qmp": {"guest": "web", "socket": "/run/user/1000/qlan/edit/guest/web/qmp", "calls": [{"name": "device_del", "arguments": [["id", "nic1"]]}], "vhost": false, "ports": null, "gone": "nic1", "gone_is_fine": true, "stays": {"path": "/run/user/1000/qlan/edit/guest/web/guest.json", "put": ["{\"type\":\"Nic\",\"guest\":\"web\",\"index\":1,\"model\":\"e1000\",\"mac\":\"52:87:19:f6:86:18\",\"backend\":{\"type\":\"TapBackend\",\"tap\":\"tap/web/1\"},\"leased\":[\"back\",\"10.82.66.64\"]}"], "drop": ""}, "pause_s": 0.0}}'

/usr/bin/python3 -m qlan.host.change --rootless '{"qmp": {"guest": "web", "socket": "/run/user/1000/qlan/edit/guest/web/qmp", "calls": [{"name": "netdev_del", "arguments": [["id", "net1"]]}], "vhost": false, "ports": null, "gone": "", "gone_is_fine": true, "stays": null, "pause_s": 0.0}}'

/usr/bin/python3 -m qlan.host.change --rootless '{"amend": {"path": "/run/user/1000/qlan/edit/guest/web/guest.json", "put": [], "drop": "nic/web/1"}}'

# namespace/back goes, with all that runs there
end KILL /run/user/1000/qlan/edit/namespace/back

rm -rf /run/user/1000/qlan/edit/namespace/back

# namespace/more: a process that holds it open, and says on descriptor 3 when it is there
mkdir -p /run/user/1000/qlan/edit/namespace
(nsenter --target=${pid_realm} --user --net --pid --preserve-credentials sh -c '"$@" &' sh unshare --net --pid --fork --kill-child sh -c 'read -r stat </proc/self/stat; echo "$stat" >"$0" && echo >&3 && exec 3>&- && exec env --ignore-signal=CHLD sleep infinity' /run/user/1000/qlan/edit/namespace/more 3>&1 >/dev/null 2>/run/user/1000/qlan/edit/namespace/more.log &) | head -n 1 >/dev/null
pid_more=$(pid_of /run/user/1000/qlan/edit/namespace/more)

nsenter --target=${pid_more} --user --net --preserve-credentials ip -batch - <<END
link set dev lo up
END

nsenter --target=${pid_realm} --user --net --preserve-credentials sh -c 'echo 0 >/proc/sys/net/ipv6/conf/lan/accept_ra'

nsenter --target=${pid_realm} --user --net --preserve-credentials sh -c 'echo 0 >/proc/sys/net/ipv6/conf/lan/autoconf'

nsenter --target=${pid_realm} --user --net --preserve-credentials sh -c 'echo 0 >/proc/sys/net/ipv6/conf/lan/accept_redirects'

nsenter --target=${pid_realm} --user --net --preserve-credentials sh -c 'echo 0 >/proc/sys/net/ipv6/conf/lan/accept_dad'

nsenter --target=${pid_realm} --user --net --preserve-credentials sh -c 'echo 0 >/proc/sys/net/ipv6/conf/lan/disable_ipv6'

nsenter --target=${pid_realm} --user --net --preserve-credentials ip -batch - <<END
link set dev lan address 52:fe:94:e7:a5:a8 mtu 1400 alias qlan:edit:bridge/lan up
link set dev lan type bridge forward_delay 0 hello_time 200 max_age 2000 stp_state 0 mcast_snooping 0 mcast_querier 0
END

nsenter --target=${pid_more} --user --net --preserve-credentials ip -batch - <<END
link add name more address 52:43:db:1a:36:86 group 1902960154 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
END

nsenter --target=${pid_more} --user --net --preserve-credentials sh -c 'echo 1 >/proc/sys/net/ipv6/conf/more/disable_ipv6'

nsenter --target=${pid_more} --user --net --preserve-credentials ip -batch - <<END
link set dev more mtu 1500 alias qlan:edit:bridge/more up
END

# dnsmasq/lan ends
end TERM /run/user/1000/qlan/edit/dnsmasq/lan/pid nsenter --target=${pid_realm} --user --net --pid --preserve-credentials

mkdir -p /run/user/1000/qlan/edit/dnsmasq/lan
cat >/run/user/1000/qlan/edit/dnsmasq/lan/conf <<'END'
# dnsmasq/lan of lab script, written by qlan
interface=lan
except-interface=lo
bind-interfaces
no-resolv
no-hosts
pid-file=/run/user/1000/qlan/edit/dnsmasq/lan/pid
log-facility=/run/user/1000/qlan/edit/dnsmasq/lan/log
domain=script
local=/script/
expand-hosts
domain-needed
bogus-priv
addn-hosts=/run/user/1000/qlan/edit/dnsmasq/lan/hosts
dhcp-range=10.10.10.64,10.10.10.254,255.255.255.0,3600s
no-ping
dhcp-option=option:router
dhcp-option=option:mtu,1400
enable-ra
ra-param=lan,mtu:1400,0,0
dhcp-range=fd61:e5d7:f8e8:f527:0:1::,fd61:e5d7:f8e8:f527:0:1:0:ffff,slaac,ra-names,64,3600s
dhcp-option=option6:dns-server,[fd61:e5d7:f8e8:f527::1]
dhcp-leasefile=/run/user/1000/qlan/edit/dnsmasq/lan/leases
dhcp-hostsfile=/run/user/1000/qlan/edit/dnsmasq/lan/reservations
dhcp-authoritative
dhcp-lease-max=65727
log-dhcp
END

mkdir -p /run/user/1000/qlan/edit/dnsmasq/lan
cat >/run/user/1000/qlan/edit/dnsmasq/lan/reservations <<'END'
52:76:c8:aa:f7:1d,10.10.10.64,[fd61:e5d7:f8e8:f527::64],web
52:de:79:b1:04:b3,10.10.10.65,[fd61:e5d7:f8e8:f527::65],db
END

mkdir -p /run/user/1000/qlan/edit/dnsmasq/lan
cat >/run/user/1000/qlan/edit/dnsmasq/lan/hosts <<'END'
10.10.10.65 db
10.10.10.64 web
END

mkdir -p /run/user/1000/qlan/edit/dnsmasq/lan
cat >/run/user/1000/qlan/edit/dnsmasq/lan/resource.json <<'END'
{"type":"Dnsmasq","network":"lan","interface":"lan","link_key":"bridge/lan","address":"10.10.10.1/24","lab":"script","namespace":"namespace/realm","first":"10.10.10.64","last":"10.10.10.254","reservations":[{"type":"Reservation","mac":"52:76:c8:aa:f7:1d","address":"10.10.10.64","name":"web","address6":"fd61:e5d7:f8e8:f527::64"},{"type":"Reservation","mac":"52:de:79:b1:04:b3","address":"10.10.10.65","name":"db","address6":"fd61:e5d7:f8e8:f527::65"}],"hosts":[["db","10.10.10.65"],["web","10.10.10.64"]],"mtu_bytes":1400,"ipv6":{"type":"Ipv6Service","address":"fd61:e5d7:f8e8:f527::1/64","first":"fd61:e5d7:f8e8:f527:0:1::","last":"fd61:e5d7:f8e8:f527:0:1:0:ffff"}}
END

nsenter --target=${pid_realm} --user --net --pid --preserve-credentials dnsmasq --conf-file=/run/user/1000/qlan/edit/dnsmasq/lan/conf --user=root --group=

nsenter --target=${pid_realm} --user --net --preserve-credentials ip -batch - <<END
link set dev web.0 master lan mtu 1400 alias qlan:edit:tap/web/0 up
END

/usr/bin/python3 -m qlan.host.change --rootless '{"amend": {"path": "/run/user/1000/qlan/edit/guest/box/guest.json", "put": ["{\"type\":\"PortForward\",\"guest\":\"box\",\"nic\":0,\"protocol\":\"tcp\",\"host_address\":\"127.0.0.1\",\"host_port\":8080,\"guest_address\":null,\"guest_port\":80,\"whole\":false}"], "drop": ""}}'

/usr/bin/python3 -m qlan.host.change --rootless '{"qmp": {"guest": "box", "socket": "/run/user/1000/qlan/edit/guest/box/qmp", "calls": [{"name": "human-monitor-command", "arguments": [["command-line", "hostfwd_remove net0 tcp:127.0.0.1:8080"]]}, {"name": "human-monitor-command", "arguments": [["command-line", "hostfwd_add net0 tcp:127.0.0.1:8080-:80"]]}], "vhost": false, "ports": null, "gone": "", "gone_is_fine": false, "stays": null, "pause_s": 0.0}}'

/usr/bin/python3 -m qlan.host.change --rootless '{"amend": {"path": "/run/user/1000/qlan/edit/guest/box/guest.json", "put": ["{\"type\":\"PortForward\",\"guest\":\"box\",\"nic\":0,\"protocol\":\"tcp\",\"host_address\":\"127.0.0.1\",\"host_port\":8080,\"guest_address\":null,\"guest_port\":80}"], "drop": ""}}'

mkdir -p /run/user/1000/qlan/edit/guest/db
cat >/run/user/1000/qlan/edit/guest/db/guest.json <<'END'
[{"type":"Machine","guest":"db","lab":"script","binary":"/usr/bin/qemu-system-x86_64","machine":"pc","accel":"tcg","cpus":1,"memory_bytes":536870912,"kernel":"/lab/vmlinuz"},{"type":"Nic","guest":"db","index":0,"model":"virtio-net-pci","mac":"52:de:79:b1:04:b3","backend":{"type":"TapBackend","tap":"tap/db/0"},"mtu_bytes":1400,"leased":["lan","10.10.10.65","fd61:e5d7:f8e8:f527::65"]},{"type":"Nic","guest":"db","index":1,"model":"virtio-net-pci","mac":"52:76:56:4c:2b:c1","backend":{"type":"TapBackend","tap":"tap/db/1"}}]
END

# guest db
/usr/bin/python3 -m qlan.host.handover --guest db --folder /run/user/1000/qlan/edit/guest/db --rootless --tap ${pid_realm}:db.0 --tap ${pid_more}:db.1 -- \
  /usr/bin/qemu-system-x86_64 \
    -name db,process=qemu:db \
    -nodefaults \
    -no-user-config \
    -machine pc,accel=tcg \
    -smp 1 \
    -m size=524288K \
    -chardev socket,id=qmp,fd=3,server=on,wait=off \
    -mon chardev=qmp,mode=control \
    -chardev socket,id=events,fd=5,server=on,wait=off \
    -mon chardev=events,mode=control \
    -chardev socket,id=serial,fd=4,server=on,wait=off,logfile=/run/user/1000/qlan/edit/guest/db/qemu/serial.log,logappend=on \
    -serial chardev:serial \
    -pidfile /run/user/1000/qlan/edit/guest/db/qemu/pid \
    -display none \
    -kernel /lab/vmlinuz \
    -netdev tap,id=net0,fd=6 \
    -device virtio-net-pci,id=nic0,netdev=net0,mac=52:de:79:b1:04:b3,romfile=,host_mtu=1400 \
    -netdev tap,id=net1,fd=7 \
    -device virtio-net-pci,id=nic1,netdev=net1,mac=52:76:56:4c:2b:c1,romfile= <<END
${pid_realm} ip link set dev db.0 master lan mtu 1400 group 1902960154 alias qlan:edit:tap/db/0 up
${pid_more} ip link set dev db.1 master more mtu 1500 group 1902960154 alias qlan:edit:tap/db/1 up
END

/usr/bin/python3 -m qlan.host.change --rootless '{"amend": {"path": "/run/user/1000/qlan/edit/guest/web/guest.json", "put": ["{\"type\":\"Nic\",\"guest\":\"web\",\"index\":0,\"model\":\"virtio-net-pci\",\"mac\":\"52:76:c8:aa:f7:1d\",\"backend\":{\"type\":\"TapBackend\",\"tap\":\"tap/web/0\"},\"link_up\":null,\"mtu_bytes\":1400,\"leased\":[\"lan\",\"10.10.10.64\",\"fd61:e5d7:f8e8:f527::64\"]}"], "drop": ""}}'

/usr/bin/python3 -m qlan.host.change --rootless '{"qmp": {"guest": "web", "socket": "/run/user/1000/qlan/edit/guest/web/qmp", "calls": [{"name": "set_link", "arguments": [["name", "nic0"], ["up", false]]}], "vhost": false, "ports": null, "gone": "", "gone_is_fine": false, "stays": null, "pause_s": 1.0}}'

/usr/bin/python3 -m qlan.host.change --rootless '{"qmp": {"guest": "web", "socket": "/run/user/1000/qlan/edit/guest/web/qmp", "calls": [{"name": "set_link", "arguments": [["name", "nic0"], ["up", true]]}], "vhost": false, "ports": null, "gone": "", "gone_is_fine": false, "stays": null, "pause_s": 0.0}}'

/usr/bin/python3 -m qlan.host.change --rootless '{"amend": {"path": "/run/user/1000/qlan/edit/guest/web/guest.json", "put": ["{\"type\":\"Nic\",\"guest\":\"web\",\"index\":0,\"model\":\"virtio-net-pci\",\"mac\":\"52:76:c8:aa:f7:1d\",\"backend\":{\"type\":\"TapBackend\",\"tap\":\"tap/web/0\"},\"mtu_bytes\":1400,\"leased\":[\"lan\",\"10.10.10.64\",\"fd61:e5d7:f8e8:f527::64\"]}"], "drop": ""}}'

