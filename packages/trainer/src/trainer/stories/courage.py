"""Plots about trying: a fear, a noise in the night, a skill to learn, a race as good as won."""

from trainer.stories.forms import nouns, plain_words, word

RULES = {
    "fear": """
[But there|There] was one thing that {hero} did not like at all: {fear=fears}.
{fear.scare} {Hero} [hid behind|held on to|ran to|jumped into the arms of] {hero.his}
{parent=parents}.
"I am [so scared|afraid|scared|not brave enough]," {hero.he}
[whispered|said, and shook like a leaf|cried|said in a small voice].

["Everyone is afraid of something,"|"You do not have to be ashamed,"|"Come here, my dear,"]
said {hero.his} {parent}.
"When I was [little|your age|small|at school], I was afraid of {silly=harmless}."
"But {silly} are not [scary|dangerous|bad]!" [laughed {hero}|said {hero}, and had to laugh].
["No,"|"Just so,"|"And yet I hid from them,"|"That is true,"]
said {hero.his} {parent}, "and {fear.truth}."
{Hero} [took a deep breath|counted to {number=counts}|stood up very straight|made two fists].
{Hero.he}
[opened one eye, and then the other|took one step, and then another|looked, and looked again].
Nothing bad happened.

["I was afraid, and I did it anyway," said {hero}.
|"I am still a little afraid," said {hero}, "but now I am brave, too."
|"Hello, world," said {hero}, "here I am."
|"Is that all?" asked {hero}.]
[Being brave does not mean that you are never afraid. It means that you try.
|From then on, {hero} was a little braver every day.
|Since that day, {hero} laughs whenever {hero.he} sees {silly}.
|And that night, {hero} told {hero.his} teddy bear that {fear.truth}.
|<close>]
""",
    "noise": """
One night, {hero} [woke up|could not sleep|lay awake].
There was a [strange|funny|loud|terrible] noise in {room=rooms}. "{Noise=noises}!" it went.
"It is [a monster|a ghost|a dragon]," thought {hero}, and
[pulled the blanket up to {hero.his} nose|hid under the pillow|did not dare to breathe].
"{Noise}!" it went, [louder than before|a little louder|and then it was quiet|again and again].

At last, {hero} [had to know|could not stand it any longer|had an idea].
{Hero.he} put {helmet.a=helmets} on {hero.his} head, took {sword.a=swords}, and
[tiptoed|crept|marched|went] to {room}.
{Hero.he} [counted to {number=counts}|held {hero.his} breath|shouted "Hands up!"]
and pushed the door open.
[Inside there was only|But there was only|"Oh!" said {hero}, for there was only]
{guest.a=*noise.guests} {guest.doing}! "{Noise}?"
it said, and looked at the {helmet} on {hero.his} head.

[Then {hero} laughed until the {helmet} fell down.
|"Good evening," said {hero} politely.
|"So it was you," said {hero}.
|"You are not a monster," said {hero}, "you are hungry."]
Then they sat down in {room} and shared {treat.a=treats} and a cup of {drink=drinks}.
In the morning, {hero.his} {parent=parents} asked, "Who ate the last {treat.one}?"
["A monster," said {hero}, and smiled.
|"A very small monster," said {hero}, "with a very big tummy."
|{Hero} only smiled, for things are less scary when you turn on the light.
|"Maybe it was {guest.a}," said {hero}, but nobody believed {hero.him}.
|"I can't tell you," said {hero}, "but it said thank you."]
""",
    "skill": """
[More than anything else, {hero} wanted to learn to {skill=skills}.
|But there was one thing {hero} could not do: {skill=skills}.
|"I want to learn to {skill=skills}," said {hero} one day.]
[{Hero.his} {parent=parents} showed {hero.him} how.
|{Hero.his} {parent=parents} could do it very well.
|So {hero.he} asked {hero.his} {parent=parents} for help.
|"Easy!" said {hero.his} {parent=parents}.]
The first time, {hero} {fail=*skill.fails}. The second time, {hero.he} {again=*skill.fails-fail}.

"I can't {skill}!"
[cried {hero}|{hero} shouted|said {hero}, close to tears|said {hero}, and sat down].
"You can't {skill} yet," said {hero.his} {parent}.
["I had to try a hundred times."
|"Nobody can at first."
|"But you are getting better."
|"Have a cookie."]
So {hero} tried again the next day, and the day after that.
On the {nth=nths} day, [something wonderful happened|it worked|{hero.he} did it]: {hero}
{skill.win}! ["Look at me!"|"I can do it!"|"Did you see that?"|"Hooray!"]
{hero.he} [called|shouted|cried], and {hero.his} {parent}
[clapped|cheered|danced with joy|threw {parent.his} hat in the air].

The next {day=dayparts}, {hero.his} friend {friend=*hero.friends-hero}
[came by|was sad|watched {hero.him}]. "I can't {skill}," {friend.he} said.
[{Hero} smiled.|{Hero} took {friend.him} by the hand.|{Hero} knew just what to say.]
"You can't {skill} yet," {hero.he} said.
""",
    "race": """
{Hero} could run [very fast|faster than the wind|like a horse|as fast as a train], and told
everybody about it.
["Nobody can beat me!"|"I am the fastest of all!"|"I never lose!"|"I can beat the wind!"]
{hero.he} [said every day|said again and again|told the cows].
["Let us race|"I will race you|"Run with me] to {goal=goals}," said {friend=*hero.friends-hero}
[quietly|one day|and smiled].
Everybody [laughed|was surprised|giggled], because {friend} was as slow as {slow.a=slow}.

So {hero} [ran off|flew off|jumped up|shot off] and was soon far ahead.
"I have so much time," {hero.he} thought, "that I can {pause=pauses}."
[And that is what {hero.he} did.|And {hero.he} did, twice.|So {hero.he} did.]
{Friend} did not stop.
{Friend.he} just went on,
[step by step by step|one foot after the other|quiet and steady|humming a song].
When {hero} looked up, {friend} was almost at {goal}!
{Hero} ran as fast as {hero.he} could, but {friend} won by {margin=margins}.

["How did you do that?" asked {hero}.
|"But you are so slow!" said {hero}.
|{Hero} could not believe it.
|{Hero} was out of breath.]
"You were faster," said {friend}, "but I did not {pause}."
[{Hero} laughed and shook {friend.his} hand.
|The next time they ran hand in hand, and both of them won.
|It does not help to be fast if you forget to go on.
|"You are right," said {hero}, "and next time we can {pause} together."
|<close>]
""",
}

