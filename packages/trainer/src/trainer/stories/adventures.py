"""Plots about the world outside: a picnic in the rain, a hat in the wind, a slow seed, a wish that
comes true, a castle that does not last."""

from trainer.stories.forms import nouns, plain_words, word

RULES = {
    "picnic": """
One {part=dayparts}, {hero} and {hero.his} friend {friend=*hero.friends-hero}
[went|walked|ran|hopped] {place.to=places} to have a picnic.
They had {treat=treats}, {drink=drinks} and {color.a=colors} blanket.
The [sky was blue|sun was shining|birds were singing].
Then a drop fell right on {hero}'s [nose|head|left ear|toe].
[Plip, plop, it began to rain!
|A moment later, it rained cats and dogs.
|Soon it rained as if somebody had tipped over the sea.]

["Our picnic is ruined!"|"There goes our picnic!"|"This is the end!"] cried {friend}.
{Friend.he} was
[so sad that {friend.he} almost cried|as wet as a fish|cold and wet|very angry at the clouds].
But {hero} pointed to {shelter.a=shelters}. "Quick, take the {treat}!"
{hero.he} [said|called|shouted].
They sat under the {shelter} with the {color} blanket around them, and it was as cozy as
[a nest|a bed|an oven|a pocket].
They ate {treat}, drank {drink} and
[told each other jokes|sang as loudly as they could|counted the drops|talked about elephants].

When the last {treat.one} was gone, [the rain stopped|the sun came out], and a rainbow stood over
{place}.
["Look!" said {friend}. "Without the rain, we would not have seen it."
|"That was the best picnic ever," said {friend}, "because of the rain."
|"I wish it would rain every day," said {friend}.
|There is no bad weather when you have a good friend.
|<close>]
""",
    "hat": """
{Hero} had {color.a=colors} hat that {hero.his} {elder=elders} had [made|knitted|sewn] for
{hero.him}.
One windy {part=dayparts},
[the wind picked up the hat|a gust of wind took the hat|whoosh, the wind took it]
and carried it away.
It flew over {first=landmarks}, over {second=landmarks-first}, and [into the top of|right into]
{tree=trees}. ["Come back, hat!"|"Wait for me!"|"Stop that hat!"|"Give it back!"]
called {hero}, and [ran after it|climbed up after it|followed it].

But a little {bird=birds} was already sitting in the hat, and under the {bird} [there were|lay]
{number=counts} tiny eggs.
[{Hero} thought for a while.
|{Hero} looked at the hat, and {hero} looked at the eggs.
|"Oh!" said {hero}.
|The {bird} looked at {hero} with round black eyes.]
["I need my hat|"I love my hat|"My head is cold|"It is a good hat], but you need it more,"
{hero.he} said, and went home with [cold ears|no hat|wild hair|a smile].
{Hero.his} {elder} [smiled|laughed|nodded|was proud] when {elder.he} heard about it, and made
{hero} a new {color} hat.

[A few weeks later|When it was summer|One morning in May], {number} young {bird.many} flew
[around the house|past the window|over the roof] and sang.
["You are welcome," said {hero}, and waved {hero.his} new hat.
|Nobody ever had such a big thank you for such a small hat.
|What you give away may come back to you with wings.
|One of them sat down on the new hat, and stayed there until supper.
|<close>]
""",
    "seed": """
One day, {hero} got a tiny seed from {hero.his} {elder=elders}.
["What will it be?"|"What is in it?"|"Is it magic?"] asked {hero}.
["Wait and see,"|"I have no idea,"|"That is a secret,"]
said {hero.his} {elder} [and winked|with a smile].
{Hero} planted the seed [behind the house|in the garden|beside the gate|under the window] and gave
it water. The next day, there was nothing. After {wait=waits}, there was still nothing.

"Maybe it is [bored|lonely|shy|sad]," thought {hero}, and
[read it a story|told it a joke|sang it a song|wished it good night] every evening.
["Seeds have no ears!"|"You are talking to dirt!"|"It can't hear you!"]
[laughed|said|giggled] {hero.his} friend {friend=*hero.friends-hero}.
But {hero} did not [give up|care|stop|listen].
Then one <time>,
[a small green leaf came out of the ground
|something green was there
|a green tip looked out of the earth].
It grew and grew and became {plant.a=plants}, {plant.size}!

Now {hero.his} {elder} helped {hero.him}, and together they {plant.use}.
["How did you do it?" asked {friend}. "I waited," said {hero}, "and then I waited some more."
|And who was in the garden the next evening, telling stories to a seed? It was {friend}!
|Good things need time, and now and then a good story.
|"Seeds do have ears," said {friend}.
|<close>]
""",
    "wish": """
One night, {hero} saw a falling star.
["I wish for {wish=wishes}," {hero.he} whispered.
|{Hero.he} closed {hero.his} eyes and wished for {wish=wishes}.
|"Dear star, please bring me {wish=wishes}," {hero.he} said.]
[{Hero.he} did not tell anyone but {hero.his} {parent=parents}.
|Only {hero.his} {parent=parents} heard it.
|{Hero.his} {parent=parents} was standing right behind {hero.him}.]
The next morning, [nothing had happened|everything was as before|nothing was new].
{Hero} waited for {wait=waits}.
"Maybe
[stars can't hear|the star forgot me|it was too far away|I was too quiet],"
{hero.he} thought.

Then, one <time>, {hero} opened the door and
[could not believe {hero.his} eyes|gave a shout of joy|stood very still|rubbed {hero.his} eyes].
{wish.came}! ["Did you do this?"|"Was it you?"|"How can this be?"] asked {hero}.
{Hero.his} {parent} only [smiled|winked|looked up at the sky|sipped {parent.his} tea] and hummed a
little song.

Now {hero} was [as happy as could be|happier than ever], but something was missing.
So {hero.he} ran to {hero.his} friend {friend=*hero.friends-hero}.
["Come quickly!"|"Come and see!"|"Guess what!"] {hero.he} called.
That day, the two of them {wish.fun}.
[A wish is twice as good when it comes true for two.
|That evening, {hero} looked up and said, "Thank you, star."
|"And what is your wish?" asked {hero}. "I already have a friend like you," said {friend}.
|"Next time," said {friend}, "wish for {dream=wishes-wish}."
|<close>]
""",
    "castle": """
One <time>, {hero} [sat on the beach and built|went to the beach and built] a castle out of sand.
It had {number=counts} towers and {deco.a=decorations} above the gate.
[It took {hero.him} hours and hours.
|It was the finest castle on the whole beach.
|It was almost as tall as {hero.he} was.
|Even the seagulls stopped to look at it.]
Then {friend=*hero.friends-hero} came running after {color.a=colors} ball and did not look where
{friend.he} was going. [Crash!|Splat!|Oh no!] The castle was flat.

["You ruined it!"|"Look what you did!"|"My castle!"]
shouted {hero}, and
[turned away|stamped {hero.his} foot|threw down {hero.his} bucket|sat on the ball].
"I am sorry," said {friend}, but {hero} did not [answer|say a word|listen|look at {friend.him}].
So {friend} [sat|knelt] down and began to build a new castle, all by {friend.himself}.
It looked like {crooked.a=crooked}.
[{Hero} did not want to laugh, but {hero.he} had to.
|{Hero} looked once, looked twice, and began to laugh.
|The corners of {hero}'s mouth began to move.]

["Let me help you,"|"I will help you,"|"Not like that,"|"Wait, I will show you,"] {hero.he} said.
Together they built a castle with {number.more} towers, and they put the {deco} on the highest
one.
["Yours had only {number}," said {friend}, and they both laughed.
|It is hard to say sorry, and it is hard to forgive, but building together is easy.
|And when the sea came to take the castle, they waved goodbye to it together.
|"It still looks a little like {crooked.a}," said {friend}.
|<close>]
""",
}

