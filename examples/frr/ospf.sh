#!/bin/sh
# A router that speaks OSPF on all its links: router ID and an address of its own from the number ID. Used by ../ospf.yaml.
set -e
cat > /etc/frr/zebra.conf <<EOF
hostname r$ID
interface lo
 ip address 10.255.0.$ID/32
EOF
cat > /etc/frr/ospfd.conf <<EOF
hostname r$ID
router ospf
 ospf router-id 10.255.0.$ID
 network 0.0.0.0/0 area 0
 timers throttle spf 0 50 500
EOF
for interface in east west; do
	cat >> /etc/frr/ospfd.conf <<-EOF
		interface $interface
		 ip ospf network point-to-point
		 ip ospf hello-interval 1
		 ip ospf dead-interval 4
	EOF
done
: > /etc/frr/vtysh.conf
mkdir -p /run/frr && chown frr:frr /run/frr /etc/frr/*.conf
/usr/lib/frr/zebra -d -f /etc/frr/zebra.conf
exec /usr/lib/frr/ospfd -f /etc/frr/ospfd.conf --log stdout
