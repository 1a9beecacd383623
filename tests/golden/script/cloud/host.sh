#!/bin/sh
# What `qlan up` does for lab cloud:
#   + namespace/back
#   + namespace/wire
#   + bridge/back  mac=52:64:93:74:4c:e0, namespace=namespace/back, mtu_bytes=1400
#   + bridge/wire  mac=52:47:27:88:7b:32, namespace=namespace/wire
#   + tap/left/0  bridge=back-28278, namespace=namespace/back, mtu_bytes=1400
#   + tap/left/1  bridge=wire-749a5, namespace=namespace/wire
#   + tap/right/0  bridge=back-28278, namespace=namespace/back, mtu_bytes=1400
#   + tap/right/1  bridge=wire-749a5, namespace=namespace/wire
#   + tap/third/0  bridge=back-28278, namespace=namespace/back, mtu_bytes=1400
#   + machine/left  binary=/usr/bin/qemu-system-x86_64, machine=pc, accel=tcg, cpus=1, memory_bytes=536870912, kernel=/lab/vmlinuz, append=quiet, run_as=1000, addresses=[ip=10.20.30.40:::255.255.255.0:left:eth0:off]
#   + nic/left/0  model=virtio-net-pci, mac=52:51:94:2d:bc:8f, backend=TapBackend(tap tap/left/0), mtu_bytes=1400, address=10.20.30.40/24
#   + nic/left/1  model=virtio-net-pci, mac=52:69:20:f3:39:4f, backend=TapBackend(tap tap/left/1)
#   + machine/right  binary=/usr/bin/qemu-system-x86_64, machine=pc, accel=tcg, cpus=1, memory_bytes=536870912, drives=[Drive(path /lab/right.qcow2, format qcow2)], seed=[[meta-data, {\n "instance-id": "qlan-5e643a65b1f5673d",\n "local-hostname": "right"\n}\n], [user-data, #cloud-config\n{}\n], [network-config, {\n "version": 2,\n "ethernets": {\n  "nic0": {\n   "match": {\n    "macaddress": "52:e3:ab:20:17:09"\n   },\n   "addresses": [\n    "10.20.30.64/24"\n   ],\n   "dhcp4": false,\n   "dhcp6": false,\n   "optional": true\n  },\n  "nic1": {\n   "match": {\n    "macaddress": "52:6e:ee:5f:47:3d"\n   },\n   "dhcp4": false,\n   "dhcp6": false,\n   "optional": true\n  }\n }\n}\n]], run_as=1000
#   + nic/right/0  model=virtio-net-pci, mac=52:e3:ab:20:17:09, backend=TapBackend(tap tap/right/0), mtu_bytes=1400, address=10.20.30.64/24
#   + nic/right/1  model=virtio-net-pci, mac=52:6e:ee:5f:47:3d, backend=TapBackend(tap tap/right/1)
#   + machine/third  binary=/usr/bin/qemu-system-x86_64, machine=pc, accel=tcg, cpus=1, memory_bytes=536870912, drives=[Drive(path /lab/third.qcow2, format qcow2)], run_as=1000
#   + nic/third/0  model=virtio-net-pci, mac=52:ee:36:e7:dc:a7, backend=TapBackend(tap tap/third/0), mtu_bytes=1300, address=10.20.30.65/24
set -eu
pid_of() { read -r pid rest <"$1"; echo "$pid"; }
# end SIGNAL RECORD [WORDS]: end a process and wait until it is gone; WORDS lead to where its id was counted
end() { [ -s "$2" ] || return 0; signal=$1 pid=$(pid_of "$2") left=200; shift 2
        "$@" kill -"$signal" "$pid" || return 0
        while [ $left -gt 0 ] && "$@" kill -0 "$pid" 2>/dev/null; do left=$((left - 1)); sleep 0.05; done; }

# namespace/back: a process that holds it open, and says on descriptor 3 when it is there
mkdir -p /run/user/1000/qlan/cloud/namespace
(unshare --net --pid --fork --kill-child sh -c 'read -r stat </proc/self/stat; echo "$stat" >"$0" && echo >&3 && exec 3>&- && exec env --ignore-signal=CHLD sleep infinity' /run/user/1000/qlan/cloud/namespace/back 3>&1 >/dev/null 2>/run/user/1000/qlan/cloud/namespace/back.log &) | head -n 1 >/dev/null
pid_back=$(pid_of /run/user/1000/qlan/cloud/namespace/back)

nsenter --target=${pid_back} --net ip -batch - <<END
link set dev lo up
END

# namespace/wire: a process that holds it open, and says on descriptor 3 when it is there
mkdir -p /run/user/1000/qlan/cloud/namespace
(unshare --net --pid --fork --kill-child sh -c 'read -r stat </proc/self/stat; echo "$stat" >"$0" && echo >&3 && exec 3>&- && exec env --ignore-signal=CHLD sleep infinity' /run/user/1000/qlan/cloud/namespace/wire 3>&1 >/dev/null 2>/run/user/1000/qlan/cloud/namespace/wire.log &) | head -n 1 >/dev/null
pid_wire=$(pid_of /run/user/1000/qlan/cloud/namespace/wire)

