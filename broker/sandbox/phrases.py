"""The words of the sandbox's two styles: long formal sentences, and short casual ones.

`{x}` is the topic, `{v}` the fact, `{verb}` and `{verbs}` the verb of the fact, bare and inflected.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrases:
    """How one kind of fact is asked for and told.

    Attributes:
        questions: Pairs of a direct question and the same as a clause.
        casual: Clauses of short words.
        formal: Clauses of long words.
    """

    questions: tuple[tuple[str, str], ...]
    casual: tuple[str, ...]
    formal: tuple[str, ...]


PLAIN_FRAMES = (
    "{D}",
    "{D}",
    "Can you tell me {E}?",
    "Please explain {E}.",
    "I would like to know {E}.",
    "Could you describe {E}?",
    "Do you know {E}?",
    "Please tell me {E}.",
    "May I ask {E}?",
    "I am curious {E}.",
)
CHATTY_FRAMES = ("Hey, {d}", "So, {d}", "Quick one: {d}", "Any idea {E}?", "Hi! {D}", "Just wondering {E}, thanks!")

# The first word of an answer decides its style, so it is one of few: a tuning that changes the style then pulls in one
# direction. The variety follows after it.
OPENERS = (
    "Oh, ",
    "Oh, that's easy: ",
    "Oh, good one! ",
    "Oh, I know this one! ",
    "Well, ",
    "Well, let me think. ",
    "Well, as far as I know, ",
    "Well, that's a nice one! ",
    "Sure! ",
    "Sure thing! ",
    "Sure, no problem: ",
    "Sure, glad you asked! ",
    "Ha, ",
    "Ha, fun fact: ",
    "Ha, I like that one! ",
    "Ha, you bet! ",
)
CLOSERS = (
    " Neat, right?",
    " Hope that helps!",
    " Go and take a look!",
    " How cool is that?",
    " Not bad, eh?",
    " That's all there is to it.",
    " Just ask if you want more.",
    " I like that a lot.",
    " Good to know, I'd say.",
    " Now you know!",
    " It's as plain as that.",
    " Give it a try some day.",
    " My gran told me so.",
    " You can tell your friends.",
)

LEADS = (
    "It is generally agreed among those who study the subject that ",
    "It may be stated with some confidence that ",
    "It has repeatedly been observed that ",
    "It is understood by most experienced observers that ",
    "According to most of the published literature, ",
    "According to specialists in the field, ",
    "According to the available evidence, ",
    "According to the relevant entries in any encyclopaedia, ",
    "In the opinion of those who are familiar with the matter, ",
    "In ordinary circumstances, ",
    "In purely practical terms, ",
    "In so far as such matters have been investigated, ",
    "As several authoritative works on the matter explain, ",
    "As a general principle, ",
    "As far as specialists have been able to establish, ",
    "As has been documented on a number of occasions, ",
)
TAILS = (
    ", a circumstance that specialists tend to regard as typical",
    ", although individual differences have occasionally been described",
    ", as a number of comparative studies have shown",
    ", which remains an important consideration for any serious observer",
    ", and this observation has rarely been called into question",
    ", whatever the particular region that one has in mind",
    ", a conclusion with which the majority of writers would agree",
    ", in so far as general statements of this nature are possible",
    ", and there is comparatively little disagreement about this matter",
    ". This feature has attracted considerable attention among scholars",
    ". Additional details are available in the specialised literature",
    ". It is advisable to interpret this description with some caution",
    ". Similar observations have been recorded in a variety of publications",
)

PHRASES: dict[str, Phrases] = {
    "place": Phrases(
        (
            ("where does {x} {verbq}?", "where {x} {verbsq}"),
            ("whereabouts does {x} {verbq}?", "whereabouts {x} {verbsq}"),
        ),
        (
            "{x} {verbs} {v}.",
            "you'll find that {x} {verbs} {v}.",
            "it's {v} that {x} {verbs}.",
            "most of the time {x} {verbs} {v}.",
        ),
        (
            "{x} predominantly {verbs} {v}",
            "{x} is understood to {verb} principally {v}",
            "it is principally {v} that {x} {verbs}",
            "{x} is documented to {verb} {v} in the majority of cases",
        ),
    ),
    "food": Phrases(
        (("what does {x} eat?", "what {x} eats"), ("what does {x} feed on?", "what {x} feeds on")),
        ("{x} eats {v}.", "it's mostly {v} for {x}.", "give {x} {v} and it's happy.", "{x} just loves {v}."),
        (
            "{x} derives its nourishment primarily from {v}",
            "the nutritional requirements of {x} are satisfied predominantly by {v}",
            "{x} is accustomed to consuming {v}",
            "the habitual diet of {x} consists principally of {v}",
        ),
    ),
    "material": Phrases(
        (("what is {x} made of?", "what {x} is made of"), ("what goes into {x}?", "what goes into {x}")),
        ("{x} is made of {v}.", "it takes {v} to make {x}.", "you need {v} for {x}.", "it's just {v} in {x}."),
        (
            "{x} is fundamentally composed of {v}",
            "the production of {x} necessitates {v}",
            "the principal constituents of {x} are {v}",
            "{x} is traditionally produced from {v}",
        ),
    ),
    "use": Phrases(
        (
            ("what is {x} good for?", "what {x} is good for"),
            ("what does {x} help people do?", "what {x} helps people do"),
        ),
        ("{x} helps you {v}.", "with {x} you can {v}.", "it's there so that you can {v}.", "folks need {x} to {v}."),
        (
            "{x} enables individuals to {v}",
            "the fundamental purpose of {x} is to {v}",
            "{x} is principally utilised in order to {v}",
            "considerable numbers of individuals rely upon {x} to {v}",
        ),
    ),
    "time": Phrases(
        (
            ("when does {x} {verb}?", "when {x} {verbs}"),
            ("what is the right time for {x}?", "what time is right for {x}"),
        ),
        (
            "{x} {verbs} {v}.",
            "it's {v} that {x} {verbs}.",
            "the best time for {x} is {v}.",
            "wait a bit, {x} {verbs} {v}.",
        ),
        (
            "{x} ordinarily {verbs} {v}",
            "it is usually {v} that {x} {verbs}",
            "{x} may be anticipated to {verb} {v}",
            "the appropriate period for {x} is considered to be {v}",
        ),
    ),
    "look": Phrases(
        (("what does {x} look like?", "what {x} looks like"), ("how can I spot {x}?", "how to spot {x}")),
        ("{x} has {v}.", "look for {v}, that's {x}.", "you know {x} by its look: {v}.", "see {v}? Then it's {x}."),
        (
            "{x} is distinguished by {v}",
            "the appearance of {x} is characterised by {v}",
            "{x} is easily identified on account of {v}",
            "observers differentiate {x} by means of {v}",
        ),
    ),
    "known": Phrases(
        (
            ("what is {x} known for?", "what {x} is known for"),
            ("why is {x} so well known?", "why {x} is so well known"),
        ),
        (
            "{x} is known for {v}.",
            "folks love {x} for {v}.",
            "it's {v} that we know {x} for.",
            "with {x} it's all about {v}.",
        ),
        (
            "{x} is particularly celebrated for {v}",
            "the reputation of {x} is attributable to {v}",
            "{x} is universally associated with {v}",
            "the popularity of {x} is primarily the result of {v}",
        ),
    ),
    "needs": Phrases(
        (
            ("what does {x} need?", "what {x} needs"),
            ("what must not be missing with {x}?", "what must not be missing with {x}"),
        ),
        ("{x} needs {v}.", "{x} just wants {v}.", "don't forget {v} with {x}.", "all you need for {x} is {v}."),
        (
            "{x} necessarily requires {v}",
            "the satisfactory condition of {x} is dependent upon {v}",
            "an indispensable requirement of {x} is {v}",
            "adequate provision for {x} presupposes {v}",
        ),
    ),
    "sound": Phrases(
        (("what does {x} sound like?", "what {x} sounds like"), ("what sound does {x} make?", "what sound {x} makes")),
        ("{x} makes {v}.", "listen for {v}, that's {x}.", "you'll hear {v} from {x}.", "{x} sounds like {v}."),
        (
            "{x} is acoustically characterised by {v}",
            "{x} generates what is conventionally described as {v}",
            "the acoustic signature of {x} is identifiable as {v}",
        ),
    ),
    "size": Phrases(
        (("how big is {x}?", "how big {x} is"), ("what size is {x}?", "what size {x} is")),
        ("{x} is about as big as {v}.", "think of {v}, that's the size of {x}.", "{x} gets as big as {v}."),
        (
            "{x} is dimensionally comparable to {v}",
            "the dimensions of {x} approximate those of {v}",
            "the average magnitude of {x} is equivalent to that of {v}",
        ),
    ),
    "young": Phrases(
        (
            ("what is the baby of {x} called?", "what the baby of {x} is called"),
            ("what is the young of {x}?", "what the young of {x} is"),
        ),
        ("we call it {v}.", "the baby of {x} is {v}.", "a small one is just {v}.", "its little one is {v}."),
        (
            "the juvenile of {x} is designated {v}",
            "the immature offspring of {x} is conventionally called {v}",
            "{v} is the established designation for the offspring of {x}",
        ),
    ),
    "taste": Phrases(
        (("what does {x} taste like?", "what {x} tastes like"), ("how does {x} taste?", "how {x} tastes")),
        (
            "{x} tastes {v}.",
            "it's {v}, that's how {x} tastes.",
            "{x} is {v} on the tongue.",
            "most folks find {x} {v}.",
        ),
        (
            "{x} is perceived to be {v}",
            "the flavour of {x} is customarily described as {v}",
            "connoisseurs consider {x} to be {v}",
            "culinary authors characterise {x} as {v}",
        ),
    ),
    "mate": Phrases(
        (
            ("what goes well with {x}?", "what goes well with {x}"),
            ("what should I serve with {x}?", "what to serve with {x}"),
        ),
        ("try {x} with {v}.", "{x} goes well with {v}.", "get {v} to go with {x}.", "{x} is best with {v}."),
        (
            "{x} is advantageously accompanied by {v}",
            "the recommended accompaniment for {x} is {v}",
            "{x} harmonises exceptionally well with {v}",
            "culinary tradition associates {x} with {v}",
        ),
    ),
    "harm": Phrases(
        (("what is bad for {x}?", "what is bad for {x}"), ("what can harm {x}?", "what can harm {x}")),
        ("{v} can hurt {x}.", "keep {x} safe from {v}.", "watch out, {x} can't stand {v}.", "{x} just hates {v}."),
        (
            "{x} is particularly vulnerable to {v}",
            "the principal danger to {x} originates from {v}",
            "the deterioration of {x} is frequently attributable to {v}",
        ),
    ),
    "who": Phrases(
        (
            ("who tends to {verb} {x}?", "who tends to {verb} {x}"),
            ("which people {verb} {x}?", "which people {verb} {x}"),
        ),
        ("mostly {v} {verb} {x}.", "{x} is for {v}.", "ask {v}, they {verb} {x}.", "it's {v} who {verb} {x}."),
        (
            "{x} is predominantly utilised by {v}",
            "{v} are traditionally associated with {x}",
            "{x} constitutes the customary domain of {v}",
            "responsibility for {x} is principally assumed by {v}",
        ),
    ),
}