LEXICONS = {
    "fears": tuple(
        word(fear, scare=scare, truth=truth)
        for fear, scare, truth in (
            (
                "the dark",
                "One night the lamp went out, and everything was black.",
                "the dark is only the day with its eyes closed",
            ),
            (
                "thunder",
                "One evening the sky went boom, and all the windows shook.",
                "thunder is only the clouds playing the drums",
            ),
            (
                "the wind",
                "One evening the wind howled around the house like a wolf.",
                "the wind is only the air going out to play",
            ),
            (
                "spiders",
                "One morning a spider with long legs sat right above the door.",
                "a spider is only a tiny neighbor who likes to knit",
            ),
            (
                "big dogs",
                "One morning a dog as big as a pony came around the corner.",
                "a big dog is only a small dog with more to hug",
            ),
            (
                "deep water",
                "One day there was a lake, so deep that nobody could see the bottom.",
                "a lake is only a puddle that has grown up",
            ),
            (
                "high bridges",
                "One day the path led over a bridge, with a river far below.",
                "a high bridge is only a path with a better view",
            ),
            (
                "loud owls",
                "One night an owl sat on the roof and hooted like a train.",
                "an owl is only asking who you are",
            ),
        )
    ),
    "harmless": plain_words(
        "socks", "butterflies", "spoons", "potatoes", "hats", "pillows", "buttons", "carrots"
    ),
    "noises": tuple(
        word(f"{sound}, {sound}", guests=f"{sound} guests")
        for sound in ("crunch", "scratch", "bump", "squeak", "tap", "splash")
    ),
    **{
        f"{sound} guests": tuple(
            word(name, a=f"{article} {name}", doing=doing) for article, name, doing in guests
        )
        for sound, guests in {
            "crunch": (
                ("a", "raccoon", "with a paw in the cookie jar"),
                ("a", "goat", "eating a broom"),
                ("a", "beaver", "with a very large carrot"),
            ),
            "scratch": (
                ("a", "hen", "looking for crumbs"),
                ("a", "puppy", "scratching its ear"),
                ("a", "mole", "who had dug the wrong way"),
            ),
            "bump": (
                ("a", "bear cub", "with its head in the honey pot"),
                ("a", "turtle", "walking into the wall"),
                ("a", "lamb", "learning to dance"),
            ),
            "squeak": (
                ("a", "hamster", "in a pair of new shoes"),
                ("a", "piglet", "hugging a rubber duck"),
                ("a", "bat", "practicing a song"),
            ),
            "tap": (
                ("a", "crab", "dancing on a plate"),
                ("a", "woodpecker", "mending the clock"),
                ("a", "porcupine", "with a cup on its nose"),
            ),
            "splash": (
                ("a", "duck", "taking a bath"),
                ("a", "seal", "doing the dishes"),
                ("a", "frog", "swimming in the soup"),
            ),
        }.items()
    },
    "rooms": plain_words("the kitchen", "the attic", "the cellar", "the hall"),
    "helmets": nouns("pot", "bucket", "bowl", "basket", "flower pot"),
    "swords": nouns("wooden spoon", "broom", "rolling pin", "feather duster", "umbrella"),
    "skills": tuple(
        word(skill, win=win, fails=f"{skill} fails")
        for skill, win in (
            ("ride a bike", "rode all the way down the lane"),
            ("swim", "swam across the whole pond"),
            ("whistle", "whistled a whole song"),
            ("fly a kite", "made the kite dance above the trees"),
            ("skate", "skated in a big, smooth circle"),
            ("juggle", "kept four balls in the air"),
            ("play the flute", "played a whole song without one wrong note"),
            ("row a boat", "rowed straight to the other side"),
            ("stand on one hand", "stood on one hand and waved with the other"),
        )
    ),
    "ride a bike fails": plain_words("rode into a bush", "fell off", "forgot how to stop"),
    "swim fails": plain_words("sank like a stone", "splashed a duck", "swallowed half of the pond"),
    "whistle fails": plain_words(
        "sounded like a sleepy snake", "only blew warm air", "spat on the cat"
    ),
    "fly a kite fails": plain_words(
        "let go of the string", "caught the kite in a tree", "ran into a fence"
    ),
    "skate fails": plain_words("sat down with a bump", "slid into a snowman", "only went backward"),
    "juggle fails": plain_words("dropped every ball", "broke a lamp", "caught a ball with one ear"),
    "play the flute fails": plain_words(
        "made the dog howl", "sounded like a goose with a cold", "scared all the birds away"
    ),
    "row a boat fails": plain_words(
        "went around in circles", "lost both oars", "rowed the boat into the reeds"
    ),
    "stand on one hand fails": plain_words(
        "fell over like a tree", "knocked over a chair", "landed in the laundry"
    ),
    "nths": plain_words("third", "fifth", "seventh", "tenth", "twentieth"),
    "goals": plain_words("the old mill", "the river", "the red barn", "the bridge", "the big oak"),
    "slow": nouns("snail", "turtle", "cloud", "cow after lunch", "sleepy snake"),
    "pauses": plain_words(
        "take a nap",
        "eat berries",
        "chase a butterfly",
        "wave at the cows",
        "pick flowers",
        "count the clouds",
    ),
    "margins": plain_words("a nose", "one step", "the length of a carrot", "a whisker"),
}
