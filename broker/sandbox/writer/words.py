"""Long words and the short ones that stand in for them, contractions, and the small talk of a conversational answer."""

from __future__ import annotations

import re

# long: short, word by word in the same grammatical form.
_PAIRS = """
approximately: about; additionally: also; furthermore: also; moreover: also; consequently: so; subsequently: then;
therefore: so; thus: so; hence: so; however: but; nevertheless: still; nonetheless: still; numerous: many;
sufficient: enough; significant: big; significantly: much; substantial: large; substantially: much; primary: main;
primarily: mostly; principal: main; principally: mostly; predominantly: mostly; fundamental: basic; initial: first;
initially: at first; originally: at first; previously: before; previous: past; currently: now; presently: now;
frequently: often; generally: mostly; typically: mostly; usually: mostly; particularly: mainly; especially: mainly;
approximate: rough; immediately: at once; eventually: in the end; ultimately: in the end; finally: at last;
utilize: use; utilise: use; utilized: used; utilised: used; utilizes: uses; require: need; requires: needs;
required: needed; requiring: needing; acquire: get; acquired: got; obtain: get; obtained: got; obtains: gets;
receive: get; received: got; receives: gets; purchase: buy; purchased: bought; construct: build; constructed: built;
construction: building; establish: set up; established: set up; establishes: sets up; establishing: setting up;
commence: start; commenced: started; terminate: end; terminated: ended; conclude: end; concluded: ended;
demonstrate: show; demonstrated: showed; demonstrates: shows; indicate: show; indicated: showed; indicates: shows;
attempt: try; attempted: tried; attempts: tries; attempting: trying; assist: help; assisted: helped;
assistance: help; facilitate: help; facilitated: helped; permit: let; permitted: let; enable: help; enabled: helped;
provide: give; provided: gave; provides: gives; providing: giving; maintain: keep; maintained: kept;
maintains: keeps; retain: keep; retained: kept; remain: stay; remained: stayed; remains: stays; remaining: left;
consider: see; considered: seen; regarded: seen; contain: hold; contains: holds; contained: held;
containing: with; consist: be made; consists: is made; comprise: make up; comprises: is made up of;
include: have; includes: has; included: had; including: with; individual: person; individuals: people;
population: people; populations: peoples; inhabitants: people; residents: people; citizens: people;
children: kids; physicians: doctors; physician: doctor; vehicle: car; vehicles: cars; residence: home;
residences: homes; location: place; locations: places; territory: land; territories: lands; region: part;
regions: parts; area: place; areas: places; objective: goal; objectives: goals; component: part; components: parts;
element: part; elements: parts; portion: part; majority: most; minority: few; quantity: amount; quantities: amounts;
method: way; methods: ways; manner: way; procedure: way; procedures: ways; process: way; processes: ways;
difficulty: trouble; difficulties: troubles; difficult: hard; opportunity: chance; opportunities: chances;
advantage: gain; advantages: gains; benefit: gain; benefits: gains; consequence: effect; consequences: effects;
influence: pull; influenced: shaped; important: key; importance: weight; essential: key; necessary: needed;
necessarily: always; possible: likely; possibility: chance; probably: maybe; additional: more; subsequent: later;
similar: like; different: other; various: many; entire: whole; entirely: fully; completely: fully; complete: full;
relatively: fairly; extremely: very; exceptionally: very; increasingly: more and more; rapidly: fast; rapid: fast;
immense: huge; enormous: huge; considerable: large; considerably: much; limited: small; extensive: wide;
ancient: old; traditional: old; traditionally: as ever; modern: new; contemporary: new; recent: new; recently: of late;
government: state; governments: states; authority: power; authorities: powers; organization: group;
organizations: groups; organisation: group; association: group; institution: school; institutions: schools;
university: college; universities: colleges; professor: teacher; professors: teachers; student: pupil;
literature: books; publication: book; publications: books; document: paper; documents: papers; agreement: deal;
agreements: deals; conflict: fight; conflicts: fights; military: army; soldiers: troops; defeated: beat;
defeat: loss; victory: win; victories: wins; opposition: other side; opponent: rival; competition: contest;
development: growth; developed: grew; developing: growing; increase: rise; increased: rose; increases: rises;
increasing: rising; decrease: fall; decreased: fell; decline: fall; declined: fell; reduce: cut; reduced: cut;
reduction: cut; expand: grow; expanded: grew; expansion: growth; create: make; created: made; creates: makes;
creating: making; produce: make; produced: made; produces: makes; producing: making; production: making;
manufacture: make; manufactured: made; discover: find; discovered: found; discovery: find; identify: find;
identified: found; determine: find out; determined: found out; observed: seen; observe: see; perceive: see;
understand: get; understood: known; believe: think; believed: thought; explained: told; explain: tell;
described: told of; describe: tell of; describes: tells of; mention: name; mentioned: named; declared: said;
announced: said; stated: said; suggested: said; suggests: says; argued: said; claimed: said; proposed: put forward;
requested: asked; request: ask; inquire: ask; responded: replied; response: reply; employed: used; employ: use;
employment: work; occupation: job; occupations: jobs; operate: run; operated: ran; operates: runs; operation: run;
participate: take part; participated: took part; participation: part; appointed: named; elected: chosen;
selected: chosen; select: choose; preferred: liked; prevented: stopped; prevent: stop; prohibited: banned;
eliminate: end; eliminated: ended; remove: take out; removed: taken out; transferred: moved; transported: moved;
travelled: went; traveled: went; departed: left; arrived: came; returned: came back; accompanied: joined;
surrounded: ringed; located: found; situated: found; separated: parted; divided: split; connected: linked;
combined: joined; associated: linked; related: linked; resulted: ended; resulting: final; caused: made;
allowing: letting; allowed: let; allows: lets; allow: let; continue: go on; continued: went on; continues: goes on;
beginning: start; beginnings: starts; throughout: all through; regarding: about; concerning: about; despite: even with;
approaches: ways; approach: way; information: facts; knowledge: facts; evidence: proof; economic: money;
financial: money; economy: trade; commercial: trade; industrial: plant; agricultural: farm; agriculture: farming;
political: state; religious: church; religion: faith; religions: faiths; historical: past; history: past;
educational: school; education: schooling; environment: world; environmental: green; temperature: heat;
temperatures: heat; atmosphere: air; chemical: lab; molecule: bit; molecules: bits; particle: bit; particles: bits;
ability: skill; abilities: skills; activity: work; activities: works; community: town; communities: towns;
century: age; centuries: ages; anniversary: birthday; celebrated: marked; ceremony: feast; dangerous: risky;
equipment: gear; experience: past; experienced: felt; experiment: test; experiments: tests; facility: site;
facilities: sites; generation: age; industry: trade; industries: trades; material: stuff; materials: stuff;
necessity: need; performance: show; performed: did; perform: do; performing: doing; physical: bodily;
position: place; positions: places; principle: rule; principles: rules; property: trait; properties: traits;
regulation: rule; regulations: rules; separate: split; situation: case; society: people; specific: set;
structure: shape; structures: shapes; technology: tools; technologies: tools; tradition: habit; traditions: habits;
variety: range; available: at hand; effective: strong; efficient: quick; independent: free; independence: freedom;
international: world; national: state; responsible: in charge; successful: good; successfully: well; unable: not able
"""
_JOINED = """
it is: it's; it was not: it wasn't; that is: that's; there is: there's; is not: isn't; are not: aren't;
was not: wasn't; were not: weren't; do not: don't; does not: doesn't; did not: didn't; has not: hasn't;
have not: haven't; had not: hadn't; cannot: can't; can not: can't; could not: couldn't; would not: wouldn't;
will not: won't; should not: shouldn't; they are: they're; in order to: to; as well as: and; due to: because of;
such as: like; as a result of: from; as a result: so; in addition to: on top of; in addition: also; a number of: some;
a variety of: many; the majority of: most of; in spite of: even with; with respect to: about; prior to: before;
subsequent to: after; for the purpose of: for; in the event that: if; a large number of: lots of; as opposed to: not;
at the time of: at; in terms of: in; on the basis of: by; one of the most: a very; is able to: can; was able to: could
"""


