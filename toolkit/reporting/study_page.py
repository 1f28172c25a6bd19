"""Pages of the studies: verdict, question and rule, table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolkit.reporting.page import frame_table, page, paragraph, text, with_intervals

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.audit.dose_study import DoseStudy
    from toolkit.audit.explainers.pair_recovery import PairReport
    from toolkit.audit.masking_study import MaskingStudy
    from toolkit.audit.order_study import OrderStudy


def _page(title: str, verdict: str, asked: str, table: pd.DataFrame, *more: str) -> str:
    """The verdict, what was asked, and what came out: a table with intervals, then more HTML."""
    intervals = frame_table(with_intervals(table), caption="Intervals: 95 %, bootstrap over pictures.")
    body = ["<h2>What was asked</h2>", paragraph(asked), intervals, *more]
    return page(title, f'<p class="lead"><strong>{text(verdict)}</strong></p>', body="\n".join(body))


def pairs_page(report: PairReport) -> str:
    """The pairs that explainers find, as HTML."""
    n = len(report.rows[["model", "sample"]].drop_duplicates())
    asked = (
        f"On {n} of {report.n_asked} generated samples, those with a truth that is some of the pairs, a right "
        "answer and a total interaction of at least 0.1: are the pairs of an evidence cell and an evidence word "
        "ranked above all other pairs? AUC is the chance that they are (0.5: no information), precision the share "
        "of true pairs among as many highest. An explainer that scores single players is judged by the product of "
        "its scores, the baseline that explaining pairs has to beat. Beside it, without a rule: insertion minus "
        "deletion by pairs (pair_gain), what pairs add to the R&sup2; of a surrogate on 128 held-out coalitions "
        "(added_r2; 256 others fit it), and signed F_syn of the order of players that the pairs imply."
    )
    return _page("Which pairs decide the answer?", report.verdict(), asked, report.table())


def orders_page(study: OrderStudy) -> str:
    """Order profiles, as HTML."""
    asked = (
        "Image cells (single ones and the background) and runs of words are the players; every coalition is "
        "evaluated, so every dividend is exact. Beyond pairs is the share of the mixed dividends' absolute values "
        "that belongs to three or more players, which no pairwise index can show; cancellation is "
        "1 &minus; |D| / that sum. Question and rule were fixed before the study was run."
    )
    sizes = [name for name in study.rows.columns if name.startswith("gross ")]
    by_size = study.rows.groupby("model", sort=False)[sizes].mean().reset_index()
    return _page(
        "At which order do image and text work together?", study.verdict(), asked, study.table(),
        "<h2>By twin and family of question</h2>", frame_table(with_intervals(study.by_family())),
        "<h2>By size of the coalition</h2>", frame_table(by_size, digits=3),
    )  # fmt: skip


def masking_page(study: MaskingStudy) -> str:
    """Metrics under several fills, as HTML."""
    asked = (
        "What fills removed cells may look like nothing that the model was trained on. Distance is that of v to "
        "the Bayes value of the right answer, over corners without image; wrong_sign the share of samples whose "
        "total interaction has the wrong sign; a gap is a metric's score of the evidence minus that of random "
        "orders. Question and rule were fixed before the study was run."
    )
    gaps = ["<h2>Gap between oracle and random</h2>", frame_table(study.wide())]
    return _page("Is the metric wrong, or the mask?", study.verdict(), asked, study.fills(), *gaps)


def dose_page(study: DoseStudy) -> str:
    """Mass of pairs beside the total interaction, as HTML."""
    asked = (
        "From the grounded twin to the biased one the total interaction D of the same image and question shrinks. "
        "Mass is the sum of an explainer's signed pairs, or of the products of its scores; slope is that of mass "
        "on D within a sample, correlation that of their ranks. Question and rule were fixed before the study was "
        "run."
    )
    masses = study.rows.pivot_table(index="explainer", columns="strength", values="mass", sort=False).reset_index()
    more = ["<h2>Mean mass by strength of the bias</h2>", frame_table(masses, digits=3)]
    return _page("Do explanations follow the dose?", study.verdict(), asked, study.table(), *more)
