#!/usr/bin/env bash
# How many bits of an AND gate are synergy? Ten measures of one library say: 0 to 0.75. And XOR is not always 1.
#
# Versions: Python 3.11.7, dit 2.3, numpy 2.4.6, scipy 1.17.1.
# "Partial information decomposition" is a lattice, not a measure: each way to define redundancy gives other numbers, and
# papers on multimodal models often say only "PID". For two fair bits and their AND (mutual information 0.811 bit):
#     Williams-Beer, minimum mutual information, BROJA, projection   .500     common change (CCS)   .292
#     shared exclusions (SX)   .311     dependency (dep)   .270     information geometry (IG)   .272
#     pointwise (PM)   .750     RA   .000, all of it unique
# With shared exclusions XOR has only .415 bit of synergy, beside .585 unique to each bit and -.585 redundant. A copied
# bit (RDN) is 1 bit of redundancy for all ten. A number of synergy in bits therefore needs its measure beside it.
# Seen: the lines "AND WB ..." below.
#
# Usage: bash findings/synergy_of_an_and_gate_by_ten_measures.sh    (network needed; a minute; nothing is kept)
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet dit==2.3 numpy==2.4.6 scipy==1.17.1 xarray
venv/bin/python -W ignore - <<'PY' | tee seen.txt
import dit
from dit import pid

GATES = {"AND": ["000", "010", "100", "111"], "XOR": ["000", "011", "101", "110"], "RDN": ["000", "111"]}
for gate, outcomes in GATES.items():
    joint = dit.Distribution(outcomes, [1 / len(outcomes)] * len(outcomes))
    for name in "WB MMI BROJA Proj CCS IG dep SX PM RA".split():
        atoms = getattr(pid, f"PID_{name}")(joint)
        value = {node: round(float(atoms.get_pi(node)), 3) + 0.0 for node in atoms._lattice}
        both, shared, own = value[((0, 1),)], value[((0,), (1,))], value[((0,),)]
        print(f"{gate} {name} synergy={both:.3f} redundancy={shared:.3f} unique={own:.3f}")
PY
diff seen.txt - <<'SEEN'
AND WB synergy=0.500 redundancy=0.311 unique=0.000
AND MMI synergy=0.500 redundancy=0.311 unique=0.000
AND BROJA synergy=0.500 redundancy=0.311 unique=0.000
AND Proj synergy=0.500 redundancy=0.311 unique=0.000
AND CCS synergy=0.292 redundancy=0.104 unique=0.208
AND IG synergy=0.272 redundancy=0.083 unique=0.228
AND dep synergy=0.270 redundancy=0.082 unique=0.230
AND SX synergy=0.311 redundancy=0.123 unique=0.189
AND PM synergy=0.750 redundancy=0.561 unique=-0.250
AND RA synergy=0.000 redundancy=-0.189 unique=0.500
XOR WB synergy=1.000 redundancy=0.000 unique=0.000
XOR MMI synergy=1.000 redundancy=0.000 unique=0.000
XOR BROJA synergy=1.000 redundancy=0.000 unique=0.000
XOR Proj synergy=1.000 redundancy=0.000 unique=0.000
XOR CCS synergy=1.000 redundancy=0.000 unique=0.000
XOR IG synergy=1.000 redundancy=0.000 unique=0.000
XOR dep synergy=1.000 redundancy=0.000 unique=0.000
XOR SX synergy=0.415 redundancy=-0.585 unique=0.585
XOR PM synergy=1.000 redundancy=0.000 unique=0.000
XOR RA synergy=1.000 redundancy=0.000 unique=0.000
RDN WB synergy=0.000 redundancy=1.000 unique=0.000
RDN MMI synergy=0.000 redundancy=1.000 unique=0.000
RDN BROJA synergy=0.000 redundancy=1.000 unique=0.000
RDN Proj synergy=0.000 redundancy=1.000 unique=0.000
RDN CCS synergy=0.000 redundancy=1.000 unique=0.000
RDN IG synergy=0.000 redundancy=1.000 unique=0.000
RDN dep synergy=0.000 redundancy=1.000 unique=0.000
RDN SX synergy=0.000 redundancy=1.000 unique=0.000
RDN PM synergy=0.000 redundancy=1.000 unique=0.000
RDN RA synergy=0.000 redundancy=1.000 unique=0.000
SEEN
