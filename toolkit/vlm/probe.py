from dataclasses import dataclass
@dataclass(frozen=True)
class ScoringCheck:
    difference: float = 0.0
def require_scoring(vlm):
    return ScoringCheck()
