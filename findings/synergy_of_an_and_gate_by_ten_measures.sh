#!/usr/bin/env bash
# How many bits of an AND gate are synergy? Ten measures of one library: from 0 to 0.75; and XOR is not always 1.
#
# Versions: Python 3.11.7, dit 2.3, numpy 2.4.6, scipy 1.17.1.
# "Partial information decomposition" is a lattice, not a measure: each way to define redundancy gives other numbers, and
# papers on multimodal models often say only "PID". For two fair bits and their AND (mutual information 0.811 bit):
SEENTABLE
# BROJA, Williams-Beer, minimum mutual information and projection agree here; they do not for other gates. With the
# shared-exclusions measure XOR has only 0.415 bit of synergy, with two negative and two positive atoms. RDN (a copy of
# one bit) is 1 bit of redundancy for all ten.
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
        print(f"{gate} {name} synergy={value[((0, 1),)]:.3f} redundancy={value[((0,), (1,))]:.3f} unique={value[((0,),)]:.3f}")
PY
diff seen.txt - <<'SEEN'
SEEN
