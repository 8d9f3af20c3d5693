"""Plots about being good to one another: sharing, helping, a broken promise, a present, a new
friend, and somebody who is grumpy for a reason."""

from trainer.stories.forms import female, male, nouns, plain_words, word

RULES = {
    "sharing": """
One <time>,
[{hero.his} {parent=parents} gave {hero} <basket>.
|{hero} got <basket> from {hero.his} {parent=parents}.
|{hero} bought <basket> at the market.]
They [smelled wonderful|were as sweet as honey|looked like little suns|looked delicious].
"All for me!"
[said|sang|cried|laughed] {hero}, and [sat down|lay down]
[under a tree|on a stone|beside the road|in the grass|in the shade].

[Then|Just then|A moment later,|Soon] {friend=*hero.friends-hero} came by.
[{Friend.he} had dropped {friend.his} lunch in the [mud|pond|sand].
|{Friend.his} tummy growled like a [small bear|big dog|bad storm].
|[A goose|A goat|The wind|A crow] had taken {friend.his} lunch.]
"May I have one?" {friend.he} asked [softly|politely|in a small voice|with big eyes].
["No," said {hero}, "they are mine."
|"No!" said {hero}. "They are mine."
|"I am sorry, no," said {hero}.]
{Friend}
[looked at {friend.his} feet|turned to go|wiped away a tear|said nothing],
and suddenly {hero}
[was not hungry anymore|felt very much alone|had a lump in {hero.his} throat|felt cold].

["Wait!" {hero.he} [called|shouted|said]. "I|"Come back!" {hero.he} [called|shouted|said]. "I
|"You know," {hero.he} said, "I]
have {amount} {treat} and you have none. If I give you {amount.half}, we both have {amount.half}."
They ate [together|side by side|slowly|and told jokes] until only crumbs were left, and the crumbs
were for the {eaters=eaters}.
[{Treat} taste best when you share them.
|The next day, {friend} brought {fruit=fruits}, and {hero} got the bigger half.
|"{Amount.half} {treat} with a friend are better than {amount} alone," said {hero}.
|"Tomorrow I will bring {fruit=fruits}," said {friend}, "and half of it is yours."
|<close>]
""",
    "rescue": """
One <time>, {hero} was on the way to {party=parties}.
[{Hero.he} was late and ran as fast as {hero.he} could.
|{Hero.he} did not want to miss the [cake|music|games|clowns].
|{Hero.he} wore {hero.his} best [shoes|clothes|hat].]
[Then {hero.he} heard a tiny voice.
|Then something made {hero.him} stop.
|What was that noise?
|But {hero.he} did not get far.]
{Where=roadsides} there was {animal.a=rescued}. It {animal.trouble}.

["If I stop now, I will be late,"|"I have no time,"|"Maybe somebody else will help,"]
[thought {hero}|{hero} said to {hero.himself}].
But {hero.he} looked at the [poor|sad|tiny|frightened] {animal} and
[stopped anyway|could not leave it there|knelt down|changed {hero.his} mind].
["Do not be afraid,"|"I will help you,"|"You poor thing,"|"There, there,"] {hero.he} said.
[Very gently|With great care|As softly as {hero.he} could|Little by little],
{hero.he} {animal.help}. The {animal} {animal.thanks}.

When {hero} came to {party},
[the games were over|the music had stopped|everybody was going home|the lights were out].
But {hero.his} friend {friend=*hero.friends-hero} had saved {hero.him}
[a big piece of cake|{number=counts} {treat=treats}|a glass of {drink=drinks}].
["Why are you so late?"|"Where have you been?"|"What happened to you?"]
asked {friend}, and {hero} told {friend.him} about the {animal}.
["Then you came just in time," said {friend}.
|"You are late," said {friend}, "but your heart is on time."
|The next day, the {animal} came to visit them both.
|There is always time to be kind.
|<close>]
""",
    "promise": """
["Please do not play ball in the house," said {hero.his} {parent=parents}. "I promise," said
{hero}.
|{Hero} had promised {hero.his} {parent=parents} not to play ball in the house.
|"No balls in the house," said {hero.his} {parent=parents}, and {hero} promised.]
But it was [raining|cold|windy|getting dark] outside, and the {color=colors} ball was so
[round|bouncy|beautiful|light].
["Just one little kick," thought {hero}.
|"One small throw can't hurt," thought {hero}.
|So {hero} threw it, just once.
|It almost jumped by itself.]
[Crash!|Bang!|Oh no!|Clink!] {Thing.a=fragile} fell down and broke into {number=counts} pieces.

[Quickly, {hero}|Without a word, {hero}|Before anyone saw it, {hero}] hid the pieces
{cover=hiding}. ["What was that noise?"|"What happened?"|"Is everything all right?"]
asked {hero.his} {parent}.
["That was|"I think it was|"Maybe it was|"It must have been] {beast.a=beasts}," said {hero}.
{Hero.his} {parent} looked [around|out of the window|under the table|behind the door], but there
was no {beast}.
{Hero} felt
[as if {hero.he} had eaten a stone|hot and cold at once|smaller and smaller|worse and worse].

"There was no {beast}," {hero.he} [said|whispered|sobbed] at last.
"I broke the {thing}, and I broke my promise. I am sorry."
["I am glad that you told me," said {hero.his} {parent}, and gave {hero.him} a long hug.
|{Hero.his} {parent} was quiet, and then {parent.he} smiled.
|"I thought so," said {hero.his} {parent}, "but I am glad that you told me."]
Together they glued the {number} pieces.
[Now the {thing} had a crack that looked like a [smile|star|fish|bird].
|A {thing} can be mended with glue, and a promise can be mended with the truth.
|After that, {hero} played ball in the garden, and the {beast} never came back.
|"But it was a very small {beast}," said {hero}, and they both laughed.
|<close>]
""",
    "gift": """
[It was the birthday of {hero.his} {elder=elders}
|Tomorrow was the birthday of {hero.his} {elder=elders}
|The birthday of {hero.his} {elder=elders} had come],
but {hero} had only {number=counts} [coins|buttons|beans].
["Then I will make something myself,"|"I will make something with my own hands,"
|"The best presents are not bought,"]
said {hero}. {Hero.he} decided to make {gift.a=gifts}.
{Hero.he}
[worked all morning|worked until lunch|sang while {hero.he} worked|did {hero.his} very best],
but {gift.flaw}.

Poor {hero} [wanted to cry|wanted to hide|sat down and sighed|turned red].
"It is the [worst|ugliest|silliest|strangest] {gift} in the world," {hero.he} said.
But it was too late, for {hero.his} {elder} was already
[at the door|coming up the path|in the room|looking].
{Elder.he} looked at the {gift} for a long time.
Then {elder.he} began to [smile|laugh|dance|clap].
"Did you make this [all by yourself|for me|just for me]?" {elder.he} asked, and {hero} nodded.

And {hero.his} {elder} {gift.joy}.
["I got many presents," {elder.he} said, "but only one was made with love."
|"I would not trade this {gift} for a hundred others," {elder.he} said.
|"Next year," {elder.he} said, "I want another {gift}, just like this one."
|A present does not have to be perfect when it comes from the heart.
|<close>]
""",
    "stranger": """
One <time>, {hero} saw somebody new {place.at=places}.
It was {friend=*hero.friends-hero}, who sat all alone {spot=*place.spots}.
[Nobody knew {friend.him}, and nobody talked to {friend.him}.
|{Friend.he} looked very lonely.
|{Friend.he} was humming a sad little song.
|{Friend.he} was talking to {friend.his} shoes.]
{Hero} wanted to say hello, but {hero.he} [was shy|was a little shy|did not dare].

[At last,|In the end,|Then] {hero}
[took a deep breath|counted to {number=counts}|closed {hero.his} eyes] and walked over.
["Hello!|"I am {hero}.|"Excuse me!|"Hi!] Do you want to play {game=games}?"
{Friend} [shook {friend.his} head|only looked at the ground|turned red|was surprised].
"I can't play {game}," {friend.he} said.
{Hero} [thought about it for a while|thought for a moment|sat down beside {friend.him}].
"What can you play?"
["I can play {other=games-game},"|"I am good at {other=games-game},"
|"At home we play {other=games-game},"]
said {friend}, and
[for the first time {friend.he} smiled
|{friend.his} eyes began to shine
|{friend.he} stood up
|{friend.his} voice was very small].

So {friend} showed {hero} how to play {other}, and [then|after that] {hero} showed {friend} how to
play {game}.
They [laughed|shouted|ran around|giggled] so much that the {eaters=eaters} came to look.
["Will you come back tomorrow?"|"Can we do this again?"|"Are we friends now?"]
asked {friend} [in the evening|when the sun went down|at last].
["I will be waiting {spot}," said {hero}.
|"Of course," said {hero}, "and the day after that."
|"Yes," said {hero}, "and next time we play {last=games-game-other}."
|A stranger is a friend whom you have not met yet.
|<close>]
""",
    "grumpy": """
[Not far away|At the end of the road|Next door|Behind the hill] there lived a {grump=grumps} who
was always grumpy.
{Grump.he}
[shouted at the birds|scared the mailman|threw potatoes at the moon|growled at the flowers].
["Stay away from {grump.him},"|"Never go near {grump.him},"] everybody said.
But {hero} [wanted to know why|was too curious|felt sorry for {grump.him}|was not afraid].

One <time>, {hero} took {number=counts} {treat=treats} and knocked on the door.
["Go away!"|"What do you want?"|"Who is there?"] shouted the {grump}. "It is me, {hero}.
Why are you so grumpy?" asked {hero}.
The {grump} [was quiet for a while|opened the door|scratched {grump.his} head|sat down].
"Nobody has ever asked me that," {grump.he} said. "{Trouble=troubles}."
["I can help with that!"|"Is that all?"|"Oh dear!"|"Let us see,"]
[said|cried] {hero}, and {trouble.fix}.

The {grump} [blinked|sniffed|coughed|looked at {hero}].
Then, [slowly|very slowly|little by little], {grump.he} began to smile.
{Grump.he} had not smiled for {years=years}, and it tickled.
They shared the {treat} and talked [until it was dark|about everything|like old friends].
[After that, the {grump} [waved at everybody|said good morning to the birds|was only grumpy on
Mondays].
|Before you are afraid of a grumpy face, ask what makes it grumpy.
|"Come again tomorrow," said the {grump}, "and there will be {more=treats-treat}."
|<close>]
""",
}

