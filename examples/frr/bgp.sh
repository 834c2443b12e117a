#!/bin/sh
# A router of its own AS, 65000 + ID, that tells its neighbours on both links of the networks that it is on, and of an address of its own. Used by ../bgp.yaml.
set -e
cat > /etc/frr/zebra.conf <<EOF
hostname r$ID
interface lo
 ip address 10.255.0.$ID/32
EOF
cat > /etc/frr/bgpd.conf <<EOF
hostname r$ID
router bgp $((65000 + ID))
 bgp router-id 10.255.0.$ID
 no bgp ebgp-requires-policy
 timers bgp 1 3
 neighbor $EAST remote-as external
 neighbor $WEST remote-as external
 neighbor $EAST timers connect 1
 neighbor $WEST timers connect 1
 address-family ipv4 unicast
  redistribute connected
EOF
: > /etc/frr/vtysh.conf
mkdir -p /run/frr && chown frr:frr /run/frr /etc/frr/*.conf
/usr/lib/frr/zebra -d -f /etc/frr/zebra.conf
exec /usr/lib/frr/bgpd -f /etc/frr/bgpd.conf --log stdout
