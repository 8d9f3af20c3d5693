"""A seeded grammar of little stories: a corpus that needs no download, with a known entropy."""

from trainer.stories.corpus import Story as Story
from trainer.stories.corpus import StoryCorpus as StoryCorpus
from trainer.stories.corpus import log_probability as log_probability
from trainer.stories.corpus import story as story
from trainer.stories.corpus import write_corpus as write_corpus
