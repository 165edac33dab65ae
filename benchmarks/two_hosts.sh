#!/usr/bin/env bash
# A run by two hosts, made of network namespaces of this machine (as root, with Ray): the driver and a worker on one,
# a worker on the other.
#   benchmarks/two_hosts.sh RECIPE OUT
set -euo pipefail
one="ip netns exec mmsteer1" two="ip netns exec mmsteer2" python="${PYTHON:-python}"
away() { $one "$python" -m ray.scripts.scripts stop --force; ip netns del mmsteer1; ip netns del mmsteer2; }
ip netns add mmsteer1
ip netns add mmsteer2
trap away EXIT
ip link add mmsteer1 netns mmsteer1 type veth peer name mmsteer2 netns mmsteer2
for n in 1 2; do
  ip netns exec mmsteer$n ip address add 10.77.0.$n/24 dev mmsteer$n
  ip netns exec mmsteer$n ip link set mmsteer$n up
  ip netns exec mmsteer$n ip link set lo up
done
$one "$python" -m ray.scripts.scripts start --head --node-ip-address 10.77.0.1 --port 6379 \
  --ray-client-server-port 10001 --num-cpus 1 --include-dashboard false
$two "$python" -m ray.scripts.scripts start --address 10.77.0.1:6379 --node-ip-address 10.77.0.2 --num-cpus 1
$one "$python" -m mmsteer run "$1" --out "$2" --quiet --workers 2@ray://10.77.0.1:10001
