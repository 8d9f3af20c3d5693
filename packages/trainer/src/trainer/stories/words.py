"""The words that all plots share: who there is, where they live, what they like, when it happens.

A child has its pronouns (`{hero.his}`), a place the way there (`{place.to}`), a treat its article
(`{treat.a}`). Some forms name another lexicon: `{spot=*place.spots}` draws a spot of this place.

Within a lexicon no shown form is the beginning of another (as "ball" is of "balloon"), so that the
text always tells which word was drawn. `proof.check` holds this.
"""

from trainer.stories.forms import female, male, nouns, plain_words, word

GIRLS = female(
    *("Mia", "Lily", "Anna", "Rosa", "Emma", "Zoe", "Ruby", "Nora"),
    friends="children",
)
BOYS = male(
    *("Tom", "Ben", "Max", "Sam", "Leo", "Jack", "Tim", "Finn"),
    friends="children",
)

LEXICONS = {
    "girls": GIRLS,
    "boys": BOYS,
    "children": GIRLS + BOYS,
    "creatures": (
        *female("Hazel", "Clover", "Poppy", "Pearl", friends="creatures"),
        *male("Pip", "Biscuit", "Otto", "Acorn", friends="creatures"),
    ),
    "humans": (word("girl", names="girls"), word("boy", names="boys")),
    "animals": tuple(
        word(kind, names="creatures")
        for kind in (
            "rabbit",
            "bear",
            "fox",
            "mouse",
            "hedgehog",
            "squirrel",
            "otter",
            "badger",
            "beaver",
            "hamster",
        )
    ),
    "parents": female("mom", "grandma") + male("dad", "grandpa"),
    "elders": female("grandma", "aunt") + male("grandpa", "uncle"),
    "traits": nouns(
        *("little", "curious", "cheerful", "clever", "silly", "quiet", "tiny", "merry"),
        *("busy", "dreamy"),
    ),
    "hobbies": tuple(
        word(do, ing=doing)
        for do, doing in (
            ("sing", "singing"),
            ("paint", "painting"),
            ("climb trees", "climbing trees"),
            ("read", "reading"),
            ("count the stars", "counting the stars"),
            ("jump in puddles", "jumping in puddles"),
            ("tell jokes", "telling jokes"),
            ("build towers", "building towers"),
            ("collect stones", "collecting stones"),
            ("eat pancakes", "eating pancakes"),
            ("ask questions", "asking questions"),
            ("dance in the rain", "dancing in the rain"),
            ("run barefoot", "running barefoot"),
            ("write letters", "writing letters"),
            ("play the trumpet", "playing the trumpet"),
            ("look for treasure", "looking for treasure"),
        )
    ),
    "homes": plain_words(
        "a little house by the sea",
        "a quiet village",
        "a house with a round green door",
        "a valley full of flowers",
        "a town with crooked streets",
        "a cottage under a big oak",
        "an old mill by the river",
        "a land with very blue hills",
    ),
    "places": tuple(
        word(f"the {name}", to=f"to the {name}", at=f"{at} the {name}", spots=f"{name} spots")
        for at, name in (
            ("in", "park"),
            ("in", "forest"),
            ("at", "beach"),
            ("on", "farm"),
            ("in", "garden"),
            ("on", "hill"),
            ("at", "market"),
            ("at", "lake"),
        )
    ),
    "park spots": plain_words(
        "under the slide", "behind a bench", "beside the pond", "in the sandbox"
    ),
    "forest spots": plain_words(
        "inside a hollow log", "under a fern", "behind a mossy stone", "between the roots of a tree"
    ),
    "beach spots": plain_words(
        "behind a rock", "in the seaweed", "under a towel", "beside a sandcastle"
    ),
    "farm spots": plain_words("in the hay", "behind the barn", "under the old cart", "by the well"),
    "garden spots": plain_words(
        "under the roses", "behind the shed", "between the pumpkins", "in the tall grass"
    ),
    "hill spots": plain_words(
        "behind the big stone", "in the heather", "under a bush", "beside the old gate"
    ),
    "market spots": plain_words(
        "under the cheese stand", "behind the apples", "between two barrels", "beside the fountain"
    ),
    "lake spots": plain_words(
        "in the reeds", "under the old boat", "behind a willow", "beside the water"
    ),
    "garments": nouns("scarf", "coat", "raincoat", "sweater", "apron", "bow tie", "vest"),
    "pets": plain_words("hens", "goats", "snails", "cats", "geese"),
    "weathers": plain_words("sunny", "windy", "warm", "bright", "cloudy", "cool"),
    "dayparts": plain_words("morning", "afternoon", "day"),
    "counts": tuple(
        word(number, more=more)
        for number, more in (("two", "three"), ("three", "four"), ("four", "five"), ("five", "six"))
    ),
    "evens": tuple(
        word(number, half=half)
        for number, half in (("four", "two"), ("six", "three"), ("eight", "four"), ("ten", "five"))
    ),
    "colors": nouns("red", "blue", "green", "yellow", "purple", "orange", "pink", "white"),
    "treats": tuple(
        word(many, one=one, a=f"a {one}")
        for one, many in (
            ("cookie", "cookies"),
            ("muffin", "muffins"),
            ("pancake", "pancakes"),
            ("strawberry", "strawberries"),
            ("cherry", "cherries"),
            ("plum", "plums"),
            ("pear", "pears"),
        )
    ),
    "drinks": plain_words("lemonade", "apple juice", "warm milk", "cocoa", "peach tea"),
    "games": plain_words(
        "hide and seek", "tag", "catch", "pirates", "leapfrog", "knights", "dragons", "school"
    ),
}