LEXICONS = {
    "shelters": nouns("chestnut tree", "bridge", "hay wagon", "huge leaf", "wooden roof"),
    "landmarks": plain_words(
        "the fence", "the pond", "the bakery", "the church", "the market", "a surprised cow"
    ),
    "trees": plain_words("an apple tree", "the tallest oak", "a pear tree", "an old willow"),
    "birds": tuple(
        word(one, many=many)
        for one, many in (
            ("robin", "robins"),
            ("sparrow", "sparrows"),
            ("finch", "finches"),
            ("wren", "wrens"),
            ("blackbird", "blackbirds"),
        )
    ),
    "waits": plain_words("three days", "a whole week", "two weeks", "a month", "ten days"),
    "plants": tuple(
        word(name, a=f"a {name}", size=size, use=use)
        for name, size, use in (
            ("sunflower", "taller than the house", "gave its seeds to all the birds"),
            ("pumpkin", "as big as a cow", "cooked soup for the whole village"),
            ("strawberry", "as big as a pillow", "made jam for a hundred breakfasts"),
            ("carrot", "so long that ten friends had to pull", "fed every horse in the valley"),
            ("cherry tree", "red from top to bottom", "baked the biggest pie in the world"),
            ("bean", "so tall that it tickled the clouds", "climbed up to look at the sea"),
            ("cabbage", "as round as the moon", "made a house out of its leaves"),
            ("tulip", "as bright as a lamp", "sat under it and read all night"),
        )
    ),
    "wishes": tuple(
        word(wish, came=came, fun=fun)
        for wish, came, fun in (
            ("a puppy", "There sat a puppy with one white ear", "taught the puppy to shake hands"),
            ("snow", "The whole world was white", "built a snowman with a very long nose"),
            (
                "a swing",
                "A swing was hanging from the old apple tree",
                "took turns until their shoes touched the sky",
            ),
            (
                "a pony",
                "A pony was standing there, eating the roses",
                "rode the pony to the end of the world and back",
            ),
            (
                "a boat",
                "A little boat with a green sail lay on the pond",
                "sailed from one side of the pond to the other",
            ),
            (
                "a tree house",
                "High up in the oak there was a tree house",
                "drank tea in the tree house and spied on the cows",
            ),
            (
                "a hundred pancakes",
                "Pancakes were piled up to the roof",
                "ate so many pancakes that they had to roll home",
            ),
            ("a piano", "A piano stood in the grass", "played so loudly that the cows danced"),
        )
    ),
    "decorations": nouns("shell", "feather", "pink stone", "crab claw", "tiny flag"),
    "crooked": nouns("banana", "melting cake", "teapot", "sleepy camel", "potato", "old shoe"),
}