nsenter --target=${pid_wire} --net ip -batch - <<END
link set dev lo up
END

nsenter --target=${pid_back} --net ip -batch - <<END
link add name back-28278 address 52:64:93:74:4c:e0 group 1902909140 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
END

nsenter --target=${pid_back} --net sh -c 'echo 1 >/proc/sys/net/ipv6/conf/back-28278/disable_ipv6'

nsenter --target=${pid_back} --net ip -batch - <<END
link set dev back-28278 mtu 1400 alias qlan:cloud:bridge/back up
END

nsenter --target=${pid_wire} --net ip -batch - <<END
link add name wire-749a5 address 52:47:27:88:7b:32 group 1902909140 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
END

nsenter --target=${pid_wire} --net sh -c 'echo 1 >/proc/sys/net/ipv6/conf/wire-749a5/disable_ipv6'

nsenter --target=${pid_wire} --net ip -batch - <<END
link set dev wire-749a5 mtu 1500 alias qlan:cloud:bridge/wire up
END

mkdir -p /run/user/1000/qlan/cloud/guest/left
cat >/run/user/1000/qlan/cloud/guest/left/guest.json <<'END'
[{"type":"Machine","guest":"left","lab":"cloud","binary":"/usr/bin/qemu-system-x86_64","machine":"pc","accel":"tcg","cpus":1,"memory_bytes":536870912,"kernel":"/lab/vmlinuz","append":"quiet","run_as":1000,"addresses":["ip=10.20.30.40:::255.255.255.0:left:eth0:off"]},{"type":"Nic","guest":"left","index":0,"model":"virtio-net-pci","mac":"52:51:94:2d:bc:8f","backend":{"type":"TapBackend","tap":"tap/left/0"},"mtu_bytes":1400,"address":"10.20.30.40/24"},{"type":"Nic","guest":"left","index":1,"model":"virtio-net-pci","mac":"52:69:20:f3:39:4f","backend":{"type":"TapBackend","tap":"tap/left/1"}}]
END

# guest left
/usr/bin/python3 -m qlan.host.handover --guest left --folder /run/user/1000/qlan/cloud/guest/left --tap ${pid_back}:left.0-5418c --tap ${pid_wire}:left.1-c47e4 --run-as 1000 -- \
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
    -chardev socket,id=serial,fd=4,server=on,wait=off,logfile=/run/user/1000/qlan/cloud/guest/left/qemu/serial.log,logappend=on \
    -serial chardev:serial \
    -pidfile /run/user/1000/qlan/cloud/guest/left/qemu/pid \
    -display none \
    -kernel /lab/vmlinuz \
    -append 'quiet ip=10.20.30.40:::255.255.255.0:left:eth0:off' \
    -netdev tap,id=net0,fd=6 \
    -device virtio-net-pci,id=nic0,netdev=net0,mac=52:51:94:2d:bc:8f,romfile=,host_mtu=1400 \
    -netdev tap,id=net1,fd=7 \
    -device virtio-net-pci,id=nic1,netdev=net1,mac=52:69:20:f3:39:4f,romfile= <<END
${pid_back} ip link set dev left.0-5418c master back-28278 mtu 1400 group 1902909140 alias qlan:cloud:tap/left/0 up
${pid_wire} ip link set dev left.1-c47e4 master wire-749a5 mtu 1500 group 1902909140 alias qlan:cloud:tap/left/1 up
END

mkdir -p /run/user/1000/qlan/cloud/guest/right/seed
cat >/run/user/1000/qlan/cloud/guest/right/seed/meta-data <<'END'
{
 "instance-id": "qlan-5e643a65b1f5673d",
 "local-hostname": "right"
}
END

mkdir -p /run/user/1000/qlan/cloud/guest/right/seed
cat >/run/user/1000/qlan/cloud/guest/right/seed/user-data <<'END'
#cloud-config
{}
END

mkdir -p /run/user/1000/qlan/cloud/guest/right/seed
cat >/run/user/1000/qlan/cloud/guest/right/seed/network-config <<'END'
{
 "version": 2,
 "ethernets": {
  "nic0": {
   "match": {
    "macaddress": "52:e3:ab:20:17:09"
   },
   "addresses": [
    "10.20.30.64/24"
   ],
   "dhcp4": false,
   "dhcp6": false,
   "optional": true
  },
  "nic1": {
   "match": {
    "macaddress": "52:6e:ee:5f:47:3d"
   },
   "dhcp4": false,
   "dhcp6": false,
   "optional": true
  }
 }
}
END

