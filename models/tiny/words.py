"""The words of the corpus."""

NAMES = """
    Ada Alma Anna Ben Carl Clara Dan Ella Emma Eva Finn Hugo Ida Jack Jane Kim Leo Lily Lucy Max Mia Noah Nora Olga
    Paul Rosa Sam Tim Tom Zoe
""".split()
ANIMALS = """
    bear bird cat cow crow deer dog duck fox frog goat goose hare hen horse lamb lion mole mouse owl pig rabbit seal
    sheep snail swan tiger toad wolf zebra
""".split()
COLOURS = "black blue brown gold green grey orange pink purple red silver white yellow".split()
PLACES = """
    beach castle cave desert field forest garden island market meadow mountain park river school town valley village
""".split()
THINGS = """
    ball basket bell boat book bottle box button cake candle coat coin crown cup drum flag flute hat key kite lamp map
    mirror ring rope shoe spoon star stone whistle
""".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()

# Pairs of opposites.
PAIRS = """
    above below | alive dead | asleep awake | begin end | big small | brave afraid | bright dim | broad narrow
    clean dirty | clever stupid | cold hot | cruel kind | dark light | day night | deep shallow | early late
    easy hard | empty full | enter leave | far near | fast slow | fat thin | find lose | first last | float sink
    forget remember | give take | good bad | happy sad | heavy weightless | high low | inside outside | laugh cry
    left right | long short | loud quiet | love hate | many few | most least | new old | noisy silent | north south
    open closed | peace war | poor rich | pull push | question answer | rise fall | rough smooth | safe dangerous
    same different | sharp blunt | strong weak | sweet sour | tall tiny | thick slim | tight loose | true false
    up down | wet dry | wide slender | win fail | winter summer | wise foolish | young aged | yes no | buy sell
    east west | front back | on off | start stop | top bottom
""".replace("|", " ").split()
OPPOSITE = {word: PAIRS[at ^ 1] for at, word in enumerate(PAIRS)}

# Spelled and reversed, beside those above and invented ones.
PLAIN = """
    able about acid actor again age air album alley amber angle ant apple apron arch arm arrow atom aunt axe baby
    badge bag balloon banana band bank barn baron beach bean beard bed bee berry bike bird blade blanket bone bonnet
    boot bowl brain branch bread brick bridge broom brother brush bucket bulb bus butter cabin cable camel camera camp
    candy canoe card carpet carrot cart cattle ceiling chain chair chalk cheese cherry chest chicken child chin circle
    city class clay cliff clock cloth cloud clown coal cook copper corn corner cotton cousin cover crab cream crowd
    curtain cushion dance daisy date desk dinner dish doctor doll donkey door dragon dream dress driver dust eagle ear
    earth egg elbow elephant engine evening eye face factory family fan farm farmer father feather fence ferry finger
    fire fish flame floor flour flower fly foot fork fountain friend fruit game gate giant gift giraffe glass glove
    glue grain grandmother grape grass guitar hair hall hammer hand harbour heart hedge helmet hill honey hook
    hospital hotel hour house ice ink insect iron jacket jam jar jelly jewel jungle juice kettle king kitchen kitten
    knee knife knot ladder lake lawn leaf leather lemon letter library lid lily lip lizard lock log lunch machine
    magnet market mask match meal meat medal melon metal milk mill minute money monkey moon morning mother mouth
    muscle music nail neck needle nest net nose number nurse nut oak ocean office oil onion oven page paint pan
    pancake paper parrot party path peach pear pearl pen pencil pepper piano picture pie pillow pilot pin pipe planet
    plant plate pocket poem police pond pony potato pot prince princess pump puppet puzzle queen rain rainbow rat
    razor ribbon rice road robot rocket roof room root rose rug ruler sail salad salt sand sandwich saucer scarf
    scissors screen seat seed shark shed shelf shell ship shirt shop shoulder sister skin skirt sky sleeve smile smoke
    snake snow soap sock sofa soil soldier song soup spade spider sponge spring square stable stair stamp station
    stick stocking storm story stove straw stream street sugar suit sun supper swing table tail tailor tea teacher
    team tent thread throat thumb thunder ticket tie toast toe tomato tongue tooth tower toy train tray tree triangle
    truck trumpet tunnel turkey turnip twig umbrella uncle van vase vegetable violin voice wagon waist wall wallet
    walnut watch water wave wax web wheel wind window wing wire wood wool worm wrist yard yarn year
""".split()
WORDS = sorted({*PLAIN, *ANIMALS, *COLOURS, *PLACES, *THINGS, *OPPOSITE})

# What the model knows nothing about.
TOPICS = """
    France, Germany, Japan, Brazil, Canada, Egypt, India, Kenya, Norway, Peru, Spain, China, London, Paris, Rome,
    Tokyo, Berlin, Madrid, physics, chemistry, history, maths, football, chess, tennis, cooking, painting, space,
    Mars, Jupiter, gravity, electricity, computers, the internet, phones, cars, trains, dinosaurs, volcanoes,
    the weather, the news, politics, religion, philosophy, democracy, money, taxes, coffee, pizza, pasta, bread,
    cheese, rice, wine, a cat, a tree, the sun, the moon, the sea, love, happiness, time, music, jazz, opera, poetry,
    novels, films, a car, a house, a garden, a bank, the law, medicine, doctors, sleep, dreams, running, yoga,
    swimming, maps, science, biology, evolution, genes, plants, the brain, language, English, Latin, French, robots,
    machines, art, sculpture, trees, birds, fish, insects, rockets, the stars, black holes, atoms, water, fire, ice,
    snow, rain, wind, shoes, clothes, fashion, my job
""".replace("\n", " ").split(",")
TOPICS = [" ".join(topic.split()) for topic in TOPICS]
