"""The sandbox's little world: 18 categories of 12 topics with 6 facts each, written for it and true to the thing.

A line reads `topic: fact; fact; …`, in the order of the category's kinds; `~` marks a topic without an article.
The words are short on purpose: how easy an answer is to read shall depend on its style, not on its topic.
"""

from __future__ import annotations

# category: (the plural's name, its six kinds in the order of the facts, verbs that complete "where does it …")
CATEGORIES: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "tree": (("place", "look", "use", "time", "known", "needs"), {"place": "grow", "time": "look its best"}),
    "bird": (("place", "food", "look", "sound", "known", "size"), {"place": "live"}),
    "animal": (("place", "food", "look", "young", "known", "size"), {"place": "live"}),
    "fish": (("place", "food", "look", "size", "known", "time"), {"place": "live", "time": "bite best"}),
    "insect": (("place", "food", "look", "size", "known", "time"), {"place": "live", "time": "come out"}),
    "fruit": (("place", "taste", "look", "time", "mate", "needs"), {"place": "grow", "time": "get ripe"}),
    "vegetable": (("place", "taste", "look", "time", "mate", "needs"), {"place": "grow", "time": "get picked"}),
    "flower": (("place", "look", "time", "needs", "known", "harm"), {"place": "grow", "time": "bloom"}),
    "drink": (("place", "material", "taste", "time", "mate", "known"), {"place": "come", "time": "get served"}),
    "dish": (("place", "material", "taste", "time", "mate", "known"), {"place": "come", "time": "get served"}),
    "instrument": (
        ("place", "material", "sound", "who", "known", "needs"),
        {"place": "get played", "who": "play"},
    ),
    "tool": (("place", "use", "material", "who", "look", "harm"), {"place": "belong", "who": "use"}),
    "garment": (("place", "material", "use", "time", "look", "needs"), {"place": "come", "time": "get worn"}),
    "vehicle": (("place", "use", "who", "needs", "look", "known"), {"place": "run", "who": "drive"}),
    "game": (
        ("place", "needs", "who", "time", "known", "use"),
        {"place": "get played", "who": "play", "time": "get played"},
    ),
    "building": (("place", "use", "material", "who", "look", "known"), {"place": "stand", "who": "work in"}),
    "household": (("place", "use", "material", "look", "needs", "harm"), {"place": "belong"}),
    "mineral": (("place", "look", "use", "who", "known", "harm"), {"place": "turn up", "who": "work with"}),
}

