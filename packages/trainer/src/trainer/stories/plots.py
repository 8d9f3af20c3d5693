"""The grammar of the stories: how they open, and the plots that may follow.

Each plot is one rule in the notation of `notation`: read it, and you have read all stories of its
kind. What is drawn shows in the text at once, so that a story can be read in one way only.
"""

from trainer.stories import adventures, courage, kindness, words
from trainer.stories.grammar import Grammar

_PLOTS = {**kindness.RULES, **courage.RULES, **adventures.RULES}

_RULES = {
    "story": "<opening> [" + "|".join(f"<{name}>" for name in _PLOTS) + "]",
    "opening": """
[10: Once upon a time, there was <hero>. <hobby>
|5: Once upon a time, in {home=homes}, there lived <hero>. <hobby>
|2: Long ago, in {home=homes}, there lived <hero>. <hobby>
|2: There once was <hero>. <hobby>
|2: This is the story of <hero>, who loved to {hobby=hobbies}.
|1: Do you know the story of <hero>, who loved to {hobby=hobbies}? Here it is.]
""",
    "hero": "{trait.a=traits} [3: {kind=humans}|2: {kind=animals}] named {hero=*kind.names}",
    "hobby": """
[5: {Hero.he} loved to {hobby=hobbies}[3: .|2:  more than anything.|2:  and to
{second_hobby=hobbies-hobby}.]
|2: {Hero.he} had {herd=counts} {pets=pets} and loved to {hobby=hobbies}.
|2: {Hero.he} [always|often] wore {shade.a=colors} {garment=garments} and loved to
{hobby=hobbies}.
|What {hero.he} liked best was to {hobby=hobbies}.
|Every {habit=dayparts}, {hero.he} liked to {hobby=hobbies}.]
""",
    "close": """
[And {hero} never forgot that day.
|And {hero} lived happily ever after.
|And if {hero} is not asleep, {hero.he} is still {hobby.ing}.
|After that, there was only one thing left to do: {hobby}.
|Then {hero} went off to {hobby}.
|And the next day, {hero} went back to {hobby.ing}.
|That night, {hero} fell asleep with a smile.]
""",
    "basket": "{amount=evens} {treat=treats}",
    "time": "{weather=weathers} {part=dayparts}",
    **_PLOTS,
}

GRAMMAR = Grammar(
    _RULES,
    {**words.LEXICONS, **kindness.LEXICONS, **courage.LEXICONS, **adventures.LEXICONS},
)
