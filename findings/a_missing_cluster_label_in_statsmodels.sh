#!/usr/bin/env bash
# A row whose cluster is unknown: one estimator makes all such rows a cluster, one drops them, one refuses.
#
# Versions: Python 3.11.7, statsmodels 0.15.0, pandas 3.1.1, numpy 2.4.6.
# Scores of explanations are clustered by image, so standard errors are asked for with groups. Where the label of a group
# is NaN (an image without an identity), on the same data and the same formula
#   * OLS with cov_type="cluster" keeps the rows and treats all of them as *one* cluster: exactly the standard error of
#     a label that was never given;
#   * GEE drops the rows without a word: fewer observations, another standard error;
#   * MixedLM raises MissingDataError.
# And with use_t=False, the default, the p-value of the clustered OLS is the normal one, whatever the number of clusters:
# .005 where Student's with 11 degrees of freedom has .016.
# Seen: "ols rows=120 equal_to_one_cluster=True", "gee rows=100", "mixedlm MissingDataError" and
# "p normal=0.005 t=0.016".
#
# Usage: bash findings/a_missing_cluster_label_in_statsmodels.sh    (network needed; a minute; nothing is kept)
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet statsmodels==0.15.0 pandas==3.1.1 numpy==2.4.6 formulaic patsy
venv/bin/python -W ignore - <<'PY' | tee seen.txt
import numpy as np
import pandas as pd
import statsmodels.formula.api as smf

random = np.random.default_rng(0)
image = np.repeat(np.arange(12), 10)
x = random.normal(size=120) + random.normal(size=12)[image]
y = 0.3 * x + random.normal(size=12)[image] + 0.5 * random.normal(size=120)
table = pd.DataFrame({"x": x, "y": y, "image": image.astype(float)})
partly = table.assign(image=table.image.where(~table.image.isin([0, 1])))
pooled = table.assign(image=table.image.replace(1, 0))


def clustered(data, **options):
    return smf.ols("y ~ x", data).fit(cov_type="cluster", cov_kwds={"groups": data.image}, **options)


ols = clustered(partly)
print(f"ols rows={int(ols.nobs)} equal_to_one_cluster={abs(ols.bse['x'] - clustered(pooled).bse['x']) < 1e-12}")
print(f"gee rows={int(smf.gee('y ~ x', partly.image, partly).fit().nobs)}")
try:
    smf.mixedlm("y ~ x", partly, groups=partly.image).fit()
    print("mixedlm fitted")
except Exception as error:
    print("mixedlm", type(error).__name__)
normal, t = clustered(table).pvalues["x"], clustered(table, use_t=True).pvalues["x"]
print(f"p normal={normal:.3f} t={t:.3f}")
PY
diff seen.txt - <<'SEEN'
ols rows=120 equal_to_one_cluster=True
gee rows=100
mixedlm MissingDataError
p normal=0.005 t=0.016
SEEN