LEXICONS = {
    "eaters": plain_words("ants", "sparrows", "ducks", "chickens", "squirrels", "pigeons"),
    "fruits": plain_words("a melon", "an apple", "a pineapple", "a coconut", "a pie"),
    "parties": plain_words("the party", "the circus", "the fair", "the wedding", "the dance"),
    "roadsides": plain_words(
        "by the side of the road", "under a bush", "beside the path", "next to a big stone"
    ),
    "rescued": tuple(
        word(name, a=f"a little {name}", trouble=trouble, help=help_, thanks=thanks)
        for name, trouble, help_, thanks in (
            ("turtle", "was lying on its back", "turned it over", "made a slow, deep bow"),
            ("bird", "had fallen from its nest", "put it back", "sang its very best song"),
            ("bee", "was sitting in a puddle", "lifted it out with a leaf", "danced in the air"),
            ("kitten", "had a can on its head", "pulled off the can", "purred like a machine"),
            ("duckling", "had lost its mother", "led it to the pond", "quacked all about it"),
            ("snail", "was stuck in the mud", "pulled it out", "waved with both of its horns"),
            ("puppy", "had a thorn in its paw", "took out the thorn", "licked all it could reach"),
            ("lamb", "was caught in a fence", "set it free", "jumped so high that its ears flew"),
            ("moth", "was caught in a web", "opened the web", "flew away like a tiny flag"),
            ("frog", "was sitting in a bucket", "tipped over the bucket", "croaked for joy"),
        )
    ),
    "beasts": nouns("elephant", "dragon", "tiger", "ghost", "camel", "goose", "giant", "unicorn"),
    "fragile": nouns("vase", "teapot", "mirror", "flower pot", "clock", "glass bowl"),
    "hiding": plain_words(
        "under the rug", "behind the curtain", "in a boot", "in the laundry basket", "in the piano"
    ),
    "gifts": tuple(
        word(name, a=f"a {name}", flaw=flaw, joy=joy)
        for name, flaw, joy in (
            ("cake", "there was salt in it instead of sugar", "ate two big slices of it"),
            ("scarf", "it was as long as the whole street", "wore it at once, nine times around"),
            ("picture", "the horse in it looked like a potato", "hung it up above the bed"),
            ("birdhouse", "the door of it was upside down", "put it in the best tree of all"),
            ("hat", "it was big enough for a horse", "wore it all day, even in the bath"),
            ("poem", "nothing in it rhymed with anything", "learned it by heart"),
            ("kite", "it would only fly backward", "flew it until the sun went down"),
            ("card", "every letter on it was backward", "read it in front of the mirror, twice"),
            ("necklace", "it was made of noodles", "wore it to the dance"),
            ("teapot", "it had two spouts and no handle", "poured two cups of tea at once"),
        )
    ),
    "grumps": female("witch", "queen") + male("troll", "giant", "wizard", "king"),
    "troubles": tuple(
        word(trouble, fix=fix)
        for trouble, fix in (
            ("my shoes are too small", "cut a hole for each big toe"),
            ("there is a stone in my boot", "shook out the stone"),
            ("nobody ever wants to dance with me", "danced three dances at once"),
            ("my bed is too hard", "filled it with soft hay"),
            ("the owls keep me awake", "made ear plugs out of wool"),
            ("I have lost my glasses", "found them in the butter"),
            ("I never get any letters", "wrote a very long one"),
            ("my soup tastes of nothing", "put some salt in it"),
            ("I have a splinter in my thumb", "pulled it out"),
        )
    ),
    "years": plain_words("a hundred years", "seven years", "a long time", "a thousand days"),
}
