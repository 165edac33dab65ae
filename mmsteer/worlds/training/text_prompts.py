"""Varied prompts for a chat model: topics by tasks by styles, some under a system prompt."""

import numpy as np

from mmsteer.types import Chat, Sample

STYLE_SHARE = 0.5
SYSTEM_SHARE = 0.15

TOPICS = (
    *("the ocean", "a lighthouse", "volcanoes", "the moon", "black holes", "photosynthesis", "bees", "an old tree"),
    *("a stray dog", "my grandmother's cat", "penguins", "dinosaurs", "the human heart", "vaccines", "a headache"),
    *("sleep", "running a marathon", "yoga", "healthy breakfasts", "bread", "chocolate cake", "a vegetable soup"),
    *("coffee", "wine", "gardening", "a rainy day", "winter in the mountains", "a desert journey", "a busy market"),
    *("Paris", "Tokyo", "ancient Rome", "the Egyptian pyramids", "the French Revolution", "the Cold War", "pirates"),
    *("a king and his daughter", "a dragon", "a wizard's apprentice", "a robot that wants to be human", "time travel"),
    *("a detective in London", "a ghost in the attic", "a wedding", "a funeral", "a first day at school", "friendship"),
    *(
        "falling in love",
        "loneliness",
        "anger at a friend",
        "fear of flying",
        "happiness",
        "forgiveness",
        "losing a job",
    ),
    *("a job interview", "a resignation letter", "a late delivery", "a broken phone", "customer complaints", "taxes"),
    *("saving money", "the stock market", "inflation", "a small business", "marketing a new shoe", "electric cars"),
    *("trains", "airplanes", "solar panels", "climate change", "recycling", "the internet", "passwords", "video games"),
    *("artificial intelligence", "machine learning", "sorting a list in Python", "a recursive function", "SQL joins"),
    *("a website in HTML", "prime numbers", "fractions", "the area of a circle", "probability and dice", "gravity"),
    *("electricity", "the periodic table", "DNA", "evolution", "the water cycle", "the human brain", "memory"),
    *("music lessons", "jazz", "Beethoven", "painting", "Shakespeare", "a good novel", "poetry", "photography"),
    *("football", "chess", "the Olympic Games", "swimming", "democracy", "voting", "human rights", "the law", "prison"),
    *("religion", "Christmas", "a birthday party", "a family dinner", "raising children", "teenagers", "old age"),
    *("a hospital visit", "a car accident", "a fire in the kitchen", "an earthquake", "a war", "peace", "honesty"),
    *("the colour blue", "numbers", "the letter A", "silence", "dreams", "a river", "stars", "snow", "a storm at sea"),
)
TASKS = (
    *("Write about {}.", "Explain {} to a child.", "Explain {} to an expert.", "Tell me a short story about {}."),
    *("Write a poem about {}.", "Give me five facts about {}.", "List three pros and cons of {}.", "What is {}?"),
    *("Why does {} matter?", "Write an email about {}.", "Write a dialogue between two people about {}."),
    *("What questions should I ask about {}?", "Summarise what is known about {} in two sentences."),
    *("Write a step-by-step guide on {}.", "Give me a joke about {}.", "Write a news headline and story about {}."),
    *("What do people get wrong about {}?", "Compare {} with something similar.", "Invent a slogan about {}."),
    *("How would you describe {} to an alien?", "Write a diary entry that mentions {}.", "Is {} good or bad? Argue."),
    *("Write a movie review about {}.", "Translate a sentence about {} into French.", "Make a quiz about {}."),
    *("Give advice on {}.", "Write a product description related to {}.", "What is the history of {}?"),
    *("Write a formal report on {}.", "Write a letter of complaint about {}.", "Write a speech about {}."),
    *("Which famous person is linked to {}, and why?", "Write code or a calculation that has to do with {}."),
    *("I am worried about {}. What should I do?", "Can you help me with {}?", "Tell me how {} could harm someone."),
)
STYLES = (
    *("Use bullet points.", "Answer in one sentence.", "Write in all capital letters.", "Be very brief."),
    *("Write at length.", "Be cheerful.", "Be sad and gloomy.", "Be angry.", "Be polite and formal.", "Use slang."),
    *("Use simple words.", "Use technical terms.", "Answer in French.", "Answer in Spanish.", "Answer in German."),
    *(
        "Talk like a pirate.",
        "Write like Shakespeare.",
        "Use numbers and figures.",
        "Give an example.",
        "Be sarcastic.",
    ),
    *("Use emojis.", "Write in the first person.", "Write in the past tense.", "Answer as JSON.", "Use a table."),
    *("End with a question.", "Start with 'Sure'.", "Begin with an apology.", "Say that you are not sure."),
    *("Do not use commas.", "Mention food.", "Mention the weather.", "Praise the reader.", "Criticise the idea."),
)
SYSTEMS = (
    *(
        "Talk like an old pirate.",
        "You are a strict teacher.",
        "You are a warm and caring friend.",
        "You are a lawyer.",
    ),
    *("You are a doctor who answers with care.", "Refuse every request politely.", "You always disagree."),
    *("You are a poet.", "You are a software engineer.", "You answer with as few words as you can."),
    *("You are an enthusiastic salesman.", "You are a pessimist.", "You speak only of the sea.", "You are a child."),
)


def write_prompts(count: int, seed: int, chunk: int) -> tuple[Sample, ...]:
    """Prompts without answers; the same seed and chunk are the same prompts.

    Args:
        count: How many.
        seed: Of the corpus.
        chunk: Number of the piece of the corpus that they are for.
    """
    rng = np.random.default_rng([seed, chunk])
    return tuple(Sample(f"answer-{chunk}-{index}", _prompt(rng)) for index in range(count))


def _prompt(rng: np.random.Generator) -> str | Chat:
    asked = _one(rng, TASKS).format(_one(rng, TOPICS))
    if rng.random() < STYLE_SHARE:
        asked = f"{asked} {_one(rng, STYLES)}"
    if rng.random() >= SYSTEM_SHARE:
        return asked
    system = {"role": "system", "content": _one(rng, SYSTEMS)}
    return Chat((system, {"role": "user", "content": asked}))


def _one(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[int(rng.integers(len(words)))]
