#!/usr/bin/python3
"""A star of hosts on one Linux bridge by Mininet's own classes: mininet_star.py up HOSTS PIDFILE, and mininet_star.py down PIDFILE.

Mininet takes a network down when the process that made it ends: up leaves that one behind and ends when the network is up, and
down has it take the network down (not by mn -c, which kills what it takes for Mininet's) and waits for its end.
"""
import os
import signal
import sys
import time

from mininet.net import Mininet
from mininet.nodelib import LinuxBridge


def up(hosts, pidfile):
    ready, tell = os.pipe()
    if os.fork():
        os.close(tell)
        sys.exit(0 if os.read(ready, 1) == b"+" else 1)
    os.setsid()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    net = Mininet(switch=LinuxBridge, controller=None, ipBase="10.80.0.0/16")
    switch = net.addSwitch("s1")
    for i in range(hosts):
        net.addLink(net.addHost("h%d" % i), switch)
    net.start()
    with open(pidfile, "w") as f:
        f.write(str(os.getpid()))
    for stream in (0, 1, 2):
        os.dup2(os.open(os.devnull, os.O_RDWR), stream)
    os.write(tell, b"+")
    signal.sigwait({signal.SIGTERM})
    net.stop()


def down(pidfile):
    with open(pidfile) as f:
        pid = int(f.read())
    os.kill(pid, signal.SIGTERM)
    while os.path.exists("/proc/%d/exe" % pid):  # which a zombie has no more
        time.sleep(0.001)


if sys.argv[1] == "up":
    up(int(sys.argv[2]), sys.argv[3])
else:
    down(sys.argv[2])
