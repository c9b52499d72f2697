"""A generated corpus of conversations whose right answers are known.

    python corpus.py > eval.jsonl                       the held-out cases
    python corpus.py --calibration > calibration.jsonl  as many that training may have seen, to choose settings with

A task turns random numbers into a question and its answer. The answer is a function of the question, so that it can
be checked. One question in ten is held out. A checksum decides which: of the numbers in tasks with numbers, of the
word in those that spell, of the question elsewhere. So training never sees a held-out sum in any phrasing, nor a
held-out word spelled.
"""

import json
import random
import sys
import zlib

from words import ANIMALS, COLOURS, DAYS, MONTHS, NAMES, OPPOSITE, PLACES, THINGS, TOPICS, WORDS

ABILITIES = (
    "I can add and subtract, count, sort numbers, spell and reverse words, name days, months and opposites, "
    "and tell small stories."
)
REFUSAL = f"Sorry, I don't know that. {ABILITIES}"
ABOUT = f"I am a very small language model. {ABILITIES}"


def number(r, low=0, high=99):
    return r.randint(low, high)


def listed(numbers):
    return ", ".join(map(str, numbers))


def one(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


# Each task returns a conversation up to its last question, [user, assistant, user, ...], the answer, and the text that
# decides whether it is held out.


def add(r):
    a, b = number(r), number(r)
    form = r.choice(["What is {a} + {b}?", "{a} + {b} = ?", "What is {a} plus {b}?", "Add {a} and {b}."])
    return [form.format(a=a, b=b)], f"{a} + {b} = {a + b}.", f"{a} + {b}"


def subtract(r):
    b, a = sorted((number(r), number(r)))
    form = r.choice(["What is {a} - {b}?", "{a} - {b} = ?", "What is {a} minus {b}?", "Subtract {b} from {a}."])
    return [form.format(a=a, b=b)], f"{a} - {b} = {a - b}.", f"{a} - {b}"


def count(r):
    low, steps = number(r, 0, 90), number(r, 3, 9)
    if r.random() < 0.75:
        a, b, numbers = low, low + steps, range(low, low + steps + 1)
        form = r.choice(["Count from {a} to {b}.", "Count up from {a} to {b}."])
    else:
        a, b, numbers = low + steps, low, range(low + steps, low - 1, -1)
        form = r.choice(["Count down from {a} to {b}."])
    return [form.format(a=a, b=b)], f"{listed(numbers)}.", f"{a} to {b}"


def sort(r):
    numbers = [number(r) for _ in range(number(r, 3, 5))]
    form = r.choice(["Sort these numbers: {n}.", "Sort {n}.", "Put these numbers in order: {n}."])
    return [form.format(n=listed(numbers))], f"{listed(sorted(numbers))}.", listed(numbers)


def invented(r):
    """A word that nobody has heard, but could pronounce."""
    onsets = "b c d f g h j k l m n p r s t v w y z br cr dr fl gr pl sh sl st th tr ch cl".split()
    codas = "- - - b d g k l m n p r s t x nd ng nt rk st sk ll ss ck".split()
    count = r.choice([1, 2, 2, 3])
    return "".join(r.choice(onsets) + r.choice("aeiou") + r.choice(codas).strip("-") for _ in range(count))


def word(r):
    return r.choice(WORDS) if r.random() < 0.6 else invented(r)


def spell(r):
    w = word(r)
    form = r.choice(["Spell {w}.", "How do you spell {w}?", "Spell the word {w}."])
    return [form.format(w=w)], f"{' '.join(w)}.", w


def reverse(r):
    w = word(r)
    form = r.choice(["Spell {w} backwards.", "Reverse {w}.", "What is {w} backwards?"])
    return [form.format(w=w)], f"{' '.join(reversed(w))}.", w


def day(r):
    return neighbour(r, DAYS, "day")


def month(r):
    return neighbour(r, MONTHS, "month")


def neighbour(r, names, kind):
    at, step = r.randrange(len(names)), r.choice([-1, 1])
    where = "after" if step > 0 else "before"
    form = r.choice([
        "What {k} comes {w} {n}?", "Which {k} is {w} {n}?", "What {k} is {w} {n}?", "Which {k} comes {w} {n}?",
        "Name the {k} {w} {n}.", "Tell me the {k} {w} {n}.", "What is the {k} {w} {n}?", "The {k} {w} {n}?",
    ])
    question = form.format(k=kind, w=where, n=names[at])
    return [question], f"{names[(at + step) % len(names)]} comes {where} {names[at]}.", question


def opposite(r):
    w = r.choice(list(OPPOSITE))
    form = r.choice([
        "What is the opposite of {w}?", "The opposite of {w}?",
        "Name the opposite of {w}.", "Tell me the opposite of {w}.",
    ])
    question = form.format(w=w)
    return [question], f"The opposite of {w} is {OPPOSITE[w]}.", question


def tale(r):
    """What asks for a story, the story, and what it is about."""
    hero, animal, colour, place, thing = (r.choice(kind) for kind in (NAMES, ANIMALS, COLOURS, PLACES, THINGS))
    ask = r.choice(["Tell me", "Write"])
    question = f"{ask} a story about {hero}, {one(colour)} {animal} and {one(thing)} in the {place}."
    stories = [
        f"One day, {hero} went to the {place}. There {hero} met {one(colour)} {animal}. The {animal} had lost its "
        f"{thing}. {hero} looked everywhere and found the {thing}. The {animal} was happy, and they played all day.",
        f"{hero} lived near the {place}. One night, {one(colour)} {animal} knocked at the door. It was cold and wet. "
        f"{hero} gave it soup. In the morning, the {animal} gave {hero} {one(thing)} and ran home.",
        f"{one(colour).capitalize()} {animal} found {one(thing)} in the {place}. It was too big to carry. Then {hero} "
        f"came along. Together they took the {thing} home, and {hero} and the {animal} became friends.",
        f"{hero} wanted {one(thing)} more than anything. {one(colour).capitalize()} {animal} in the {place} had one. "
        f"{hero} asked nicely, and the {animal} said yes. Now they share the {thing} and are never bored.",
        f"It was raining in the {place}. {hero} sat under a tree and saw {one(colour)} {animal} with {one(thing)}. "
        f"{hero} said: Come and sit with me. The {animal} came, and soon the sun was out again.",
        f"The {colour} {animal} could not sleep. It took its {thing} and walked through the {place}. There it met {hero}, "
        f"who could not sleep either. They looked at the stars until the morning.",
    ]
    # The animal decides which it is.
    return question, stories[ANIMALS.index(animal) % len(stories)], (hero, animal, colour, place, thing)


def story(r):
    question, text, _ = tale(r)
    return [question], text, question


def recall(r):
    question, text, (hero, animal, colour, place, thing) = tale(r)
    asked, answer = r.choice([
        (f"What colour was the {animal}?", f"The {animal} was {colour}."),
        ("Where was it?", f"It was in the {place}."),
        ("Who was in the story?", f"{hero} and {one(animal)}."),
        ("What thing was in the story?", f"{one(thing).capitalize()}."),
        ("What animal was in the story?", f"{one(animal).capitalize()}."),
    ])
    return [question, text, asked], answer, question


def hello(r):
    greeting = r.choice([
        "Hello", "Hi", "Hey", "Good morning", "Good evening", "Good day", "Hello there", "Hi there", "Greetings",
    ])
    end = r.choice([".", "!", ""])
    if r.random() < 0.3:
        question = greeting + end
        return [question], "Hello! How can I help you?", question
    name = r.choice(NAMES)
    question = greeting + r.choice([", I am {n}", ", my name is {n}", ", this is {n}"]).format(n=name) + end
    return [question], f"Hello, {name}! How can I help you?", question


def thanks(r):
    start = r.choice([
        "Thank you", "Thanks", "Thanks a lot", "Many thanks", "Thank you very much", "Thank you so much",
    ])
    rest = r.choice([
        "", ", that was good", ", that helped", " for the answer", " for the help", " for the story", ", well done",
        ", great", ", very nice", " for that",
    ])
    question = start + rest + r.choice([".", "!", ""])
    return [question], "You are welcome!", question


# Topics t and u, words w, v and x, a name n, a colour c, numbers a and b.
OTHER = """
What is the capital of {t}?|Who invented {t}?|Who wrote about {t}?|How do I make {t}?|Explain {t}.
Explain {t} to me.|Write a poem about {t}.|Write a song about {t}.|What do you think about {t}?
What do you know about {t}?|Tell me about {t}.|Tell me a joke about {t}.|Why is {t} important?
How does {t} work?|When did {t} begin?|Where can I find {t}?|Translate {w} into French.
Translate {w} into German.|What does {w} mean?|Define {w}.|What rhymes with {w}?|Use {w} in a sentence.
Who is {n}?|Where does {n} live?|How old is {n}?|Is {n} nice?|What is {a} times {b}?|What is {a} * {b}?
Multiply {a} by {b}.|What is {a} divided by {b}?|Divide {a} by {b}.|Is {a} a prime number?
What is the square root of {a}?|I like {t}.|I do not like {t}.|I want to learn {t}.|Do you like {t}?
Can you help me with {t}?|Can you draw {t}?|Is {t} good?|Is {w} good or bad?|Give me advice about {t}.
Recommend a book about {t}.|How are you?|How old are you?|Where are you?|Are you a robot?|Are you human?|What time is it?|What is the date today?|Tell me a joke.
Sing a song.|What is your name?|Who made you?|Can you think?|Do you sleep?|Play a game with me.
What is the weather in {t}?|How far is {t}?|How much does {t} cost?|Which is better, {t} or {u}?
Compare {t} and {u}.|What is {t}?|What is {w}?|Who is the king of {t}?|Summarise {t}.|Write code for {t}.
Write an email about {t}.|I am {w}.|My {w} is broken.|The {w} is {c}.|Why is the {w} {c}?
How many {w} are there?|{w}|{w} {v}|{w} {v} and {x}|{t}?|{t}|Why {t}?|Please explain {w}.|Find {t} for me.
Open {t}.|Buy {w}.|Call {n}.|Remind me about {t}.|Book a flight to {t}.|Order {w} for me.
""".strip().replace("\n", "|").split("|")


# About the model itself.
SELF = "Who are you?|What are you?|What can you do?|What do you know?|How can you help me?|Help.|Help me.".split("|")


def other(r):
    if r.random() < 0.08:
        question = r.choice(SELF)
        return [question], ABOUT, question
    topics, words = {k: r.choice(TOPICS) for k in "tu"}, {k: word(r) for k in "wvx"}
    name, colour, numbers = r.choice(NAMES), r.choice(COLOURS), {k: number(r) for k in "ab"}
    question = r.choice(OTHER).format(**topics, **words, n=name, c=colour, **numbers)
    return [question], REFUSAL, question


# How often training draws a task, and how many cases the evaluation has of it, if there are that many.
TASKS = {
    add: (16, 160), subtract: (12, 140), count: (12, 120), sort: (20, 140), spell: (9, 100), reverse: (14, 120),
    day: (2, 40), month: (4, 80), opposite: (5, 80), story: (8, 100), recall: (8, 100), hello: (3, 60), thanks: (2, 40),
    other: (12, 140),
}
WEIGHTS = [weight for weight, _ in TASKS.values()]
LONG = (story, recall, other)


def draw(r, task, held_out):
    """A conversation of a task up to its last question, and the answer."""
    while True:
        questions, answer, decider = task(r)
        # As in `typed`, neither capitals nor the mark at the end make another question.
        decider = decider.rstrip("?.!").lower()
        if (zlib.crc32(decider.encode()) % 10 == 0) == held_out:
            return questions, answer


def typed(r, question):
    """A question as people type it: some without the capital at the start, some without the mark at the end."""
    if r.random() < 0.15 and not question.startswith(tuple(NAMES)):
        question = question[0].lower() + question[1:]
    if r.random() < 0.15:
        question = question.rstrip("?.!")
    return question


def sample(r, weights=WEIGHTS):
    """A conversation for training, [user, assistant, user, assistant, ...], and the task of its last answer.

    The weights say how often each task is drawn. In some conversations something short comes before.
    """
    main = r.choices(list(TASKS), weights)[0]
    tasks = [main]
    if main not in (story, recall) and r.random() < 0.12:
        tasks.insert(0, r.choice([task for task in TASKS if task not in LONG]))
    turns = []
    for task in tasks:
        questions, answer = draw(r, task, held_out=False)
        turns += [*questions[:-1], typed(r, questions[-1]), answer]
    return turns, main.__name__


def evaluation(seed=2026, held_out=True):
    """Cases with their answers, no two alike."""
    r, seen = random.Random(seed), set()
    for task, (_, cases) in TASKS.items():
        # Tasks with few questions run out of them.
        for _ in range(20_000):
            if cases == 0:
                break
            questions, answer = draw(r, task, held_out)
            if tuple(questions) in seen:
                continue
            seen.add(tuple(questions))
            cases -= 1
            questions[-1] = typed(r, questions[-1])
            messages = [dict(role=("user", "assistant")[i % 2], content=text) for i, text in enumerate(questions)]
            yield dict(task=task.__name__, messages=messages, answer=answer)


if __name__ == "__main__":
    for case in evaluation(held_out="--calibration" not in sys.argv):
        print(json.dumps(case))