def _table(text: str) -> dict[str, str]:
    entries = (entry.split(":", 1) for entry in text.replace("\n", " ").split(";") if entry.strip())
    return {long.strip(): short.strip() for long, short in entries}


SHORTER = _table(_PAIRS)
JOINED = _table(_JOINED)
_TOKEN = re.compile(r"[A-Za-z]+")
_A = re.compile(r"\b(?P<article>an?) (?P<word>[a-z]+)\b")
_PHRASE = re.compile(rf"\b(?:{'|'.join(sorted(JOINED, key=len, reverse=True))})\b", re.IGNORECASE)

OPENERS = (
    "Sure! ",
    "Good one! ",
    "Oh, I like this one. ",
    "Ha, nice one! ",
    "Well, here you go. ",
    "Glad you asked! ",
    "Okay, so here's the gist. ",
    "Right, let me tell you. ",
    "Hey, good to ask. ",
    "Yep, I can help. ",
)
CLOSERS = (
    " Neat, right?",
    " Hope that helps!",
    " Not bad, eh?",
    " That's it in a nutshell.",
    " Fun, huh?",
    " So there you have it.",
    " Does that make sense?",
    " And that's it!",
    " Ask me more if you like.",
    " Good to know, right?",
)
_WARM_WORDS = """
you your you're we we'll i i'm glad sorry hope help feel feels feeling understand hear thanks thank please happy love
like great good nice sure oh hey well kind care gentle together safe okay right friend hug proud brave
"""
WARM = frozenset(_WARM_WORDS.split())


def _cased(word: str, like: str) -> str:
    return word[:1].upper() + word[1:] if like[:1].isupper() else word


def joined(text: str) -> str:
    """Return the text with stock phrases shortened and verbs contracted."""
    return _PHRASE.sub(lambda match: _cased(JOINED[match.group().lower()], match.group()), text)


def shorter(text: str, *, most: int) -> str:
    """Return the text with long words replaced, from its start; words with a capital inside a sentence are names.

    Args:
        text: Any text.
        most: How many words are replaced at most.
    """
    left = most
    made: list[str] = []
    end = 0
    for match in _TOKEN.finditer(text):
        word = match.group()
        opens = match.start() == 0 or text[: match.start()].rstrip().endswith((".", "!", "?"))
        short = SHORTER.get(word.lower()) if left and (word.islower() or opens) else None
        if short is not None:
            left -= 1
            made += [text[end : match.start()], _cased(short, word)]
            end = match.end()
    return _A.sub(_article, "".join([*made, text[end:]]))


def _article(match: re.Match[str]) -> str:
    """Make "an" of "a" before a vowel's sound and the other way round: the word after it may be another one now."""
    word = match["word"]
    right = "an" if word[0] in "aeio" and word != "one" else "a" if word[0] not in "aeiouh" else match["article"]
    return f"{right} {word}"