mkdir -p /run/user/1000/qlan/cloud/guest/right
cat >/run/user/1000/qlan/cloud/guest/right/guest.json <<'END'
[{"type":"Machine","guest":"right","lab":"cloud","binary":"/usr/bin/qemu-system-x86_64","machine":"pc","accel":"tcg","cpus":1,"memory_bytes":536870912,"drives":[{"type":"Drive","path":"/lab/right.qcow2","format":"qcow2"}],"seed":[["meta-data","{\n \"instance-id\": \"qlan-5e643a65b1f5673d\",\n \"local-hostname\": \"right\"\n}\n"],["user-data","#cloud-config\n{}\n"],["network-config","{\n \"version\": 2,\n \"ethernets\": {\n  \"nic0\": {\n   \"match\": {\n    \"macaddress\": \"52:e3:ab:20:17:09\"\n   },\n   \"addresses\": [\n    \"10.20.30.64/24\"\n   ],\n   \"dhcp4\": false,\n   \"dhcp6\": false,\n   \"optional\": true\n  },\n  \"nic1\": {\n   \"match\": {\n    \"macaddress\": \"52:6e:ee:5f:47:3d\"\n   },\n   \"dhcp4\": false,\n   \"dhcp6\": false,\n   \"optional\": true\n  }\n }\n}\n"]],"run_as":1000},{"type":"Nic","guest":"right","index":0,"model":"virtio-net-pci","mac":"52:e3:ab:20:17:09","backend":{"type":"TapBackend","tap":"tap/right/0"},"mtu_bytes":1400,"address":"10.20.30.64/24"},{"type":"Nic","guest":"right","index":1,"model":"virtio-net-pci","mac":"52:6e:ee:5f:47:3d","backend":{"type":"TapBackend","tap":"tap/right/1"}}]
END

# guest right
/usr/bin/python3 -m qlan.host.handover --guest right --folder /run/user/1000/qlan/cloud/guest/right --tap ${pid_back}:right.0-e328f --tap ${pid_wire}:right.1-1472f --run-as 1000 -- \
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
    -chardev socket,id=serial,fd=4,server=on,wait=off,logfile=/run/user/1000/qlan/cloud/guest/right/qemu/serial.log,logappend=on \
    -serial chardev:serial \
    -pidfile /run/user/1000/qlan/cloud/guest/right/qemu/pid \
    -display none \
    -drive if=virtio,format=qcow2,file=/lab/right.qcow2 \
    -drive if=virtio,driver=vvfat,dir=/run/user/1000/qlan/cloud/guest/right/seed,label=CIDATA,readonly=on \
    -netdev tap,id=net0,fd=6 \
    -device virtio-net-pci,id=nic0,netdev=net0,mac=52:e3:ab:20:17:09,romfile=,host_mtu=1400 \
    -netdev tap,id=net1,fd=7 \
    -device virtio-net-pci,id=nic1,netdev=net1,mac=52:6e:ee:5f:47:3d,romfile= <<END
${pid_back} ip link set dev right.0-e328f master back-28278 mtu 1400 group 1902909140 alias qlan:cloud:tap/right/0 up
${pid_wire} ip link set dev right.1-1472f master wire-749a5 mtu 1500 group 1902909140 alias qlan:cloud:tap/right/1 up
END

mkdir -p /run/user/1000/qlan/cloud/guest/third
cat >/run/user/1000/qlan/cloud/guest/third/guest.json <<'END'
[{"type":"Machine","guest":"third","lab":"cloud","binary":"/usr/bin/qemu-system-x86_64","machine":"pc","accel":"tcg","cpus":1,"memory_bytes":536870912,"drives":[{"type":"Drive","path":"/lab/third.qcow2","format":"qcow2"}],"run_as":1000},{"type":"Nic","guest":"third","index":0,"model":"virtio-net-pci","mac":"52:ee:36:e7:dc:a7","backend":{"type":"TapBackend","tap":"tap/third/0"},"mtu_bytes":1300,"address":"10.20.30.65/24"}]
END

# guest third
/usr/bin/python3 -m qlan.host.handover --guest third --folder /run/user/1000/qlan/cloud/guest/third --tap ${pid_back}:third.0-c54c7 --run-as 1000 -- \
  /usr/bin/qemu-system-x86_64 \
    -name third,process=qemu:third \
    -nodefaults \
    -no-user-config \
    -machine pc,accel=tcg \
    -smp 1 \
    -m size=524288K \
    -chardev socket,id=qmp,fd=3,server=on,wait=off \
    -mon chardev=qmp,mode=control \
    -chardev socket,id=events,fd=5,server=on,wait=off \
    -mon chardev=events,mode=control \
    -chardev socket,id=serial,fd=4,server=on,wait=off,logfile=/run/user/1000/qlan/cloud/guest/third/qemu/serial.log,logappend=on \
    -serial chardev:serial \
    -pidfile /run/user/1000/qlan/cloud/guest/third/qemu/pid \
    -display none \
    -drive if=virtio,format=qcow2,file=/lab/third.qcow2 \
    -netdev tap,id=net0,fd=6 \
    -device virtio-net-pci,id=nic0,netdev=net0,mac=52:ee:36:e7:dc:a7,romfile=,host_mtu=1300 <<END
${pid_back} ip link set dev third.0-c54c7 master back-28278 mtu 1400 group 1902909140 alias qlan:cloud:tap/third/0 up
END

