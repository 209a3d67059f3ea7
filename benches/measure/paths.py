"""The ways that an event can go, and the story of a user who goes them one after another."""

import time
import uuid

from measure import world as surroundings
from measure.world import World

#: In the order of the story. The first event of a user is told of before anything is measured.
FIRST, NO_CHANGE, OPEN, DUPLICATE, CLOSE = PATHS = ["first", "no change", "open", "duplicate", "close"]
#: Those that figures are given of.
MEASURED = PATHS[1:]


class Story:
    """A user with a key, of whom events tell: the key was switched on (again), a second one is made, that is told twice, and the
    second one is switched off."""

    def __init__(self, world: World, name: str):
        self._world = world
        self.user = name
        self.keys = world.user(name)
        self.events: dict[str, dict] = {}

    def go(self, path: str) -> dict:
        """Does in IAM what the next event tells of, and gives the event."""
        if path == OPEN:
            self.keys.append(self._world.key(self.user))
        if path == CLOSE:
            self._world.iam.update_access_key(UserName=self.user, AccessKeyId=self.keys[1], Status="Inactive")
        kind, key = {
            FIRST: ("create", 0),
            NO_CHANGE: ("activate", 0),
            OPEN: ("create", 1),
            DUPLICATE: ("create", 1),
            CLOSE: ("deactivate", 1),
        }[path]
        event = surroundings.event(kind, self.user, self.keys[key])
        self.events[path] = self.events[OPEN] if path == DUPLICATE else event
        return self.events[path]

    def names(self) -> list[bytes]:
        """What stands in requests about this user and no other, each as long as in those about another one."""
        ids = [event["detail"]["eventID"] for event in self.events.values()]
        return [text.encode() for text in [self.user, *self.keys, *ids]]


def stories(world: World, count: int) -> list[Story]:
    """So many users, whose names are of the same length and stand in no other text."""
    mark = uuid.uuid4().hex[:6]
    return [Story(world, f"user-{mark}-{number:05}") for number in range(count)]


def events(stories: list[Story], path: str) -> list[dict]:
    """What each user's next event is, on `path`.

    First it waits until an event of now is later than every listing so far: CloudTrail's times have whole seconds, and its events
    come some seconds after what they tell of. Else a listing would differ from the one before with no event to explain it.
    """
    time.sleep(1.1)
    return [story.go(path) for story in stories]