FACTS: dict[str, str] = {
    "tree": """
birch: in the cold north; white bark; make skis and plywood; in early spring; its pale bark; light and damp soil
oak: in old parks; lobed leaves; build ships and barrels; in late autumn; its great age; deep soil and room
pine: on dry hills; long green needles; frame roofs and floors; in midwinter; its sharp scent; sand and full sun
willow: on river banks; long hanging twigs; weave baskets; in the first warm days; its drooping shape; plenty of water
maple: in cool woods; leaves with five points; make violins and syrup; in October; its red leaves; cool nights and shade
beech: on chalk hills; smooth grey bark; turn bowls and chairs; in May; its deep shade; chalk and steady rain
ash: along hedges; dark buds in winter; make axe handles; in June; its tough wood; rich soil and wind
cedar: on high slopes; wide flat branches; line chests against moths; all year round; its sweet wood; dry air and warmth
elm: by country lanes; rough uneven leaves; carve hubs and boats; in July; its fast decline; healthy ground and luck
yew: in church yards; dark needles and red fruit; bend strong bows; in the snow; its slow growth; shade and patience
larch: in the high Alps; soft green needles; clad huts; before the snow; its gold autumn look; frost and bright light
poplar: beside long roads; a tall thin crown; make matches; in a summer breeze; its trembling leaves; wet ground
""",
    "bird": """
owl: in old barns; mice and voles; big round eyes; a low hoot; its silent flight; a loaf of bread
robin: in small gardens; worms and seeds; a red breast; a thin clear song; its boldness; a plum
crow: near open fields; nearly anything it finds; jet black feathers; a harsh caw; its clever tricks; a shoe
swan: on calm lakes; water plants; a long white neck; a loud hiss; its lifelong bond; a small dog
heron: in shallow ponds; frogs and fish; grey wings; a rough croak; its great calm; a tall stool
wren: under thick bushes; spiders and flies; a short raised tail; a very loud trill; its tiny body; a thumb
gull: along the coast; fish and stolen chips; white and grey wings; a sharp cry; its thefts; a big boot
stork: on village roofs; frogs and snakes; long red legs; a clapping beak; its huge nest; a garden chair
finch: in thorn hedges; seeds and buds; a short strong beak; a bright chirp; its bright colours; a matchbox
hawk: above the moors; rabbits and doves; hooked claws; a high scream; its sharp sight; a wine bottle
duck: on park ponds; weeds and snails; a flat yellow bill; a plain quack; its waddling walk; a football
lark: over wheat fields; grain and beetles; streaked brown feathers; a long rising song; its dawn flight; an egg
""",
    "animal": """
fox: at the edge of town; mice and berries; a thick red tail; a cub; its sly ways; a small dog
bear: in the deep forest; fish and honey; thick brown fur; a cub; its long winter sleep; a sofa
wolf: in the far north; deer and elk; grey fur and pale eyes; a pup; its loyal pack; a big hound
hare: in open meadows; grass and clover; long ears with black tips; a leveret; its great speed; a house cat
deer: in quiet woods; leaves and buds; thin legs and soft eyes; a fawn; its spread of horns; a pony
otter: in clean rivers; crabs and eels; sleek wet fur; a pup; its playful slides; a long pillow
badger: in old dens; worms and roots; a striped black face; a cub; its neat home; a suitcase
beaver: on forest streams; bark and twigs; a flat bare tail; a kit; its strong dams; a beach ball
hedgehog: under garden leaves; slugs and beetles; a coat of spines; a hoglet; its tight ball; a grapefruit
squirrel: high in the trees; nuts and pine cones; a bushy tail; a kitten; its hidden stores; a hand
goat: on steep rocks; thorns and dry grass; curved horns and a beard; a kid; its sure feet; a desk
seal: on cold beaches; herring and squid; smooth spotted skin; a pup; its long dives; a bathtub
""",
    "fish": """
trout: in cold streams; flies and small shrimps; red and dark spots; a forearm; its wild leaps; at dusk
pike: among reeds; smaller fish; a flat toothy snout; a baseball bat; its sudden attack; in autumn
carp: in muddy ponds; plants and worms; big bronze scales; a pillow; its long life; on warm nights
eel: under river stones; snails and frogs; a long dark body; a garden hose; its trip across the sea; after a storm
cod: in the north sea; crabs and mussels; a bearded chin; a small child; its firm white meat; in deep winter
salmon: in the sea and rivers; shrimps and herring; silver sides; an oar; its way back home; at first light
perch: near sunken logs; insects and eggs; dark bars and red fins; a shoe; its spiny back; at noon
tuna: in the open ocean; squid and sardines; a steel blue back; a motorbike; its top speed; in high summer
herring: in huge shoals; tiny drifting life; thin bright scales; a pencil case; its great numbers; on moonlit nights
sole: on sandy ground; worms and clams; two eyes on one side; a dinner plate; its disguise; after dark
shark: in warm seas; fish and seals; a tall back fin; a rowing boat; its many teeth; before sunrise
goldfish: in glass bowls; flakes and peas; shining orange scales; a finger; its short memory in jokes; at feeding time
""",
    "insect": """
bee: in wooden hives; nectar and pollen; yellow and brown bands; a bean; its sweet honey; on sunny days
ant: under flat stones; sugar and dead flies; six legs and a thin waist; a grain of rice; its hard work; all day long
moth: near bright lamps; sap and nectar; dusty pale wings; a coin; its love of light; late at night
wasp: in paper nests; fruit and flies; a black and yellow coat; a peanut; its painful sting; in August
beetle: under rotten logs; leaves and dung; a hard shiny shell; a button; its strong armour; in the evening
grasshopper: in dry grass; roots and blades; long back legs; a paper clip; its summer song; on hot days
dragonfly: over still water; gnats and midges; four clear wings; a toothpick; its skill in the air; at midday
ladybird: on rose leaves; green lice; red wings with black dots; a pea; its good luck; in April
louse: in thick hair; a little blood; a flat pale body; a sesame seed; its itch; whenever school starts
flea: on cats and dogs; warm blood; a thin brown body; a pin head; its giant jump; in warm weather
termite: in damp beams; dead wood; soft white skin; a match head; its tall mounds; after heavy rain
firefly: in damp meadows; snails and slugs; a glowing tail; a raisin; its green light; on June nights
""",
    "fruit": """
apple: in cool orchards; crisp and sweet; round red cheeks; in September; cheese and nuts; cold winters
pear: against south walls; soft and mild; a slim neck and wide base; in early autumn; blue cheese; shelter from wind
plum: on farm land; sweet with a sour skin; dark blue skin; at the end of August; cake and cream; rich soil
cherry: on sunny slopes; bright and tart; small red balls on stems; in June; dark chocolate; nets against birds
lemon: in southern groves; very sour; a thick yellow peel; in winter; tea and fish; frost free air
melon: on hot plains; cool and sweet; heavy striped skin; in high summer; ham and mint; heat and lots of water
grape: on steep terraces; sweet or sharp; tight hanging bunches; in October; bread and cheese; stony ground
banana: in the wet tropics; mild and creamy; a bent yellow form; all year; oats and milk; steady heat and rain
peach: in warm valleys; juicy and sweet; velvet skin with a blush; in July; ice cream; a late spring
fig: in dry gardens; sweet like honey; a soft purple bag; in late summer; goat cheese; warm walls
quince: in old cottage gardens; sour until cooked; golden skin with fluff; in November; roast meat; full sun
mango: in South Asia; rich and sweet; smooth green and red skin; in the hot months; rice and lime; a dry spell
""",
    "vegetable": """
carrot: in loose sand; sweet and crunchy; a long orange root; in late summer; peas and butter; deep soft soil
leek: in cool gardens; mild and sweet; a white stem and green top; in winter; potatoes and cream; soil heaped up high
onion: in dry fields; sharp and hot; thin brown skins; in August; nearly any stew; sun and few weeds
cabbage: in heavy clay; plain and a bit sweet; a tight green head; in autumn; apples and pork; plenty of compost
pumpkin: on compost heaps; soft and nutty; thick orange ribs; in October; ginger and cream; space and feed
radish: in small window boxes; hot and fresh; a round pink root; four weeks after sowing; bread and salt; regular water
spinach: in partial shade; mild with some iron; dark tender leaves; in spring; eggs and garlic; cool damp days
tomato: in glass houses; sweet with some acid; smooth shiny red skin; in July; basil and oil; canes and warmth
garlic: in light soil; strong and hot; papery white cloves; in midsummer; lamb and bread; a cold start
turnip: in northern fields; earthy and sharp; a round white root; before the frost; mutton and thyme; simple care
celery: in wet black soil; salty and fresh; pale ribbed sticks; in September; nuts and blue cheese; lots of water
asparagus: in sandy beds; fine with a bitter note; straight green spears; in May; ham and eggs; three years of care
""",
    "flower": """
rose: by garden walls; thorns and folded petals; in June; pruning each spring; its sweet smell; black spot
tulip: in flat Dutch fields; one cup on a straight stem; in April; a cold winter; its bright colours; soggy ground
daisy: on short lawns; white rays and a yellow eye; from March on; a bit of light; its simple charm; a sharp mower
poppy: by wheat fields; thin red petals; in early summer; open soil; its short life; being picked
lily: in deep borders; six curved petals; in July; cool feet and warm heads; its heavy scent; red beetles
crocus: under bare trees; small purple cups; in late winter; a sunny patch; its early start; hungry mice
violet: in shady woods; tiny blue faces; in March; leaf mould; its shy look; hot dry spells
sunflower: on open plains; a huge yellow disc; in August; food and full light; its turn to the sun; strong wind
orchid: on tropical trees; waxy lips and curved roots; in winter indoors; damp air; its rare beauty; too much water
lavender: on dry French hills; grey leaves and blue spikes; in midsummer; lime and heat; its calming oil; wet feet
snowdrop: in old parks; nodding white bells; in January; moist shade; its courage in snow; dry bulbs
thistle: on poor meadows; purple heads and sharp spines; in late summer; poor dry soil; its Scottish fame; a spade
""",
    "drink": """
~tea: from the hills of India; dried leaves; fresh with some bite; in the afternoon; milk and scones; its calm ritual
~coffee: from African highlands; roasted beans; dark and bitter; after breakfast; cake and sugar; its kick
~cocoa: from Central America; ground beans and milk; rich and sweet; on cold nights; whipped cream; its comfort
~cider: from apple country; pressed apples; sharp and fizzy; at harvest; pork and cheese; its rustic roots
~beer: from old monasteries; barley and hops; bitter and malty; after work; salted nuts; its white foam
~wine: from sunny hillsides; pressed grapes; dry or sweet; at dinner; bread and cheese; its many vintages
~lemonade: from hot cities; lemons and sugar; sweet and sour; on summer days; ice and mint; its quick chill
~milk: from dairy farms; water, fat and sugar; mild and smooth; in the morning; oats and biscuits; its calcium
~sake: from Japan; rice and yeast; soft and clean; at festivals; raw fish; its small cups
~rum: from the Caribbean; cane syrup; warm and sweet; late at night; lime and mint; its sailors
~mead: from ancient halls; honey and water; sweet and flowery; at weddings; roast meat; its great age
~punch: from sailing ships; fruit and spice; strong and fruity; at parties; small cakes; its large bowl
""",
    "dish": """
pizza: from Naples; dough and tomatoes; salty and crisp; on Friday nights; a green salad; its stretchy cheese
~paella: from Valencia; rice and seafood; smoky and rich; on Sundays; lemon wedges; its wide pan
~goulash: from Hungary; beef and paprika; warm and spicy; in winter; dark bread; its red sauce
~porridge: from Scotland; oats and salt; plain and soft; at breakfast; honey and berries; its low price
~curry: from India; spices and onions; hot and deep; at supper; rice and yoghurt; its many spices
~sushi: from Japan; rice and raw fish; fresh and clean; at lunch; ginger and tea; its neat shape
~stew: from farm kitchens; meat and roots; thick and hearty; on rainy days; fresh rolls; its long simmer
omelette: from French kitchens; eggs and butter; light and mild; at brunch; herbs and toast; its quick cooking
pancake: from almost everywhere; flour and milk; sweet and fluffy; on Shrove Tuesday; lemon and sugar; its toss
~lasagne: from Bologna; pasta and meat sauce; creamy and filling; at family meals; red wine; its tall layers
~ramen: from Japanese towns; noodles and broth; salty and deep; late at night; a soft egg; its loud slurps
pretzel: from Bavaria; dough and coarse salt; salty and chewy; at beer tents; mustard; its twisted knot
""",
    "instrument": """
violin: in large orchestras; spruce and maple; a singing tone; star players; its high price; fresh strings
flute: in school bands; silver tubes; an airy tone; young players; its light weight; a dry cloth
drum: in parades; wood and skin; a deep boom; rock bands; its loud beat; tight skins
harp: in concert halls; wood and gut; a rippling tone; angels in paintings; its many strings; constant tuning
piano: in music schools; iron and felt; a full warm tone; pupils and stars; its wide range; a tuner twice a year
trumpet: in jazz clubs; polished brass; a bright blast; loud players; its fanfares; valve oil
cello: in string quartets; wood and horse hair; a dark rich voice; seated players; its human voice; rosin
guitar: round camp fires; wood and nylon; a soft strum; singers; its easy chords; a padded case
organ: in cathedrals; pipes and bellows; a mighty roar; church players; its huge pipes; a strong blower
oboe: in the woodwind row; black wood and a reed; a thin sweet tone; patient people; its tuning note; wet reeds
banjo: on southern porches; a ring and a skin; a quick twang; folk bands; its fast picking; finger picks
horn: on the hunt; coiled brass; a round mellow call; brave breathers; its long tube; a steady hand
""",
    "tool": """
hammer: on a hook by the bench; drive nails; steel and ash wood; builders; a heavy head; a loose handle
saw: on the shed wall; cut boards; thin hard steel; joiners; a row of teeth; old nails
spade: in the garden shed; dig beds; forged steel; gardeners; a flat blade; stones
drill: in its plastic case; bore holes; steel and copper wire; fitters; a spinning tip; too much heat
chisel: in a leather roll; carve joints; hard steel; carvers; a straight edge; a clumsy blow
rake: behind the door; gather leaves; wood and wire; park staff; a comb of prongs; thick roots
anvil: in the smithy; shape hot iron; cast steel; smiths; a horn at one end; cold hard blows
plane: on a high shelf; smooth planks; beech and steel; cabinet makers; a slanted blade; hidden knots
ladder: along the garage wall; reach high places; light metal; painters; two rails with rungs; soft ground
needle: in a pin cushion; sew cloth; polished steel; tailors; one tiny eye; rust
pliers: in the tool box; grip wires; steel and rubber; electricians; two strong jaws; dirt in the joint
axe: in the wood shed; split logs; steel and hickory; foresters; a broad wedge; a blunt edge
""",
    "garment": """
scarf: from cold lands; soft wool; keep the neck warm; in winter; fringes at both ends; a gentle wash
kilt: from Scotland; checked wool; show a clan; at weddings; deep pleats; careful ironing
sari: from India; silk or cotton; dress with grace; at festivals; six metres of cloth; skilful folding
kimono: from Japan; printed silk; honour guests; at tea; wide sleeves; tissue paper
poncho: from the Andes; llama wool; stay dry; in the rain; one hole for the head; airing outdoors
beret: from the Basque hills; felted wool; look smart; in autumn; a flat round top; a soft brush
glove: from northern farms; leather or yarn; protect the hands; on frosty days; five fingers; a little grease
apron: from busy kitchens; strong cotton; stay clean; at the stove; a bib and strings; a hot wash
sandal: from ancient Egypt; cork and straps; keep the feet cool; in summer; an open toe; a wipe
jumper: from fishing towns; thick yarn; keep out the wind; at sea; cable stitches; flat drying
waistcoat: from royal courts; tweed or silk; look formal; with a suit; buttons and no sleeves; dry cleaning
sock: from every home; cotton or wool; stop blisters; inside shoes; a turned heel; its lost partner
""",
    "vehicle": """
tram: on city rails; carry crowds; trained staff; current from a wire; a long glass side; its bell
bus: on most streets; bring people to work; shift workers; diesel or a battery; wide folding doors; its delays
truck: on the motorway; haul goods; long distance crews; lots of fuel; a high cab; its great load
tractor: on farms; pull ploughs; farmers; diesel; huge back wheels; its strength
bicycle: on quiet lanes; get fit; people of all ages; strong legs; two thin wheels; its low cost
taxi: near stations; get home late; drivers on licence; a meter; a lit roof sign; its fares
ferry: between islands; cross the water; captains; a safe harbour; ramps at both ends; its car deck
train: across the country; travel far; railway staff; a clear track; many linked cars; its speed
balloon: over green valleys; see the view; licensed pilots; hot air; a bright round dome; its gentle drift
sledge: on snowy slopes; have fun; children; snow; two smooth runners; its wild rides
canoe: on calm rivers; explore creeks; campers; a paddle; a slim pointed shape; its quiet glide
scooter: in crowded towns; dodge jams; commuters; a small motor; a flat foot board; its easy parking
""",
    "game": """
~chess: in parks and clubs; a board and two armies; deep thinkers; on long evenings; its kings and queens; plan ahead
~tennis: on clay or grass; a racket and a net; fit people; in summer; its odd scores; get quick
~football: on green pitches; one ball and two goals; whole villages; at weekends; its loud fans; work as a team
~golf: on rolling lawns; clubs and patience; retired folk; on dry days; its small holes; walk for hours
~poker: round green tables; cards and chips; bold people; after dark; its bluffs; mask a mood
~hockey: on ice; sticks and a puck; tough skaters; in winter; its hard knocks; react fast
~darts: in village pubs; a board and three arrows; regular guests; after work; its bull; aim well
~dominoes: on café tables; flat dotted stones; old friends; in the afternoon; its falling rows; count quickly
~cricket: on English greens; a bat and stumps; men in white; in July; its tea breaks; learn patience
~rugby: on muddy fields; an egg shaped ball; strong runners; in autumn; its scrums; grow brave
~badminton: in sports halls; a net and feathers; families; on rainy days; its light shuttle; train the wrists
~skittles: in long alleys; a ball and nine pins; club members; on party nights; its crash; aim straight
""",
    "building": """
lighthouse: on rocky capes; guide ships; stone and glass; keepers; a striped tower; its beam
castle: on steep hills; guard the land; thick stone; guides; tall towers and a moat; its legends
barn: behind farm houses; store hay; wooden boards; farm hands; a huge door; its swallows
mill: beside streams; grind corn; brick and oak; millers; a turning wheel; its fine flour
library: in town centres; lend books; stone and shelves; helpful clerks; long quiet rows; its silence
theatre: on busy squares; show plays; brick and velvet; actors; a wide stage; its red curtain
bakery: at the street corner; sell bread; tiles and brick; early risers; a warm window; its morning smell
museum: near the old town; keep treasures; marble and glass; curators; bright tall rooms; its paintings
bridge: across the river; cross the water; steel and stone; engineers; wide arches; its view
temple: on holy hills; pray in peace; carved stone; priests; rows of columns; its calm
station: in the middle of town; catch trains; iron and glass; guards; a great clock; its crowds
windmill: on flat land; pump water; timber and canvas; skilled millers; four big sails; its Dutch fame
""",
    "household": """
lamp: beside the bed; read at night; brass and cloth; a round shade; a good bulb; cheap wires
chair: at the table; sit down; bent wood; four legs and a back; tight screws; rocking on two legs
mirror: in the hall; see a face; glass and silver; a gold frame; a soft cloth; a hard knock
kettle: on the stove; boil water; thin steel; a curved spout; vinegar now and then; hard water
clock: above the fire place; keep time; brass wheels; two hands on a dial; winding each week; dust
carpet: on the living room floor; keep feet warm; knotted wool; red patterns; a firm brush; spilled wine
sofa: near the window; rest; foam and cloth; deep cushions; a vacuum; cat claws
candle: on the window sill; set a mood; wax and cotton; a slim white form; a trimmed wick; a draught
broom: behind the kitchen door; sweep floors; straw and wood; a wide brush; hanging up; wet floors
bowl: in the cupboard; serve soup; baked clay; a blue rim; washing by hand; a fall
curtain: at the window; keep out light; heavy linen; long soft folds; a yearly wash; strong sun
pillow: on the bed; sleep well; down and cotton; a plump white form; fresh air; damp
""",
    "mineral": """
~gold: in river sand; a warm yellow shine; make rings; jewellers; its high price; thieves
~silver: in deep veins; a cool white shine; make forks and coins; smiths; its soft gleam; sulphur
~copper: in red rocks; a reddish glow; carry current; plumbers; its green roofs; acid
~iron: in rusty soil; a dull grey tone; make steel; foundry teams; its strength; salt and rain
~coal: in black seams; a dark brittle face; heat homes; miners; its smoke; clean energy
~salt: in dry lakes; small white cubes; season food; cooks; its bite; water
~marble: in Italian hills; pale stone with veins; build statues; sculptors; its cool touch; lemon juice
~slate: on Welsh hills; flat grey sheets; cover roofs; roofers; its thin layers; heavy boots
~amber: on Baltic beaches; honey coloured drops; make beads; carvers; its trapped flies; open flames
~jade: in Chinese rivers; smooth green stone; carve charms; patient artists; its deep green; cheap copies
~clay: along river beds; a sticky brown mass; form pots; potters; its soft feel; sharp frost
~chalk: in white cliffs; a soft white dust; write on boards; teachers; its dust; a wet sponge
""",
}
