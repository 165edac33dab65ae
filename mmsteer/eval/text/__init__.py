"""What is measured on a language model's answers, and rewards made of it."""

from mmsteer.eval.text.calibration import ChoiceScores, choice_scores
from mmsteer.eval.text.changes import Segment, word_changes
from mmsteer.eval.text.choice import parse_choice
from mmsteer.eval.text.harmonic import harmonic_mean
from mmsteer.eval.text.ifeval import from_ifeval
from mmsteer.eval.text.instruction import Instruction, parse_instruction
from mmsteer.eval.text.language import find_language
from mmsteer.eval.text.loops import Loop, distinct, find_loop, longest_repeat
from mmsteer.eval.text.perplexity import Likelihood, likelihood, perplexity
from mmsteer.eval.text.reference import Reference
from mmsteer.eval.text.refusal import refuses
from mmsteer.eval.text.reward import REWARDS, Models, NamedReward, Reward, parse_reward
from mmsteer.eval.text.rubrics import Ratings, Rubric, parse_rubric, rate
from mmsteer.eval.text.similarity import cosine_similarity, minilm

__all__ = [
    "REWARDS",
    "ChoiceScores",
    "Instruction",
    "Likelihood",
    "Loop",
    "Models",
    "NamedReward",
    "Ratings",
    "Reference",
    "Reward",
    "Rubric",
    "Segment",
    "choice_scores",
    "cosine_similarity",
    "distinct",
    "find_language",
    "find_loop",
    "from_ifeval",
    "harmonic_mean",
    "likelihood",
    "longest_repeat",
    "minilm",
    "parse_choice",
    "parse_instruction",
    "parse_reward",
    "parse_rubric",
    "perplexity",
    "rate",
    "refuses",
    "word_changes",
]
